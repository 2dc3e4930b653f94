package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/willscott/go-nfs-client/nfs"
	"github.com/willscott/go-nfs-client/nfs/rpc"

	"deltafs/nfsserver/dial"
)

// TestMain lets the scripts run this very test binary as deltafs.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"deltafs": func() { os.Exit(run(context.Background(), os.Args[1:], &ui{out: os.Stdout, err: os.Stderr})) },
	})
}

// TestScripts runs the stories in testdata/script. Beside the commands of
// testscript they have:
//
//	server NAME FLAG...   start "deltafs serve --trust-loopback FLAG...", for the tests may
//	                      run as root; $NAME is its address once it is ready, and
//	                      $NAME_metrics that of --metrics
//	metrics ADDR          print what is served for Prometheus there
//	shutdown NAME         end it with SIGTERM, which must be clean
//	crash NAME            end it with SIGKILL
//	nfs ADDR[/PATH] CMD ARG...  be a client: cat, write, fill, sum, rm, mv, mkdir, ls
//	flip FILE OFFSET      invert the bits of a byte
//	code N CMD ARG...     the command must end with this exit code
//	takeport VAR          occupy a port for the rest of the script
//	awaitfile FILE        wait until FILE is there
//	truncate FILE SIZE    cut FILE off
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			e.Setenv("HOME", e.WorkDir)
			servers := &scriptServers{running: map[string]*exec.Cmd{}}
			e.Values[serversKey{}] = servers
			e.Defer(servers.killAll)
			return nil
		},
		Condition: condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server": cmdServer, "shutdown": cmdShutdown, "crash": cmdCrash, "nfs": cmdNFS,
			"flip": cmdFlip, "code": cmdCode, "takeport": cmdTakePort,
			"awaitfile": cmdAwaitFile, "truncate": cmdTruncate, "metrics": cmdMetrics,
		},
	})
}

func condition(cond string) (bool, error) {
	switch cond {
	case "root":
		return os.Geteuid() == 0, nil
	case "nfsclient":
		return canMount("") == nil, nil
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}

type serversKey struct{}

// scriptServers are the servers of one script.
type scriptServers struct{ running map[string]*exec.Cmd }

func (s *scriptServers) killAll() {
	for _, cmd := range s.running {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

func serversOf(ts *testscript.TestScript) *scriptServers {
	return ts.Value(serversKey{}).(*scriptServers)
}

func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: server NAME FLAG...")
	}
	cmd, out := deltafsCmd(ts, append([]string{"serve", "--print-json", "--trust-loopback"}, args[1:]...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	ts.Check(cmd.Start())
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		_ = cmd.Wait()
		ts.Fatalf("the server did not start: %s", &stderr)
	}
	serversOf(ts).running[args[0]] = cmd
	var r ready
	ts.Check(json.Unmarshal(line, &r))
	ts.Setenv(args[0], r.Addr)
	ts.Setenv(args[0]+"_metrics", r.Metrics)
}

func cmdMetrics(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: metrics ADDR")
	}
	r, err := http.Get("http://" + args[0] + "/metrics")
	ts.Check(err)
	defer r.Body.Close()
	_, err = io.Copy(ts.Stdout(), r.Body)
	ts.Check(err)
}

// deltafsCmd is a deltafs process with the environment of the script.
func deltafsCmd(ts *testscript.TestScript, args ...string) (*exec.Cmd, io.Reader) {
	path := ""
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if exe := filepath.Join(dir, "deltafs"); path == "" {
			if _, err := os.Stat(exe); err == nil {
				path = exe
			}
		}
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "XDG_STATE_HOME"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	return cmd, out
}

func cmdShutdown(ts *testscript.TestScript, _ bool, args []string) { end(ts, args, syscall.SIGTERM) }

func cmdCrash(ts *testscript.TestScript, _ bool, args []string) { end(ts, args, syscall.SIGKILL) }

func end(ts *testscript.TestScript, args []string, sig syscall.Signal) {
	s := serversOf(ts)
	cmd := s.running[args[0]]
	if cmd == nil {
		ts.Fatalf("no server %s runs", args[0])
	}
	delete(s.running, args[0])
	ts.Check(cmd.Process.Signal(sig))
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	if err := cmd.Wait(); err != nil && sig == syscall.SIGTERM {
		ts.Fatalf("the server ended badly: %v\n%s", err, cmd.Stderr)
	}
}

func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N CMD ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s ended with code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func cmdFlip(ts *testscript.TestScript, _ bool, args []string) {
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("no file %s", args[0])
	}
	off, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	f, err := os.OpenFile(files[0], os.O_RDWR, 0)
	ts.Check(err)
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], off)
	ts.Check(err)
	b[0] = ^b[0]
	_, err = f.WriteAt(b[:], off)
	ts.Check(err)
}

func cmdTakePort(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

func cmdAwaitFile(ts *testscript.TestScript, _ bool, args []string) {
	for range 3000 {
		if _, err := os.Lstat(ts.MkAbs(args[0])); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("%s does not appear", args[0])
}

func cmdTruncate(ts *testscript.TestScript, _ bool, args []string) {
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), size))
}

// cmdNFS is a client of one command. What it reads goes to standard output.
func cmdNFS(ts *testscript.TestScript, neg bool, args []string) {
	addr, path, _ := strings.Cut(args[0], "/")
	conn, err := dial.TCP(addr)
	ts.Check(err)
	defer conn.Close()
	m := nfs.Mount{Client: conn}
	target, err := m.Mount("/"+path, rpc.NewAuthUnix("test", uint32(max(0, os.Getuid())), 0).Auth())
	if err != nil && neg {
		return
	}
	ts.Check(err)
	out, err := nfsCommand(target, args[1], args[2:])
	switch {
	case err != nil && !neg:
		ts.Fatalf("%s: %v", strings.Join(args[1:], " "), err)
	case err == nil && neg:
		ts.Fatalf("%s: no error", strings.Join(args[1:], " "))
	}
	_, err = io.WriteString(ts.Stdout(), out)
	ts.Check(err)
}

func nfsCommand(c *nfs.Target, cmd string, args []string) (string, error) {
	switch cmd {
	case "cat":
		f, err := c.Open(args[0])
		if err != nil {
			return "", err
		}
		b := make([]byte, 1<<16)
		n, err := f.ReadAt(b, 0)
		if err == io.EOF {
			err = nil
		}
		return string(b[:n]), err
	case "write":
		f, err := c.OpenFile(args[0], 0o644)
		if err != nil {
			return "", err
		}
		if _, err := f.Write([]byte(args[1])); err != nil {
			return "", err
		}
		return "", f.Close()
	case "fill", "sum":
		return "", fillOrSum(c, cmd, args)
	case "rm":
		return "", c.Remove(args[0])
	case "mv":
		return "", c.Rename(args[0], args[1])
	case "mkdir":
		_, err := c.Mkdir(args[0], 0o755)
		return "", err
	case "ls":
		entries, err := c.ReadDirPlus(args[0])
		var b strings.Builder
		for _, e := range entries {
			b.WriteString(e.FileName + "\n")
		}
		return b.String(), err
	}
	return "", fmt.Errorf("unknown command %q on %s", cmd, runtime.GOOS)
}

// fillOrSum writes as many bytes into a file as its second argument says, or reads
// them and compares.
func fillOrSum(c *nfs.Target, cmd string, args []string) error {
	size, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	f, err := c.OpenFile(args[0], 0o644)
	if err != nil {
		return err
	}
	want, got := make([]byte, 256<<10), make([]byte, 256<<10)
	for i := range want {
		want[i] = byte(i) ^ byte(i>>8)
	}
	for size > 0 {
		n := min(size, len(want))
		if cmd == "fill" {
			_, err = f.Write(want[:n])
		} else if _, err = io.ReadFull(f, got[:n]); err == nil && !bytes.Equal(got[:n], want[:n]) {
			err = fmt.Errorf("%s: other bytes, %d before the end", args[0], size)
		}
		if err != nil {
			return err
		}
		size -= n
	}
	return f.Close()
}

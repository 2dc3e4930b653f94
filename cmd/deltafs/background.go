package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// background is a server to start in the background: a process of its own
// that outlives this one and the terminal.
type background struct {
	base, store, at string
	listen, limit   string
	log             string
	immutable       bool
	compress        bool
	commitWhenFull  bool
	id              identity
}

// start starts the server and returns when it is ready. A server that does
// not come up says why, and start repeats it.
func (b background) start(ctx context.Context) (ready, error) {
	exe, err := os.Executable()
	if err != nil {
		return ready{}, &fault{Op: "start", Path: "server", Err: err}
	}
	cmd := exec.Command(exe, b.args()...)
	cmd.Dir = string(os.PathSeparator) // it must not keep a directory busy
	cmd.Env = b.env()
	detach(cmd, b.id)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return ready{}, &fault{Op: "start", Path: exe, Err: err}
	}
	if err := cmd.Start(); err != nil {
		return ready{}, &fault{Op: "start", Path: exe, Err: bare(err)}
	}
	var r ready
	got := make(chan error, 1)
	go func() { got <- json.NewDecoder(stdout).Decode(&r) }()
	select {
	case err = <-got:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		return r, cmd.Process.Release()
	}
	if !errors.Is(err, io.EOF) {
		_ = cmd.Process.Kill() // it may be dead already
	}
	werr := cmd.Wait()
	if ctx.Err() != nil {
		return ready{}, &fault{Op: "start", Path: "server", Err: ctx.Err()}
	}
	return ready{}, b.failed(werr, stderr.String())
}

// failed makes the error of a server that has ended before it was ready, from
// what it has said on standard error in the form of ui.fail.
func (b background) failed(err error, said string) error {
	f := &fault{Op: "start", Path: "server", Err: err, Hint: "its log is " + quote(b.log)}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		f.Code = exit.ExitCode()
	}
	if f.Err == nil {
		f.Err = errors.New("it has ended")
	}
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if why, ok := strings.CutPrefix(line, "deltafs: "); ok {
			f.Op, f.Path, f.Err = "", "", errors.New(why)
		}
		if hint, ok := strings.CutPrefix(line, "hint: "); ok {
			f.Hint = hint
		}
	}
	return f
}

func (b background) args() []string {
	args := []string{"serve", "--base", b.base, "--delta", b.store, "--listen", b.listen, "--print-json",
		"--log-file", b.log}
	if b.at != "" {
		args = append(args, "--mounted-at", b.at)
	}
	if b.limit != "" {
		args = append(args, "--limit", b.limit)
	}
	if b.immutable {
		args = append(args, "--immutable")
	}
	if b.commitWhenFull {
		args = append(args, "--commit-when-full")
	}
	if b.compress {
		args = append(args, "--compress")
	}
	return args
}

// env is the environment of the server: under sudo that of the user, so that
// both find the same state directory.
func (b background) env() []string {
	env := os.Environ()
	if !b.id.drop {
		return env
	}
	kept := env[:0:0]
	for _, kv := range env {
		if !strings.HasPrefix(kv, "SUDO_") && !strings.HasPrefix(kv, "HOME=") {
			kept = append(kept, kv)
		}
	}
	return append(kept, "HOME="+b.id.home)
}

// stopServer ends the server of a store, if one runs, and returns when it has
// given the store up. It asks through the control socket, whose other end is
// by nature the process that has the store open, so no process that happens to
// have an old number is ever hit.
func stopServer(ctx context.Context, store string) error {
	r, ok := dialServer(ctx, store)
	if !ok {
		return nil
	}
	if err := r.stop(ctx); err != nil {
		return err
	}
	deadline := time.Now().Add(stopPatience)
	for {
		if _, ok := dialServer(ctx, store); !ok && !inUse(store) {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return &fault{Op: "stop", Path: "server", Code: exitInUse,
				Err:  fmt.Errorf("it still has the store %s open after %v", quote(store), stopPatience),
				Hint: "it ends by itself once its calls in flight are done"}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stopPatience is how long a server may take to end: it syncs what it holds.
const stopPatience = 60 * time.Second

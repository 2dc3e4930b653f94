package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// server is a running "deltafs serve".
type server struct {
	cmd   *exec.Cmd
	log   *bytes.Buffer // what it has said on standard error
	ready struct {
		Addr  string
		Mount []struct{ Line string }
	}
}

// start starts the server on a free port and mounts it.
func (d *demo) start() error {
	s := &server{log: &bytes.Buffer{}}
	s.cmd = exec.Command(d.bin, "serve", "--base", d.base, "--delta", d.store,
		"--listen", "127.0.0.1:0", "--print-json", "--log-level", "warn",
		"--trust-loopback") // for the demo is no kernel, and may be run by root
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	d.server = s
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		_ = s.cmd.Wait()
		return fmt.Errorf("the server did not start: %s", s.log)
	}
	if err := json.Unmarshal(line, &s.ready); err != nil {
		return fmt.Errorf("the server said %q: %w", line, err)
	}
	d.client, err = dial(s.ready.Addr)
	return err
}

// stop ends the server the clean way, and waits for it.
func (s *server) stop() error {
	if runtime.GOOS == "windows" { // which has no SIGTERM to send
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		return nil
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	late := time.AfterFunc(30*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer late.Stop()
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("the server ended badly: %w: %s", err, s.log)
	}
	return nil
}

// kill ends a server that an error has left behind.
func (d *demo) kill() {
	if d.server != nil && d.server.cmd.ProcessState == nil {
		_ = d.server.cmd.Process.Kill()
		_ = d.server.cmd.Wait()
	}
}

// deltafs runs a command that ends by itself, and returns what it prints.
func (d *demo) deltafs(args ...string) (string, error) {
	cmd := exec.Command(d.bin, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("deltafs %s: %w\n%s", args[0], err, &stderr)
	}
	return string(out), nil
}

// owner is on whose behalf the client calls.
func owner() (uid, gid uint32) {
	return uint32(max(0, os.Getuid())), uint32(max(0, os.Getgid()))
}

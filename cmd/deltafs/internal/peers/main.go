package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"deltafs/cmd/deltafs/internal/bench"
)

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 2 && args[0] == "null":
		err = serveNull(args[1])
	case len(args) == 3 && args[0] == "go-nfs":
		err = serveGoNFS(args[1], args[2])
	case len(args) > 0 && args[0] == "scale":
		err = runScale(args[1:])
	default:
		err = run(args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func serveNull(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return bench.ServeNull(l, &bench.Full)
}

// names are flags that may be given again.
type names []string

func (n *names) String() string     { return strings.Join(*n, ",") }
func (n *names) Set(s string) error { *n = append(*n, s); return nil }

func run(args []string) (err error) {
	var rows names
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	deltafs := f.String("deltafs", "bin/deltafs", "the program to measure")
	dir := f.String("dir", "", "work below this directory (default a temporary one)")
	rounds := f.Int("rounds", 5, "rounds; the medians are shown")
	table := f.String("table", "", "write the table into this file, between its marks, too")
	touch := f.Int64("touch", 3<<30, "bytes of memory that are touched before each sample of write-1m and write-4k")
	f.Var(&rows, "row", "measure only this; may be given again")
	if err := f.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	work, err := os.MkdirTemp(*dir, "deltafs-peers-")
	if err != nil {
		return err
	}
	p := &peers{ctx: ctx, dir: work, deltafs: *deltafs}
	defer func() { err = errors.Join(err, p.end()) }()
	if err := p.start(); err != nil {
		return err
	}
	results, err := bench.Run(ctx, bench.Options{
		Targets: p.targets, Rows: rows, Rounds: *rounds, Touch: *touch,
		Progress: func(s string) { fmt.Fprintln(os.Stderr, s) },
	})
	if err != nil {
		return err
	}
	text := report(results, p.targets, p.versions, *rounds)
	fmt.Print(text)
	if *table == "" {
		return nil
	}
	return replace(*table, peersMarks, text)
}

// peers is what has been started.
type peers struct {
	ctx      context.Context
	dir      string
	deltafs  string
	targets  []bench.Target
	versions []string
	pids     []int          // of what was started
	undo     []func() error // in the reverse order
}

// end ends and removes all that was started and made.
func (p *peers) end() error {
	var errs []error
	for i := len(p.undo) - 1; i >= 0; i-- {
		errs = append(errs, p.undo[i]())
	}
	return errors.Join(append(errs, os.RemoveAll(p.dir))...)
}

// path is a name in the working directory.
func (p *peers) path(name string) string { return filepath.Join(p.dir, name) }

// start starts everything. That DeltaFS itself does not start is an error.
func (p *peers) start() error {
	for _, name := range []string{"base", "plain"} {
		say("making the files of %s", name)
		if err := os.Mkdir(p.path(name), 0o755); err != nil {
			return err
		}
		if err := bench.Prepare(p.path(name), &bench.Full); err != nil {
			return err
		}
	}
	if err := p.startDeltaFS("delta"); err != nil {
		return fmt.Errorf("deltafs: %w", err)
	}
	for _, s := range []struct {
		name string
		fn   func() error
	}{
		{"nfs-ganesha", p.startGanesha}, {"go-nfs", p.startGoNFS}, {"null", p.startNull},
		{"overlayfs", p.mountOverlay}, {"fuse-overlayfs", p.mountFuseOverlay},
	} {
		if err := s.fn(); err != nil {
			say("%s is left out: %v", s.name, err)
		}
	}
	p.targets = append(p.targets,
		bench.Target{Name: "ext4", At: p.path("plain")}, // or whatever DIR is on
		bench.Target{Name: "disk", At: p.path("plain"), Disk: true})
	return nil
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// freePort is a port of loopback that nobody has, most likely for some time.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// await waits until somebody listens at addr.
func await(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nobody listens: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

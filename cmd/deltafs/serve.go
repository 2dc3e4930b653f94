package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

const serveLong = `Serve a directory, the base, over NFSv3 on this machine. Changes go to the
store given as --delta, which is made if it is missing; the base is only read.

When the server is ready it prints the line that mounts it. SIGINT or SIGTERM
ends it cleanly: calls in flight are finished and the store is synced. A server
that is killed loses nothing that it has answered, and clients that have it
mounted go on when it is started again on the same port.

A store remembers its base and is served over no other. Which is why a base
that is not there is an error, not an empty directory.

Clients on this machine are let in, each user as himself; others only with
--allow, and root of theirs becomes nobody. With --export one server shows several
directories, each with a store of its own.`

const serveExample = `  # on port 2049, delta in ~/delta
  deltafs serve --base /srv/image --delta ~/delta

  # on a free port, at most 20 GB of changes
  deltafs serve --base . --delta /var/tmp/delta --listen 127.0.0.1:0 --limit 20GB

  # two directories, for the machines of a network, found without a port
  sudo deltafs serve --export img=/srv/image:/var/delta/img --export src=/srv/src:/var/delta/src \\
    --listen :2049 --allow 192.168.1.0/24 --portmap

  # for scripts: one line of JSON with the address
  deltafs serve --base /srv/image --delta ~/delta --listen 127.0.0.1:0 --print-json`

// serveFlags are the flags of serve. The last two are for "deltafs mount".
type serveFlags struct {
	base, delta, listen    string
	exports                []string
	limit, engine, pprof   string
	warn, critical         string
	onThreshold, metrics   string
	minReclaimable         string
	minClean, maxClean     int
	compress               bool
	commitWhenFull         bool
	sync, squash           string
	allow                  []string
	trustLoopback, portmap bool
	trace                  bool
	logLevel, logFormat    string
	immutable, printJSON   bool
	known                  int
	logFile, mountedAt     string
}

// ready is what a server says when it is ready, with --print-json.
type ready struct {
	Addr  string      `json:"addr"`
	Base  string      `json:"base"`
	Store string      `json:"store"`
	PID   int         `json:"pid"`
	Mount []mountLine `json:"mount"`
	// Exports are all of them; Base, Store and Mount are those of the first.
	Exports []readyExport `json:"exports"`
	Metrics string        `json:"metrics,omitempty"` // address of --metrics
}

type readyExport struct {
	Name  string `json:"name"`
	Base  string `json:"base"`
	Store string `json:"store"`
}

func newServe(u *ui) *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:     "serve --base BASE --delta STORE",
		Short:   "Serve a directory over NFSv3, with its changes kept in a store",
		Long:    serveLong,
		Example: serveExample,
		Args:    takes(0, 0, ""),
		RunE:    func(c *cobra.Command, _ []string) error { return serve(c.Context(), u, f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.base, "base", "", "the directory to show; it is only read")
	fl.StringVar(&f.delta, "delta", "", "the store of the changes; made if missing")
	fl.StringArrayVar(&f.exports, "export", nil, "`NAME=BASE:STORE`: show BASE as HOST:/NAME; may be repeated, with or without --base")
	fl.StringVar(&f.listen, "listen", "127.0.0.1:2049", "`ADDRESS` to listen on; port 0 takes a free one")
	fl.StringVar(&f.limit, "limit", "", "`SIZE` that the delta may take, such as 500MB or 20GiB (default 90% of what is free)")
	fl.StringVar(&f.warn, "warn", "80%", "`PERCENTAGE` of the limit at which to warn")
	fl.StringVar(&f.critical, "critical", "95%", "`PERCENTAGE` of the limit at which it is urgent")
	fl.StringVar(&f.onThreshold, "on-threshold", "", "run this `COMMAND` when usage passes --warn or --critical, up or down")
	fl.BoolVar(&f.commitWhenFull, "commit-when-full", false, "commit the changes to the base whenever the delta is half full")
	fl.BoolVar(&f.compress, "compress", false, "compress file data when cleaning moves it")
	fl.IntVar(&f.minClean, "min-clean-segments", 0, "clean when no more segments than these are free under the limit (default and least 4)")
	fl.IntVar(&f.maxClean, "max-clean-segments", 0, "clean until more segments than these are free (default and least --min-clean-segments)")
	fl.StringVar(&f.minReclaimable, "min-reclaimable-blocks", "5%", "clean only segments of which at least this `PERCENTAGE` is dead")
	fl.StringVar(&f.metrics, "metrics", "", "`ADDRESS` of this machine on which to serve metrics, for Prometheus")
	fl.BoolVar(&f.immutable, "immutable", false, "the base can never change: do not check it for changes")
	fl.IntVar(&f.known, "known-files", 131072, "files of the base to keep in mind with their attributes, some 300 bytes each")
	fl.StringVar(&f.engine, "engine", engineNative, "what speaks NFS: native, or go-nfs to compare with")
	fl.StringVar(&f.sync, "sync", "auto", "when changes are on disk before they are answered: auto, strict or local")
	fl.StringSliceVar(&f.allow, "allow", nil, "let in clients at these addresses too: `CIDR`, such as 192.168.1.0/24")
	fl.StringVar(&f.squash, "squash", "", "callers that become nobody: none, root or all (default root of other machines)")
	fl.BoolVar(&f.trustLoopback, "trust-loopback", false, "believe programs on this machine whoever they say that they are")
	fl.BoolVar(&f.portmap, "portmap", false, "be found without a port: answer on port 111, or register with who does")
	fl.BoolVar(&f.trace, "trace", false, "print each call and its reply as a line to the log")
	fl.BoolVar(&f.printJSON, "print-json", false, "say that the server is ready in one line of JSON")
	fl.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	fl.StringVar(&f.logFormat, "log-format", "text", "text or json")
	fl.StringVar(&f.pprof, "pprof", "", "`ADDRESS` of this machine on which to serve profiles")
	fl.StringVar(&f.logFile, "log-file", "", "append the log to this file")
	fl.StringVar(&f.mountedAt, "mounted-at", "", "remember the server as that of this mount point")
	for _, hidden := range []string{"log-file", "mounted-at"} {
		_ = fl.MarkHidden(hidden) // fails only for a flag that does not exist
	}
	_ = c.MarkFlagDirname("base")
	_ = c.MarkFlagDirname("delta")
	return c
}

// serve runs a server until it is told to stop.
func serve(ctx context.Context, u *ui, f serveFlags) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if f.logFile != "" {
		file, err := openLog(f.logFile)
		if err != nil {
			return err
		}
		defer file.Close()
		u = &ui{out: u.out, err: file}
	}
	log, err := u.logger(f.logLevel, f.logFormat)
	if err != nil {
		return err
	}
	tuneFiles()
	if os.Getenv("GOGC") == "" { // whoever sets it knows what he does
		tuneGC()
	}
	s, err := f.open(log, u)
	if err != nil {
		return err
	}
	go func() { // a second signal ends the process at once
		<-ctx.Done()
		stop()
	}()
	err = f.run(ctx, u, s)
	if cerr := s.close(); err == nil {
		err = cerr
	}
	log.Info("stopped", "store", s.cfg.Exports[0].Store)
	return err
}

// run announces the server, serves, and takes back what was announced.
func (f serveFlags) run(ctx context.Context, u *ui, s *server) error {
	defer s.ln.Close()
	if f.pprof != "" {
		l, err := listenTCP("--pprof", f.pprof, false, "")
		if err != nil {
			return err
		}
		defer l.Close()
		go servePprof(l)
	}
	if f.metrics != "" {
		l, err := listenTCP("--metrics", f.metrics, false, "")
		if err != nil {
			return err
		}
		defer l.Close()
		if err := s.serveMetrics(l); err != nil {
			return &fault{Op: "metrics", Path: f.metrics, Err: err}
		}
		f.metrics = l.Addr().String() // with the port that was free
	}
	if f.mountedAt != "" {
		forget, err := f.rememberMount(s)
		if err != nil {
			return err
		}
		defer forget()
	}
	if err := f.announce(u, s); err != nil {
		return err
	}
	return s.serve(ctx)
}

// open checks the flags and opens the server.
func (f serveFlags) open(log *slog.Logger, u *ui) (*server, error) {
	cfg := serverConfig{Engine: f.engine, Portmap: f.portmap, Log: log}
	if err := f.policy(&cfg); err != nil {
		return nil, err
	}
	if f.trace {
		cfg.Trace = u.lines()
	}
	if err := f.places(&cfg); err != nil {
		return nil, err
	}
	// The port comes before the store: a taken port leaves no empty store behind.
	ln, err := listenTCP("--listen", f.listen, len(f.allow) > 0, ", or --allow CIDR to let in others")
	if err != nil {
		return nil, err
	}
	return openServer(cfg, ln)
}

// goneBase adds to the error of a base that cannot be served what its store,
// if there is one, has to do with it.
func goneBase(err error, store string) error {
	var ft *fault
	if errors.As(err, &ft) {
		if _, serr := os.Stat(filepath.Join(store, "store")); serr == nil {
			ft.Hint = "the changes in " + quote(store) + " are safe; bring the base back (is its disk mounted?) and serve again"
		}
	}
	return err
}

// limitBytes is what the delta of one store may take.
func (f serveFlags) limitBytes(store string) (int64, error) {
	if f.limit == "" {
		return defaultLimit(store)
	}
	n, err := humanize.ParseBytes(f.limit)
	if err != nil || n == 0 || n > 1<<62 {
		return 0, &fault{Err: usagef("--limit %q: not a size", f.limit), Code: exitUsage, Hint: "sizes look like 500MB, 20GiB or 1000000"}
	}
	return int64(n), nil
}

// announce says that the server is ready. Clients that connect before serve
// has begun wait in the listener.
func (f serveFlags) announce(u *ui, s *server) error {
	addr, _ := s.ln.Addr().(*net.TCPAddr)
	r := ready{Addr: addr.String(), PID: os.Getpid(), Metrics: f.metrics}
	for _, e := range s.exports {
		r.Exports = append(r.Exports, readyExport{e.Name, e.Base, e.Store})
	}
	r.Base, r.Store = s.exports[0].Base, s.exports[0].Store
	r.Mount = mountLines(addr, s.exports[0].Name, f.portmap)
	if f.printJSON {
		return u.json(r)
	}
	var b strings.Builder
	for _, e := range s.exports {
		if len(s.exports) > 1 {
			b.WriteString("export " + e.Name + "\n")
		}
		b.WriteString("base  " + quote(e.Base) + "\ndelta " + quote(e.Store))
		if e.made {
			b.WriteString(" (new)")
		}
		b.WriteString("\n")
	}
	b.WriteString("listening on " + r.Addr + "\n\nmount it with\n")
	for _, l := range r.Mount {
		b.WriteString("  " + title(l.System) + ":\n    " + l.Line + "\n")
		if l.Note != "" {
			b.WriteString("    (" + l.Note + ")\n")
		}
	}
	for _, e := range s.exports {
		if info, err := e.store.Info(); err == nil && info.ReadOnly != "" {
			u.warn("the store %s is read-only: %s", quote(e.Store), info.ReadOnly)
		}
	}
	return u.printf("%s", b.String())
}

// rememberMount writes the record by which other commands find this server
// from its mount point; forget removes it again.
func (f serveFlags) rememberMount(s *server) (forget func(), err error) {
	dir, err := userState("")
	if err != nil {
		return nil, err
	}
	r := mountRecord{Mountpoint: f.mountedAt, Base: s.exports[0].Base, Store: s.exports[0].Store, Addr: s.ln.Addr().String(),
		PID: os.Getpid(), Log: f.logFile, Mounted: s.started}
	if err := dir.remember(r); err != nil {
		return nil, err
	}
	return func() {
		if err := dir.forget(f.mountedAt); err != nil {
			s.cfg.Log.Warn("record of the mount stays", "err", err)
		}
	}, nil
}

// openLog opens the log of a server in the background, where its last words
// go as well should it crash.
func openLog(path string) (io.WriteCloser, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, &fault{Op: "create", Path: filepath.Dir(path), Err: bare(err)}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, &fault{Op: "open", Path: path, Err: bare(err)}
	}
	if err := debug.SetCrashOutput(f, debug.CrashOptions{}); err != nil {
		f.Close()
		return nil, &fault{Op: "open", Path: path, Err: err}
	}
	return f, nil
}

// servePprof serves profiles until l is closed.
func servePprof(l net.Listener) {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	_ = srv.Serve(l) // ends when l is closed
}

package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"deltafs/billyfs"
	"deltafs/billyfs/rootfs"
	"deltafs/deltalog"
	"deltafs/nfsserver"
	"deltafs/nfsserver/gonfs"
)

// exportConfig is a tree to serve. Base and Store are real paths.
type exportConfig struct {
	Name        string // the path by which clients mount it: "/" or "/NAME"
	Base, Store string
	Limit       int64 // bytes that the delta may take
	Cleaner     deltalog.CleanerOptions
	Immutable   bool
	Known       int // files of the base that are kept in mind
	// CommitWhenFull commits by itself when the delta is half full.
	CommitWhenFull bool
}

// serverConfig is what a server is made from.
type serverConfig struct {
	Exports    []exportConfig // one or more
	Engine     string         // native or go-nfs
	Sync       nfsserver.SyncMode
	Access     nfsserver.Access
	Portmap    bool
	Thresholds thresholds
	Trace      func(line string) // nil: not
	Log        *slog.Logger
}

// engine speaks the protocol: nfsserver, or gonfs.
type engine interface {
	Serve(ctx context.Context, l net.Listener) error
}

// server is a running server: what serve builds and takes down. Its parts are
// opened in the order of the fields and closed in the reverse one.
type server struct {
	cfg     serverConfig
	started time.Time
	ln      net.Listener
	exports []*export
	nfs     engine
	portmap *portmap           // nil: none
	stop    context.CancelFunc // ends serve
}

// export is a tree that is served.
type export struct {
	exportConfig
	made  bool // the store was made by this server
	store *deltalog.Store
	base  *rootfs.FS
	lines *lines
	ctl   *control
	// running ends when the server is told to end: a commit goes on next time, then, and is
	// not tied to who has asked for it.
	running context.Context
	level   atomic.Int32 // threshold that is reached
}

// openServer opens stores, bases, trees and control sockets; ln is the server's
// from here on. Nothing is served yet.
func openServer(cfg serverConfig, ln net.Listener) (_ *server, err error) {
	s := &server{cfg: cfg, ln: ln, started: time.Now(), stop: func() {}}
	defer func() {
		if err != nil {
			ln.Close()
			s.close()
		}
	}()
	for _, ec := range cfg.Exports {
		e := &export{exportConfig: ec}
		s.exports = append(s.exports, e)
		if err := e.open(cfg.Log); err != nil {
			return nil, err
		}
	}
	if err := s.openEngine(); err != nil {
		return nil, err
	}
	for _, e := range s.exports {
		if e.ctl, err = listenControl(e.Store, s.routes(e), cfg.Log); err != nil {
			return nil, err
		}
	}
	if cfg.Portmap {
		if s.portmap, err = openPortmap(ln.Addr(), cfg.Log); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (e *export) open(log *slog.Logger) (err error) {
	if e.store, e.made, err = openOrCreate(e.Store, e.Base, deltalog.Options{Limit: e.Limit, Cleaner: e.Cleaner, Log: log}); err != nil {
		return err
	}
	if e.base, err = rootfs.Open(e.Base); err != nil {
		return &fault{Op: "open", Path: e.Base, Err: bare(err), Code: exitBase}
	}
	e.lines = newLines(e.base, e.store, e.Store, billyfs.Options{Immutable: e.Immutable, Known: e.Known, Log: log})
	if _, err = e.lines.tree(billyfs.MainLine); err != nil {
		return &fault{Op: "open", Path: e.Base, Err: err}
	}
	return nil
}

// resume finishes a commit that a crash, or the end of an earlier server, has interrupted.
func (e *export) resume(ctx context.Context, log *slog.Logger) {
	switch was, err := e.lines.resume(ctx); {
	case err != nil && ctx.Err() == nil:
		log.Error("a commit that was interrupted cannot go on", "store", e.Store, "err", err,
			"hint", "\"deltafs commit\" tries again")
	case was && err == nil:
		log.Info("a commit that was interrupted is done", "store", e.Store)
	}
}

// exportOf is a line of e as clients mount it.
func (e *export) exportOf(line string, t *billyfs.Tree) nfsserver.Export {
	return nfsserver.Export{
		Name: e.pathOf(line), FS: t, StoreID: e.store.ID(), MACKey: e.store.Key("handle"), Statfs: e.statfs,
	}
}

// pathOf is the path by which clients mount a line of e: of a fork, that of main with
// "@" and the fork's name behind it.
func (e *export) pathOf(line string) string {
	if line == billyfs.MainLine {
		return e.Name
	}
	return path.Join(e.Name, "@"+line)
}

func (s *server) openEngine() (err error) {
	if s.cfg.Engine == engineGoNFS {
		e := s.exports[0] // flags.check allows no more
		var t *billyfs.Tree
		if t, err = e.lines.tree(billyfs.MainLine); err != nil {
			return &fault{Op: "open", Path: e.Store, Err: err}
		}
		s.nfs, err = gonfs.New(t, gonfs.Options{
			Export: e.Name, StoreID: e.store.ID(), MACKey: e.store.Key("handle"), Log: s.cfg.Log, Statfs: e.statfs,
		})
	} else {
		o := nfsserver.Options{
			Sync: s.cfg.Sync, Access: s.cfg.Access, Trace: s.cfg.Trace, Log: s.cfg.Log, Processors: processors(),
		}
		for _, e := range s.exports {
			for _, line := range append([]string{billyfs.MainLine}, e.lines.forks()...) {
				t, err := e.lines.tree(line)
				if err != nil {
					return &fault{Op: "open", Path: e.Store, Err: err}
				}
				o.Exports = append(o.Exports, e.exportOf(line, t))
			}
		}
		var n *nfsserver.Server
		if n, err = nfsserver.New(o); err == nil {
			s.nfs = n
			for _, e := range s.exports {
				e.lines.added = func(line string, t *billyfs.Tree) { n.Add(e.exportOf(line, t)) }
				e.lines.removed = func(line string) { n.Remove(e.pathOf(line)) }
			}
		}
	}
	if err != nil {
		return &fault{Op: "serve", Path: s.exports[0].Base, Err: err}
	}
	return nil
}

// statfs is what clients see as the size of the file system: the limit of the
// delta, and what the delta may still take.
func (e *export) statfs() (total, free uint64) {
	total = uint64(e.Limit)
	if u, err := e.store.Usage(); err == nil && u.Limit > 0 {
		total, free = u.Limit, u.Limit-u.Used
	}
	if disk, _, err := freeBytes(e.Store); err == nil {
		free = min(free, disk)
	}
	return total, free
}

// serve answers clients until ctx ends or somebody stops the server through
// a control socket. Calls in flight are finished.
func (s *server) serve(ctx context.Context) error {
	ctx, s.stop = context.WithCancel(ctx)
	var watches sync.WaitGroup
	defer watches.Wait()
	defer s.stop()
	for _, e := range s.exports {
		e.running = ctx
		e.ctl.start()
		watches.Go(func() {
			e.resume(ctx, s.cfg.Log)
			if e.CommitWhenFull {
				newAutoCommit(e, s.cfg.Log).run(ctx)
			}
		})
		watches.Go(func() { e.watch(ctx, s.cfg.Thresholds, s.cfg.Log) })
	}
	if s.portmap != nil {
		defer s.portmap.start(ctx)()
	}
	if err := s.nfs.Serve(ctx, s.ln); err != nil {
		return &fault{Op: "serve", Path: s.ln.Addr().String(), Err: err}
	}
	return nil
}

// close takes down what there is and syncs the stores. A control socket goes
// first, while its store is still locked, so that it is never another server's.
func (s *server) close() error {
	var first error
	closing := func(err error) {
		if first == nil {
			first = err
		}
	}
	if s.portmap != nil {
		closing(s.portmap.close())
	}
	for _, e := range s.exports {
		if e.ctl != nil {
			closing(e.ctl.close())
		}
		if e.lines != nil {
			closing(e.lines.close())
		}
		if e.base != nil {
			closing(e.base.Close())
		}
		if e.store != nil {
			closing(e.store.Close())
		}
	}
	return first
}

// defaultLimit is 90% of what is free, and of what the store takes already.
func defaultLimit(store string) (int64, error) {
	free, _, err := freeBytes(store)
	if errors.Is(err, errors.ErrUnsupported) {
		return 0, nil
	}
	if err != nil {
		return 0, &fault{Op: "look up free space of", Path: store, Err: bare(err), Hint: "--limit SIZE sets it"}
	}
	return int64(min((free+treeBytes(store))/10*9, 1<<62)), nil
}

// treeBytes is the size of the files of a store, as far as they can be seen.
func treeBytes(store string) uint64 {
	var sum uint64
	for _, sub := range []string{"", "log"} {
		files, err := os.ReadDir(store + string(os.PathSeparator) + sub)
		if err != nil {
			continue
		}
		for _, f := range files {
			if st, err := f.Info(); err == nil && st.Mode().IsRegular() {
				sum += uint64(st.Size())
			}
		}
	}
	return sum
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// processors returns how many the process may use. Where that is one, Go's scheduler is told of
// two: when a call of the system takes long, it takes the caller's processor away, if there is
// no other, and to have a thread for that wake up and look every 20 us takes longer than many
// of those calls. (Removals are 1.4 times as fast; see docs/performance.md.)
var processors = sync.OnceValue(func() int {
	n := runtime.GOMAXPROCS(0)
	if n == 1 && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2)
	}
	return n
})

package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"deltafs/billyfs"
	"deltafs/billyfs/rootfs"
	"deltafs/deltalog"
	"deltafs/nfsserver/gonfs"
)

// serverConfig is what a server is made from. Base and Store are real paths.
type serverConfig struct {
	Base, Store string
	Limit       int64 // bytes that the delta may take
	Immutable   bool
	Log         *slog.Logger
}

// server is a running server: what serve builds and takes down. Its parts are
// opened in the order of the fields and closed in the reverse one.
type server struct {
	cfg     serverConfig
	made    bool // the store was made by this server
	started time.Time
	ln      net.Listener
	store   *deltalog.Store
	base    *rootfs.FS
	tree    *billyfs.Tree
	nfs     *gonfs.Handler
	ctl     *control
	stop    context.CancelFunc // ends serve
}

// openServer opens store, base, tree and control socket; ln is the server's
// from here on. Nothing is served yet.
func openServer(cfg serverConfig, ln net.Listener) (_ *server, err error) {
	s := &server{cfg: cfg, ln: ln, started: time.Now(), stop: func() {}}
	defer func() {
		if err != nil {
			ln.Close()
			s.close()
		}
	}()
	o := deltalog.Options{Limit: cfg.Limit, Log: cfg.Log}
	if s.store, s.made, err = openOrCreate(cfg.Store, cfg.Base, o); err != nil {
		return nil, err
	}
	if s.base, err = rootfs.Open(cfg.Base); err != nil {
		return nil, &fault{Op: "open", Path: cfg.Base, Err: bare(err), Code: exitBase}
	}
	if s.tree, err = billyfs.Open(s.base, s.store, billyfs.Options{Immutable: cfg.Immutable, Log: cfg.Log}); err != nil {
		return nil, &fault{Op: "open", Path: cfg.Base, Err: err}
	}
	s.nfs, err = gonfs.New(s.tree, gonfs.Options{
		Export: "/", StoreID: s.store.ID(), MACKey: s.store.Key("handle"), Log: cfg.Log, Statfs: s.statfs,
	})
	if err != nil {
		return nil, &fault{Op: "serve", Path: cfg.Base, Err: err}
	}
	if s.ctl, err = listenControl(cfg.Store, s.routes(), cfg.Log); err != nil {
		return nil, err
	}
	return s, nil
}

// statfs is what clients see as the size of the file system: the limit of the
// delta, and what the delta may still take.
func (s *server) statfs() (total, free uint64) {
	total = uint64(s.cfg.Limit)
	if info, err := s.store.Info(); err == nil && info.DiskBytes < total {
		free = total - info.DiskBytes
	}
	if disk, _, err := freeBytes(s.cfg.Store); err == nil {
		free = min(free, disk)
	}
	return total, free
}

// serve answers clients until ctx ends or somebody stops the server through
// the control socket. Calls in flight are finished.
func (s *server) serve(ctx context.Context) error {
	ctx, s.stop = context.WithCancel(ctx)
	defer s.stop()
	s.ctl.start()
	if err := s.nfs.Serve(ctx, s.ln); err != nil {
		return &fault{Op: "serve", Path: s.ln.Addr().String(), Err: err}
	}
	return nil
}

// close takes down what there is and syncs the store. The control socket goes
// first, while the store is still locked, so that it is never another server's.
func (s *server) close() error {
	var errs []error
	if s.ctl != nil {
		errs = append(errs, s.ctl.close())
	}
	if s.tree != nil {
		errs = append(errs, s.tree.Close())
	}
	if s.base != nil {
		errs = append(errs, s.base.Close())
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
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

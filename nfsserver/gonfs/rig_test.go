package gonfs

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"deltafs/billyfs"
	"deltafs/billyfs/rootfs"
	"deltafs/deltalog"
)

// rig is a server on loopback over a base and a store of its own.
type rig struct {
	t     testing.TB
	base  string
	dir   string // of the store
	opts  Options
	addr  string
	store *deltalog.Store
	tree  *billyfs.Tree
	h     *Handler
	stop  func()
}

// newRig serves a base with a few files.
func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, base: t.TempDir(), dir: filepath.Join(t.TempDir(), "delta")}
	for name, content := range map[string]string{
		"hello": "hello, world\n", "dir/one": "1", "dir/sub/two": "22", "empty": "",
	} {
		p := filepath.Join(r.base, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	store, err := deltalog.Create(r.dir, deltalog.Options{Limit: 1 << 28})
	if err != nil {
		t.Fatal(err)
	}
	r.store = store
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *rig) start() {
	r.t.Helper()
	fsys, err := rootfs.Open(r.base)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.tree, err = billyfs.Open(fsys, r.store, billyfs.Options{}); err != nil {
		r.t.Fatal(err)
	}
	o := r.opts
	o.StoreID, o.MACKey = r.store.ID(), r.store.Key("handle")
	if r.h, err = New(r.tree, o); err != nil {
		r.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.h.Serve(ctx, l) }()
	r.stop = func() {
		cancel()
		select {
		case err := <-served:
			if err != nil {
				r.t.Errorf("serve: %v", err)
			}
		case <-time.After(time.Minute):
			r.t.Error("the server does not stop")
		}
		if err := r.store.Close(); err != nil {
			r.t.Errorf("close: %v", err)
		}
		fsys.Close()
		r.stop = func() {}
	}
}

// restart ends the server and starts it again over the same store.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	var err error
	if r.store, err = deltalog.Open(r.dir, deltalog.Options{}); err != nil {
		r.t.Fatal(err)
	}
	r.start()
}

// mounted returns a client, as root, and the root's handle.
func (r *rig) mounted() (*client, []byte) {
	r.t.Helper()
	c := dial(r.t, r.addr)
	return c, c.mount("/")
}

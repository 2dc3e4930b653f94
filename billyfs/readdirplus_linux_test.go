package billyfs

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5"

	"deltafs/deltalog"
)

// TestReadDirPlus: what a listing says of its entries is what is said when one asks for
// each, whatever has become of them: changed, moved, removed, of several names, committed;
// the first time and again.
func TestReadDirPlus(t *testing.T) {
	plain, stores := t.TempDir(), storesDir(t)
	populate(t, plain)
	for seed := range uint64(30) {
		base := freshDir(stores)
		copyTree(t, plain, base)
		r := openOver(t, base, freshDir(stores), smallSegment)
		compare := func(when string) {
			for _, again := range []string{"", ", again"} {
				eachObject(t, r.Tree, func(p string, ino Ino) {
					a, err := r.Attr(ino)
					must(t, err)
					if a.Mode&TypeMask == TypeDir {
						comparePlus(t, r.Tree, ino, when+again+", "+p)
					}
				})
				comparePlus(t, r.Tree, RootIno, when+again+", the root")
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		}
		compare("untouched")
		changeRandomly(t, r, seed, 12)
		compare("changed")
		r.reopen(false)
		compare("reopened")
		if _, err := r.Commit(CommitOptions{Base: writer(t, base)}); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		compare("committed")
		changeRandomly(t, r, seed+1000, 6)
		compare("changed after a commit")
		r.close()
		os.RemoveAll(base)
		os.RemoveAll(r.dir)
	}
}

func comparePlus(t *testing.T, tree *Tree, dir Ino, when string) {
	t.Helper()
	var names []string
	_, err := tree.ReadDirPlus(dir, 0, func(e DirEntry, p *Plus) bool {
		names = append(names, e.Name)
		a, aerr := tree.Attr(e.Ino)
		if p.HasAttr != (aerr == nil) || p.HasAttr && p.Attr != a {
			t.Errorf("%s, %s: attributes %+v, %v; asked for, %+v, %v", when, e.Name, p.Attr, p.HasAttr, a, aerr)
		}
		h, herr := tree.Handle(e.Ino)
		if p.HasHandle != (herr == nil) || p.HasHandle && p.Handle != h {
			t.Errorf("%s, %s: handle %+v, %v; asked for, %+v, %v", when, e.Name, p.Handle, p.HasHandle, h, herr)
		}
		return true
	})
	must(t, err)
	i := 0
	_, err = tree.ReadDir(dir, 0, func(e DirEntry) bool {
		if i >= len(names) || names[i] != e.Name {
			t.Errorf("%s: entry %d is %s", when, i, e.Name)
		}
		i++
		return true
	})
	must(t, err)
}

// meeting is a base on which, while it is on, the first look takes long, and those after it wait until there are several at a
// time, once.
type meeting struct {
	billy.Filesystem
	on      atomic.Bool
	slow    atomic.Bool // the first has come
	waiting atomic.Int64
	met     chan struct{} // closed when enough have come
	alone   atomic.Int64  // looks that waited in vain
}

const meet = 4

func (m *meeting) Lstat(name string) (fs.FileInfo, error) {
	if m.on.Load() && strings.Contains(name, "/f") {
		if !m.slow.Swap(true) {
			time.Sleep(20 * farLook)
			return m.Filesystem.Lstat(name)
		}
		if m.waiting.Add(1) == meet {
			m.on.Store(false)
			close(m.met)
		}
		select {
		case <-m.met:
		case <-time.After(20 * time.Second):
			m.alone.Add(1)
			m.on.Store(false)
		}
	}
	return m.Filesystem.Lstat(name)
}

// newRigAt is a rig whose base can change, at a time that the test moves.
func newRigAt(t *testing.T, fsys billy.Filesystem, c *clock) *rig {
	t.Helper()
	r := newRigOver(t, fsys, filepath.Join(t.TempDir(), "delta"))
	r.close()
	r.opts = Options{Now: c.now}
	store, err := deltalog.Open(r.dir, storeOptions(fullSegment))
	must(t, err)
	r.store = store
	r.open()
	return r
}

// TestRenew: what was listed holds for longer exactly if it would be listed again.
func TestRenew(t *testing.T) {
	const files = 40
	type renewal struct {
		*rig
		base  string
		list  Ino
		clock *clock
	}
	in := func(r *renewal, name string) string { return filepath.Join(r.base, "d", name) }
	write := func(name, content string) func(*renewal) {
		return func(r *renewal) { must(t, os.WriteFile(in(r, name), []byte(content), 0o644)) }
	}
	both := func(fns ...func(*renewal)) func(*renewal) {
		return func(r *renewal) {
			for _, fn := range fns {
				fn(r)
			}
		}
	}
	change := func(r *renewal, name string) {
		_, err := r.WriteAt(root, r.path(name).Ino, []byte("new"), 0)
		must(t, err)
	}
	later := func(r *renewal) { r.clock.later() }
	forget := func(r *renewal) { r.Tree.base.objs.delete(r.path("d/f7").Ino) }
	know := func(r *renewal) { r.path("d/f7") }
	for _, c := range []struct {
		what   string
		do     func(*renewal)
		renews bool
	}{
		{"nothing", func(*renewal) {}, true},
		{"a second", later, true},
		{"two seconds", both(later, later), true},
		{"a file of the base changes, and is believed", write("f7", "content"), true},
		{"a file of the base changes", both(write("f7", "content"), later), false},
		{"a name more in the base", both(write("more", ""), later), false},
		{"a name less in the base", both(func(r *renewal) { must(t, os.Remove(in(r, "f7"))) }, later), false},
		{"another mode", both(func(r *renewal) { must(t, os.Chmod(in(r, "f7"), 0o600)) }, later), false},
		{"something else by that name", both(func(r *renewal) { must(t, os.Remove(in(r, "f7"))) }, func(r *renewal) { must(t, os.Mkdir(in(r, "f7"), 0o755)) }, later), false},
		{"the directory has gone", both(func(r *renewal) { must(t, os.RemoveAll(filepath.Join(r.base, "d"))) }, later), false},
		{"a file is changed", func(r *renewal) { change(r, "d/f7") }, false},
		{"a file of another directory is changed", func(r *renewal) { change(r, "other") }, false},
		{"a file is forgotten", forget, false},
		{"a file is forgotten, changes, and is met again", both(forget, write("f7", "content"), know, later), false},
	} {
		base, clk := t.TempDir(), newClock()
		clk.ns.Store(time.Now().Add(time.Hour).UnixNano()) // long after the directory was changed
		must(t, os.Mkdir(filepath.Join(base, "d"), 0o755))
		must(t, os.WriteFile(filepath.Join(base, "other"), nil, 0o644))
		for i := range files {
			must(t, os.WriteFile(filepath.Join(base, "d", fmt.Sprint("f", i)), nil, 0o644))
		}
		r := &renewal{rig: newRigAt(t, openRoot(t, base), clk), base: base, clock: clk}
		r.list = r.path("d").Ino
		_, err := r.ReadDir(r.list, 0, func(DirEntry) bool { return true }) // to read it from the base is a change of what is known
		must(t, err)
		stamp, last, n := r.Stamp(), uint64(0), 0
		stamp.Until = Forever
		_, err = r.ReadDirPlus(r.list, cookieDotDot, func(e DirEntry, p *Plus) bool {
			if !p.Renews || p.Until == 0 {
				t.Errorf("%s is believed until %d, and then: %v", e.Name, p.Until, p.Renews)
			}
			stamp.Until, last, n = min(stamp.Until, p.Until), e.Cookie, n+1
			return true
		})
		must(t, err)
		if n != files {
			t.Errorf("%d files", n)
		}
		c.do(r)
		for again := range 2 {
			s, ok := r.Renew(stamp, r.list, cookieDotDot, last)
			if ok != c.renews || ok && !r.Unchanged(s) {
				t.Errorf("%s (%d): it is %v that the listing holds; until %d, and it is %d", c.what, again, ok, s.Until, clk.now())
			}
		}
		r.close()
	}
}

// TestListingLooksAhead: what was listed before and is too old to be believed is looked at several at a time, and seen as it
// is now.
func TestListingLooksAhead(t *testing.T) {
	base, c := t.TempDir(), newClock()
	c.ns.Store(time.Now().Add(time.Hour).UnixNano()) // long after the directory was changed
	must(t, os.Mkdir(filepath.Join(base, "d"), 0o755))
	const files = lookAhead * 3 / 2
	for i := range files {
		must(t, os.WriteFile(filepath.Join(base, "d", fmt.Sprint("f", i)), nil, 0o644))
	}
	m := &meeting{Filesystem: openRoot(t, base), met: make(chan struct{})}
	r := newRigAt(t, m, c)
	defer r.close()
	dir := r.path("d").Ino
	sizes := func() map[string]uint64 {
		t.Helper()
		all := map[string]uint64{}
		_, err := r.ReadDirPlus(dir, 0, func(e DirEntry, p *Plus) bool {
			if p.HasAttr && strings.HasPrefix(e.Name, "f") {
				all[e.Name] = p.Attr.Size
			}
			return true
		})
		must(t, err)
		return all
	}
	if n := len(sizes()); n != files {
		t.Fatalf("%d files, not %d", n, files)
	}
	must(t, os.WriteFile(filepath.Join(base, "d", "f7"), []byte("content"), 0o644))
	c.later()
	m.on.Store(true)
	got := sizes()
	if n := m.alone.Load(); n > 0 || m.waiting.Load() < meet {
		t.Errorf("%d looks at the base at a time, of which %d waited for %d others in vain", m.waiting.Load(), n, meet-1)
	}
	if len(got) != files || got["f7"] != 7 || got["f8"] != 0 {
		t.Errorf("%d files, f7 has %d bytes", len(got), got["f7"])
	}
	must(t, os.Remove(filepath.Join(base, "d", "f8")))
	c.later()
	if got = sizes(); len(got) != files-1 {
		t.Errorf("%d files, with one removed from %d", len(got), files)
	}
}

// TestRenewAhead: what is renewed before it is too old is believed for longer, where directories can be held open and where they
// cannot.
func TestRenewAhead(t *testing.T) {
	for what, held := range map[string]bool{"held open": true, "not": false} {
		base, clk := t.TempDir(), newClock()
		clk.ns.Store(time.Now().Add(time.Hour).UnixNano()) // long after the directory was changed
		for i := range 40 {
			must(t, os.WriteFile(filepath.Join(base, fmt.Sprint("f", i)), nil, 0o644))
		}
		fsys := openRoot(t, base)
		if !held {
			fsys = struct{ billy.Filesystem }{fsys}
		}
		r := newRigAt(t, fsys, clk)
		all := func(DirEntry, *Plus) bool { return true }
		for range 2 { // to read it from the base is a change of what is known
			_, err := r.ReadDirPlus(RootIno, 0, all)
			must(t, err)
		}
		s := r.Stamp()
		s.Until = clk.now() + trust
		if r.Ages(s) {
			t.Errorf("%s: it ages at once", what)
		}
		clk.ns.Add(trust * 7 / 10)
		again, ok := r.Renew(s, RootIno, cookieDotDot, math.MaxUint64)
		if !r.Ages(s) || !ok || again.Until != clk.now()+trust || r.Ages(again) {
			t.Errorf("%s: renewed %v, for %d ns longer, ages %v and %v", what, ok, again.Until-s.Until, r.Ages(s), r.Ages(again))
		}
		r.close()
	}
}

// TestClockSetBack: what was said of the base before the clock was set back is asked for again.
func TestClockSetBack(t *testing.T) {
	base, clk := t.TempDir(), newClock()
	start := time.Now().Add(time.Hour).UnixNano() // long after the directory was changed
	clk.ns.Store(start)
	must(t, os.Mkdir(filepath.Join(base, "d"), 0o755))
	for i := range 40 {
		must(t, os.WriteFile(filepath.Join(base, "d", fmt.Sprint("f", i)), nil, 0o644))
	}
	r := newRigAt(t, openRoot(t, base), clk)
	defer r.close()
	dir := r.path("d").Ino
	list := func() (s Stamp, sizes map[string]uint64) {
		sizes = map[string]uint64{}
		s = r.Stamp()
		s.Until = Forever
		_, err := r.ReadDirPlus(dir, 0, func(e DirEntry, p *Plus) bool {
			s.Until, sizes[e.Name] = min(s.Until, p.Until), p.Attr.Size
			return true
		})
		must(t, err)
		return s, sizes
	}
	list() // to read it from the base is a change of what is known
	r.path("d/f7")
	s, _ := list()
	if _, ok := r.Cached(dir, []byte("f7")); !ok || !r.Unchanged(s) {
		t.Fatal("nothing is kept")
	}
	must(t, os.Remove(filepath.Join(base, "d/f7")))
	must(t, os.WriteFile(filepath.Join(base, "d/f8"), []byte("content"), 0o644))
	clk.ns.Store(start - int64(time.Minute))
	if _, ok := r.Cached(dir, []byte("f7")); ok {
		t.Error("a name is cached from times to come")
	}
	if r.Unchanged(s) {
		t.Error("a listing holds from times to come")
	}
	if _, sizes := list(); len(sizes) != 39+2 || sizes["f8"] != 7 {
		t.Errorf("%d names, f8 has %d bytes", len(sizes), sizes["f8"])
	}
}

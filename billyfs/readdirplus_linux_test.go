package billyfs

import (
	"fmt"
	"io/fs"
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

// meeting is a base on which, while it is on, looks wait until there are several at a time, once.
type meeting struct {
	billy.Filesystem
	on      atomic.Bool
	waiting atomic.Int64
	met     chan struct{} // closed when enough have come
	alone   atomic.Int64  // looks that waited in vain
}

const meet = 4

func (m *meeting) Lstat(name string) (fs.FileInfo, error) {
	if m.on.Load() && strings.Contains(name, "/f") {
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
	r := newRigOver(t, m, filepath.Join(t.TempDir(), "delta"))
	r.close()
	r.opts = Options{Now: c.now}
	store, err := deltalog.Open(r.dir, storeOptions(fullSegment))
	must(t, err)
	r.store = store
	r.open()
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

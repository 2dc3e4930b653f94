package billyfs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"deltafs/billyfs/rootfs"
)

// countingFS counts what is asked of a directory of the host.
type countingFS struct {
	*rootfs.FS
	walks, opens, looks, closes atomic.Int64
}

func (c *countingFS) Lstat(name string) (fs.FileInfo, error) {
	c.walks.Add(1)
	return c.FS.Lstat(name)
}

func (c *countingFS) OpenDir(name string) (openDir, error) {
	d, err := c.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	c.opens.Add(1)
	return countingDir{d, c}, nil
}

type countingDir struct {
	openDir
	c *countingFS
}

func (d countingDir) Lstat(name string) (fs.FileInfo, error) {
	d.c.looks.Add(1)
	return d.openDir.Lstat(name)
}

func (d countingDir) Close() error {
	d.c.closes.Add(1)
	return d.openDir.Close()
}

// newCounted is a base of directories d0, d1, ... with a hundred files each.
func newCounted(t *testing.T, dirs int) (hostBase, *countingFS) {
	h := hostBase{dir: t.TempDir(), clock: newClock()}
	for d := range dirs {
		for f := range 100 {
			h.write(t, fmt.Sprintf("d%d/f%d", d, f), "old")
		}
	}
	root, err := rootfs.Open(h.dir)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	c := &countingFS{FS: root}
	h.base = openTestBase(t, c, baseOptions{now: h.clock.now})
	return h, c
}

// TestManyNamesInADirectory: it is opened once in a second, and then it is one call of the system for each.
func TestManyNamesInADirectory(t *testing.T) {
	h, c := newCounted(t, 1)
	for range 3 {
		before := [...]int64{c.walks.Load(), c.opens.Load(), c.looks.Load()}
		for f := range 100 {
			ino := walk(t, h, fmt.Sprint("d0/f", f))
			if f%10 == 0 { // is known already
				if _, err := h.Attr(ino); err != nil {
					t.Error(err)
				}
			}
		}
		walks, opens, looks := c.walks.Load()-before[0], c.opens.Load()-before[1], c.looks.Load()-before[2]
		if walks > 2 || opens > 2 || walks+looks > 102 { // the directory itself, and the root
			t.Errorf("%d walks, %d directories opened, %d names looked at in them", walks, opens, looks)
		}
		h.clock.later()
	}
}

// TestMovedDirectory: a directory that was moved, and another put in its place, is seen for what it is as soon as what
// is known of the base is not believed any more.
func TestMovedDirectory(t *testing.T) {
	h, _ := newCounted(t, 1)
	for f := range 50 {
		walk(t, h, fmt.Sprint("d0/f", f))
	}
	must(t, os.Rename(h.path("d0"), h.path("away")))
	h.write(t, "d0/f60", "the new one")
	h.clock.later()
	for f := range 100 {
		ino, err := lookupPath(h, fmt.Sprint("d0/f", f))
		if f != 60 {
			wantKind(t, err, NotExist)
			continue
		}
		must(t, err)
		if s, err := content(h.base, ino); err != nil || s != "the new one" {
			t.Errorf("it holds %q, %v", s, err)
		}
	}
	must(t, os.RemoveAll(h.path("d0")))
	h.clock.later()
	_, err := lookupPath(h, "d0/f60")
	wantKind(t, err, NotExist)
	walk(t, h, "away/f60")
}

// TestDirectoriesHeldOpen: no more than there may be, and none in the end.
func TestDirectoriesHeldOpen(t *testing.T) {
	h, c := newCounted(t, 6)
	h.held.max = 3
	for range 3 {
		for d := range 6 {
			for f := range 20 {
				walk(t, h, fmt.Sprintf("d%d/f%d", d, f))
			}
			if n := c.opens.Load() - c.closes.Load(); n > 3 {
				t.Fatalf("%d directories are open", n)
			}
		}
		h.clock.later()
	}
	if c.opens.Load() < 6 {
		t.Errorf("only %d were opened", c.opens.Load())
	}
	must(t, h.close())
	if n := c.opens.Load() - c.closes.Load(); n != 0 {
		t.Errorf("%d directories are still open", n)
	}
	walk(t, h, filepath.Join("d0", "f99")) // by its path
}

// TestBasesShareOpenDirectories: where there are more bases each holds fewer, and what a base that was alone held more goes
// when it opens the next.
func TestBasesShareOpenDirectories(t *testing.T) {
	h, c := newCounted(t, 6)
	h.held.all = 4 * int(dirCaches.Load())
	look := func(most int) {
		t.Helper()
		for d := range 6 {
			walk(t, h, fmt.Sprintf("d%d/f0", d))
			if n := int(c.opens.Load() - c.closes.Load()); n > most {
				t.Errorf("%d directories are open, at most %d are to be", n, most)
			}
		}
	}
	look(4)
	others := int(dirCaches.Load()) // as many again
	for range others {
		b, _ := newCounted(t, 1)
		defer b.close()
	}
	look(4) // before all have been opened anew
	h.clock.later()
	look(2)
}

// TestDirectoryThatDoesNotOpen: names in it are found by their paths.
func TestDirectoryThatDoesNotOpen(t *testing.T) {
	h, c := newCounted(t, 1)
	h.base.fs = noDirs{c}
	for f := range 100 {
		walk(t, h, fmt.Sprint("d0/f", f))
	}
}

type noDirs struct{ *countingFS }

func (noDirs) OpenDir(string) (openDir, error) { return nil, fs.ErrPermission }

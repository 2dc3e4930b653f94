package billyfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-billy/v5/util"

	"deltafs/billyfs/rootfs"
)

// clock is a time that tests move.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(1_700_000_000e9)
	return c
}

func (c *clock) now() int64 { return c.ns.Load() }
func (c *clock) later()     { c.ns.Add(trust) }

var testKey = [32]byte{1, 2, 3, 31: 4}

func openTestBase(t *testing.T, fsys billy.Filesystem, o baseOptions) *base {
	t.Helper()
	b, err := openBase(fsys, testKey, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.close() })
	return b
}

// hostBase is a base over a directory of the host, with a clock to move.
type hostBase struct {
	*base
	dir   string
	clock *clock
}

func newHostBase(t *testing.T, o baseOptions) hostBase {
	t.Helper()
	h := hostBase{dir: t.TempDir(), clock: newClock()}
	return h.reopen(t, o)
}

// reopen is a new process over the same directory.
func (h hostBase) reopen(t *testing.T, o baseOptions) hostBase {
	t.Helper()
	fsys, err := rootfs.Open(h.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.Close() })
	o.now = h.clock.now
	h.base = openTestBase(t, fsys, o)
	return h
}

func (h hostBase) path(name string) string { return filepath.Join(h.dir, name) }

func (h hostBase) write(t *testing.T, name, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(h.path(name)), 0o755))
	must(t, os.WriteFile(h.path(name), []byte(content), 0o644))
}

func must(t tester, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// walk looks up a path.
func walk(t *testing.T, b Lower, path string) Ino {
	t.Helper()
	ino, err := lookupPath(b, path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return ino
}

func lookupPath(b Lower, path string) (ino Ino, err error) {
	ino = b.Root()
	for _, name := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' }) {
		if ino, err = b.Lookup(ino, name); err != nil {
			return 0, err
		}
	}
	return ino, nil
}

func content(b *base, ino Ino) (string, error) {
	s, err := io.ReadAll(io.NewSectionReader(readerAt{b, ino}, 0, 1<<40))
	return string(s), err
}

type readerAt struct {
	b   *base
	ino Ino
}

func (r readerAt) ReadAt(p []byte, off int64) (int, error) { return r.b.ReadAt(r.ino, p, off) }

func wantKind(t *testing.T, err error, want Kind) {
	t.Helper()
	if KindOf(err) != want {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// TestBaseTree reads one tree through every kind of base.
func TestBaseTree(t *testing.T) {
	dir := t.TempDir()
	host, err := rootfs.Open(dir)
	must(t, err)
	defer host.Close()
	mem := memfs.New()
	must(t, util.WriteFile(mem, "a/b/file", []byte("content"), 0o640))
	must(t, mem.Symlink("b/file", "a/link"))
	must(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "a/b/file"), []byte("content"), 0o640))
	must(t, os.Symlink("b/file", filepath.Join(dir, "a/link")))
	for name, fsys := range map[string]billy.Filesystem{"memfs": mem, "rootfs": host} {
		t.Run(name, func(t *testing.T) {
			b := openTestBase(t, fsys, baseOptions{})
			file := walk(t, b, "a/b/file")
			a, err := b.Attr(file)
			must(t, err)
			if a.Ino != file || a.Mode != TypeRegular|0o640 || a.Size != 7 || a.Nlink != 1 {
				t.Errorf("attributes %+v", a)
			}
			if s, err := content(b, file); s != "content" || err != nil {
				t.Errorf("content %q, %v", s, err)
			}
			link := walk(t, b, "a/link")
			if s, err := b.Readlink(link); s != "b/file" || err != nil {
				t.Errorf("target %q, %v", s, err)
			}
			if a, err := b.Attr(walk(t, b, "a")); err != nil || a.Nlink != 3 || a.Mode&TypeMask != TypeDir {
				t.Errorf("directory %+v, %v", a, err)
			}
			list, err := b.ReadDir(walk(t, b, "a"))
			must(t, err)
			got := map[string]DirEntry{}
			for _, e := range list {
				got[e.Name] = e
			}
			if len(list) != 2 || got["link"].Ino != link || got["link"].Type != TypeSymlink || got["b"].Type != TypeDir {
				t.Errorf("listing %+v", list)
			}
		})
	}
}

func TestBaseErrors(t *testing.T) {
	h := newHostBase(t, baseOptions{})
	h.write(t, "d/f", "x")
	must(t, os.Symlink("f", h.path("d/l")))
	d, f, l := walk(t, h, "d"), walk(t, h, "d/f"), walk(t, h, "d/l")
	lookup := func(dir Ino, name string) error { _, err := h.Lookup(dir, name); return err }
	read := func(ino Ino, off int64) error { _, err := h.ReadAt(ino, make([]byte, 1), off); return err }
	readdir := func(ino Ino) error { _, err := h.ReadDir(ino); return err }
	readlink := func(ino Ino) error { _, err := h.Readlink(ino); return err }
	for _, c := range []struct {
		name string
		err  error
		want Kind
	}{
		{"missing name", lookup(d, "none"), NotExist},
		{"empty name", lookup(d, ""), NotExist},
		{"dot dot", lookup(d, ".."), NotExist},
		{"slash in name", lookup(h.Root(), "d/f"), NotExist},
		{"long name", lookup(d, strings.Repeat("n", 256)), NotExist},
		{"lookup in a file", lookup(f, "x"), NotDir},
		{"lookup in a symlink", lookup(l, "x"), NotDir},
		{"unknown number", lookup(4711, "x"), Stale},
		{"read a directory", read(d, 0), IsDir},
		{"read a symlink", read(l, 0), Invalid},
		{"negative offset", read(f, -1), Invalid},
		{"list a file", readdir(f), NotDir},
		{"target of a file", readlink(f), Invalid},
	} {
		if KindOf(c.err) != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.err, c.want)
		}
	}
	if err := read(f, 1); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestBaseObjectThatGoesIsStale(t *testing.T) {
	h := newHostBase(t, baseOptions{})
	h.write(t, "f", "x")
	h.write(t, "g", "x")
	f, g := walk(t, h, "f"), walk(t, h, "g")
	must(t, os.Remove(h.path("f")))
	must(t, os.Remove(h.path("g")))
	must(t, os.Mkdir(h.path("g"), 0o755))
	h.clock.later()
	_, err := h.Attr(f)
	wantKind(t, err, Stale)
	_, err = h.Attr(g)
	wantKind(t, err, Stale) // same number, another type
	old, err := h.gen(walk(t, h, "g"))
	must(t, err)
	if old == h.id.genPlain(RootIno, "g", TypeRegular) {
		t.Error("a change of type kept the generation")
	}
}

func TestBaseVanished(t *testing.T) {
	if _, err := rootfs.Open(filepath.Join(t.TempDir(), "gone")); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Fatalf("error %v does not name the directory", err)
	}
	h := newHostBase(t, baseOptions{})
	h.write(t, "f", "x")
	f := walk(t, h, "f")
	must(t, os.RemoveAll(h.dir))
	h.clock.later()
	_, err := h.Attr(f)
	if KindOf(err) != KindIO || !strings.Contains(err.Error(), h.dir) {
		t.Fatalf("error %v: want an I/O error that names %s", err, h.dir)
	}
}

func TestBaseListingFollowsTheDirectory(t *testing.T) {
	h := newHostBase(t, baseOptions{})
	h.write(t, "d/1", "")
	d := walk(t, h, "d")
	count := func() int {
		t.Helper()
		list, err := h.ReadDir(d)
		must(t, err)
		return len(list)
	}
	if count() != 1 {
		t.Fatal("one file expected")
	}
	h.write(t, "d/2", "")
	if count() != 1 {
		t.Error("the base was asked again within a second")
	}
	h.clock.later()
	if count() != 2 {
		t.Error("a new file is not seen after a second")
	}
}

func TestBaseImmutableIsNotAskedAgain(t *testing.T) {
	h := newHostBase(t, baseOptions{immutable: true})
	h.write(t, "d/1", "")
	d, f := walk(t, h, "d"), walk(t, h, "d/1")
	_, err := h.ReadDir(d)
	must(t, err)
	must(t, os.RemoveAll(h.path("d")))
	h.clock.later()
	if list, err := h.ReadDir(d); err != nil || len(list) != 1 {
		t.Errorf("listing %v, %v", list, err)
	}
	if _, err := h.Attr(f); err != nil {
		t.Error(err)
	}
}

func TestBaseListingIsInCookieOrder(t *testing.T) {
	mem := memfs.New()
	for i := range 500 {
		must(t, util.WriteFile(mem, fmt.Sprintf("d/file %d", i), nil, 0o644))
	}
	b := openTestBase(t, mem, baseOptions{})
	d := walk(t, b, "d")
	list, err := b.ReadDir(d)
	must(t, err)
	for i, e := range list {
		if e.Cookie != b.cookie(e.Name) || e.Cookie <= cookieDotDot || e.Cookie>>62 != 0 {
			t.Fatalf("cookie %#x of %q", e.Cookie, e.Name)
		}
		if i > 0 && compareEntries(list[i-1], e) >= 0 {
			t.Fatalf("%q before %q", list[i-1].Name, e.Name)
		}
		if got := findEntry(list, e.Cookie, e.Name); got == nil || got.Name != e.Name {
			t.Fatalf("%q is not found", e.Name)
		}
	}
	if len(list) != 500 || findEntry(list, b.cookie("none"), "none") != nil {
		t.Error("wrong listing")
	}
}

func TestListCacheStaysInItsBounds(t *testing.T) {
	var c listCache
	c.init(1000)
	for i := range Ino(300) {
		c.put(i, &listing{entries: make([]DirEntry, i%50)})
		c.get(0) // used all the time
		total := 0
		for _, l := range c.dirs {
			total += l.cost()
		}
		if total != c.total || total > c.max+listsInUse*50 {
			t.Fatalf("counted %d, has %d", c.total, total)
		}
	}
	if c.get(0) == nil {
		t.Error("the listing in use was dropped")
	}
	c.put(1000, &listing{entries: make([]DirEntry, 9000)})
	for i := range Ino(listsInUse / 2) {
		c.put(2000+i, &listing{entries: make([]DirEntry, 100)})
		if c.get(1000) == nil {
			t.Fatal("a large listing in use was dropped")
		}
	}
	for i := range Ino(20) {
		c.put(3000+i, &listing{entries: make([]DirEntry, 100)})
	}
	if c.get(1000) != nil || c.total > c.max {
		t.Error("a large listing that nobody uses was kept")
	}
}

func TestObjectsStayInBounds(t *testing.T) {
	const each = 1600 // of a shard
	b := openTestBase(t, memfs.New(), baseOptions{known: each * objShards})
	b.objs.entered.Store(each * objShards) // those that come now were not seen for long
	st := &stat{attr: Attr{Mode: TypeRegular, Nlink: 1}}
	shard := b.objs.shard(77)
	count := func() (dirs, files int) {
		for _, o := range shard.m {
			if o.typ == TypeDir {
				dirs++
			} else {
				files++
			}
		}
		return dirs, files
	}
	for ino := Ino(1000); ; ino++ {
		if b.objs.shard(ino) != shard {
			continue
		}
		if dirs, files := count(); dirs < 100 {
			b.objs.set(&object{ino: ino, typ: TypeDir})
		} else if files < each {
			b.objs.set(&object{ino: ino, typ: TypeRegular})
		} else {
			break
		}
	}
	_, err := b.enterAs(77, place{RootIno, "x"}, false, st, 0)
	must(t, err)
	// Which files go is up to the map's order.
	if dirs, files := count(); dirs != 100 || files != each-each/16+1 || shard.files != files || b.known(77) == nil {
		t.Errorf("%d directories, %d files (%d), the new one: %v", dirs, files, shard.files, b.known(77))
	}

	// Those that are looked up stay, and so do those that just came.
	const most, all = 10 * objShards, 4 * justSeen
	b = openTestBase(t, memfs.New(), baseOptions{known: most})
	for i := range Ino(all) {
		_, err := b.enterAs(10_000+i, place{RootIno, fmt.Sprint("x", i)}, false, st, 0)
		must(t, err)
		if b.known(10_000+i%100) == nil {
			t.Fatalf("%d was forgotten, though it was used all the time", i%100)
		}
	}
	n := 0
	for i := range Ino(all) {
		if b.objs.shard(10_000 + i).m[10_000+i] != nil {
			n++
		} else if i+justSeen >= all {
			t.Fatalf("%d of %d was forgotten", i, all)
		}
	}
	if n > most+100+justSeen+2*objShards {
		t.Errorf("%d files are kept in mind, of %d", n, most)
	}
}

func TestBaseConcurrentReaders(t *testing.T) {
	h := newHostBase(t, baseOptions{})
	for i := range 40 {
		h.write(t, fmt.Sprintf("d%d/f%d", i%4, i), strings.Repeat(fmt.Sprint(i), 1000))
	}
	h.fds.max, h.held.max = 3, 2 // so that files and directories are closed under readers
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 200 {
				n := (i*7 + w) % 40
				ino, err := lookupPath(h, fmt.Sprintf("d%d/f%d", n%4, n))
				if err != nil {
					t.Error(err)
					return
				}
				p := make([]byte, 10)
				if _, err := h.ReadAt(ino, p, 20); err != nil || !bytes.Contains([]byte(strings.Repeat(fmt.Sprint(n), 100)), p) {
					t.Errorf("file %d: %q, %v", n, p, err)
				}
				if i%50 == 0 {
					h.clock.later()
				}
			}
		})
	}
	wg.Wait()
	must(t, h.close())
	if n, m := h.fds.lru.Len(), h.held.lru.Len(); n+m != 0 {
		t.Errorf("%d files and %d directories still open", n, m)
	}
}

func TestModeOf(t *testing.T) {
	for from, want := range map[fs.FileMode]uint32{
		0o644:                                 TypeRegular | 0o644,
		fs.ModeDir | fs.ModeSticky | 0o777:    TypeDir | 0o1777,
		fs.ModeSymlink | 0o777:                TypeSymlink | 0o777,
		fs.ModeSetuid | fs.ModeSetgid | 0o755: TypeRegular | 0o6755,
		fs.ModeNamedPipe:                      TypeFIFO,
		fs.ModeSocket:                         TypeSocket,
		fs.ModeDevice:                         TypeBlock,
		fs.ModeDevice | fs.ModeCharDevice:     TypeChar,
		fs.ModeIrregular:                      0,
	} {
		if got := modeOf(from); got != want {
			t.Errorf("%v: %o, want %o", from, got, want)
		}
	}
}

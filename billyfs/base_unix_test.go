//go:build linux || darwin || freebsd

package billyfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"deltafs/deltalog"
)

func TestHardLinksAreOneObject(t *testing.T) {
	h := newHostBase(t, baseOptions{})
	h.write(t, "a/one", "x")
	h.write(t, "alone", "y")
	must(t, os.Mkdir(h.path("b"), 0o755))
	must(t, os.Link(h.path("a/one"), h.path("b/two")))
	one, two := walk(t, h, "a/one"), walk(t, h, "b/two")
	if one != two {
		t.Fatalf("numbers %d and %d of one file", one, two)
	}
	if s, err := h.shared(one); !s || err != nil {
		t.Errorf("shared: %v, %v", s, err)
	}
	if s, err := h.shared(walk(t, h, "alone")); s || err != nil {
		t.Errorf("a file with one name is shared: %v", err)
	}
	if a, err := h.Attr(one); err != nil || a.Nlink != 2 {
		t.Errorf("nlink %d, %v", a.Nlink, err)
	}
	list, err := h.ReadDir(walk(t, h, "b"))
	if err != nil || list[0].Ino != one {
		t.Errorf("listing %v, %v", list, err)
	}
	p, err := h.place(one)
	must(t, err)
	if again, err := h.Lookup(p.parent, p.name); again != one || err != nil {
		t.Errorf("place %v is not one of its names: %v", p, err)
	}
	// The same in the next process, whichever name comes first.
	if h := h.reopen(t, baseOptions{}); walk(t, h, "b/two") != one || walk(t, h, "a/one") != one {
		t.Error("another number after a restart")
	}
}

// TestHardLinksComeAndGo: what the process has met, or the store has a record
// of, keeps its number when the base's names of it become more or fewer.
func TestHardLinksComeAndGo(t *testing.T) {
	h := newHostBase(t, baseOptions{})
	h.write(t, "f", "x")
	h.write(t, "g", "y")
	must(t, os.Link(h.path("g"), h.path("g2")))
	f, g := walk(t, h, "f"), walk(t, h, "g")
	must(t, os.Link(h.path("f"), h.path("f2")))
	must(t, os.Remove(h.path("g2")))
	h.clock.later()
	if walk(t, h, "f") != f || walk(t, h, "g") != g {
		t.Error("another number in the same process")
	}
	recorded := map[Ino]place{f: {RootIno, "f"}, g: {RootIno, "g"}}
	next := h.reopen(t, baseOptions{origin: func(ino Ino) (deltalog.Origin, bool, error) {
		p, ok := recorded[ino]
		return deltalog.Origin{Parent: p.parent, Name: p.name}, ok, nil
	}})
	if walk(t, next, "f") != f || walk(t, next, "g") != g {
		t.Error("another number after a restart")
	}
	for _, ino := range []Ino{f, g} {
		if _, err := next.Attr(ino); err != nil {
			t.Error(err)
		}
	}
}

// TestFIFOIsNeverOpened would hang if it were: nobody writes to it.
func TestFIFOIsNeverOpened(t *testing.T) {
	h := newHostBase(t, baseOptions{})
	must(t, syscall.Mkfifo(h.path("fifo"), 0o640))
	fifo := walk(t, h, "fifo")
	a, err := h.Attr(fifo)
	must(t, err)
	if a.Mode != TypeFIFO|0o640 {
		t.Errorf("mode %o", a.Mode)
	}
	_, err = h.ReadAt(fifo, make([]byte, 1), 0)
	wantKind(t, err, Invalid)
	// A file that became a FIFO since it was met.
	h.write(t, "f", "x")
	f := walk(t, h, "f")
	must(t, os.Remove(h.path("f")))
	must(t, syscall.Mkfifo(h.path("f"), 0o640))
	if _, err = h.ReadAt(f, make([]byte, 1), 0); err == nil {
		t.Error("read from a FIFO")
	}
}

// TestDirectoryBecomesSymlink: what is below it is gone, not somewhere else.
func TestDirectoryBecomesSymlink(t *testing.T) {
	h := newHostBase(t, baseOptions{})
	outside := t.TempDir()
	must(t, os.WriteFile(outside+"/f", []byte("secret"), 0o644))
	h.write(t, "d/f", "x")
	d, f := walk(t, h, "d"), walk(t, h, "d/f")
	must(t, os.RemoveAll(h.path("d")))
	must(t, os.Symlink(outside, h.path("d")))
	h.clock.later()
	for name, err := range map[string]error{
		"attr":   func() error { _, err := h.Attr(f); return err }(),
		"read":   func() error { _, err := content(h.base, f); return err }(),
		"lookup": func() error { _, err := h.Lookup(d, "f"); return err }(),
		"list":   func() error { _, err := h.ReadDir(d); return err }(),
	} {
		if err == nil {
			t.Errorf("%s left the base", name)
		}
	}
}

func TestBaseAttributesAreReal(t *testing.T) {
	h := newHostBase(t, baseOptions{})
	h.write(t, "f", "x")
	must(t, os.Chmod(h.path("f"), 0o6751|os.ModeSetuid))
	must(t, os.Truncate(h.path("f"), 1<<20))
	var st syscall.Stat_t
	must(t, syscall.Lstat(h.path("f"), &st))
	a, err := h.Attr(walk(t, h, "f"))
	must(t, err)
	if a.Mode != uint32(st.Mode) || a.UID != st.Uid || a.GID != st.Gid || a.Size != 1<<20 ||
		a.Used != uint64(st.Blocks)*512 || a.Mtime == 0 || a.Ctime == 0 {
		t.Errorf("%+v of %+v", a, st)
	}
}

// asUser tells whether the process is an ordinary user's. If it is root's, it
// runs the test again in a child process as nobody, with dir in the environment.
func asUser(t *testing.T, dir string) bool {
	t.Helper()
	if os.Getuid() != 0 {
		return true
	}
	if os.Getenv("BILLYFS_CHILD") != "" {
		t.Fatal("still root")
	}
	// The test's program lies where nobody else may look.
	self, err := os.Executable()
	must(t, err)
	program, err := os.ReadFile(self)
	must(t, err)
	exe := filepath.Join(sharedTempDir(t), "test")
	must(t, os.WriteFile(exe, program, 0o755))
	cmd := childCommand(exe, "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v")
	cmd.Env = append(os.Environ(), "BILLYFS_CHILD="+dir)
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, fs.ErrPermission):
		t.Skip("cannot become another user: ", err)
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Fatalf("the test did not run:\n%s", out)
	}
	return false
}

// TestUnreadableGivesAccess runs as a user whom the base shuts out of a file
// and two directories.
func TestUnreadableGivesAccess(t *testing.T) {
	dir := os.Getenv("BILLYFS_CHILD")
	if dir == "" {
		dir = sharedTempDir(t)
		h := hostBase{dir: dir}
		h.write(t, "secret", "x")
		h.write(t, "closed/f", "x")
		h.write(t, "listed/f", "x")
		h.write(t, "passed/f", "x")
		for name, mode := range map[string]os.FileMode{"secret": 0, "closed": 0, "listed": 0o444, "passed": 0o111} {
			must(t, os.Chmod(h.path(name), mode))
			t.Cleanup(func() { os.Chmod(h.path(name), 0o755) })
		}
		if !asUser(t, dir) {
			return
		}
	}
	h := hostBase{dir: dir, clock: newClock()}.reopen(t, baseOptions{})
	secret := walk(t, h, "secret")
	if a, err := h.Attr(secret); err != nil || a.Size != 1 {
		t.Errorf("attributes of an unreadable file: %+v, %v", a, err)
	}
	_, err := content(h.base, secret)
	wantKind(t, err, Access)
	_, err = h.ReadDir(walk(t, h, "closed"))
	wantKind(t, err, Access)
	_, err = lookupPath(h, "closed/f")
	wantKind(t, err, Access)
	if a, err := h.Attr(walk(t, h, "closed")); err != nil || a.Nlink < 2 {
		t.Errorf("attributes of a closed directory: %+v, %v", a, err)
	}
	list, err := h.ReadDir(walk(t, h, "listed"))
	if err != nil || len(list) != 1 || list[0].Name != "f" {
		t.Errorf("directory that may only be listed: %v, %v", list, err)
	}
	_, err = lookupPath(h, "listed/f")
	wantKind(t, err, Access)
	_, err = h.ReadDir(walk(t, h, "passed"))
	wantKind(t, err, Access)
	if runtime.GOOS != "linux" {
		return // os.Root must read what it passes
	}
	if s, err := content(h.base, walk(t, h, "passed/f")); s != "x" || err != nil {
		t.Errorf("file in a directory that may only be passed: %q, %v", s, err)
	}
}

// sharedTempDir is a directory that other users can reach.
func sharedTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "deltafs-base")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	return dir
}

// TestLastNameLeft: of a file with three names that the delta has changed, two are removed in the base, by somebody else
// or by a commit that was cut short. Whichever is left, it is still that file, also for a process that has not met it by
// that name; another file in its place is not.
func TestLastNameLeft(t *testing.T) {
	names := []string{"f", "d/hard", "e/f"}
	for _, first := range names {
		for _, left := range names {
			base := t.TempDir()
			populate(t, base)
			r := newRig(t, base, filepath.Join(t.TempDir(), "s"))
			ino := r.path(first).Ino
			if _, err := r.WriteAt(root, ino, []byte("ours"), 0); err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if name != left {
					must(t, os.Remove(filepath.Join(base, name)))
				}
			}
			r.reopen(false)
			if a := r.path(left); a.Ino != ino {
				t.Errorf("met by %s: %s, which is left, has the number %d, not %d", first, left, a.Ino, ino)
			}
			var p [4]byte
			if _, _, err := r.ReadAt(r.path(left).Ino, p[:], 0); err != nil || string(p[:]) != "ours" {
				t.Errorf("met by %s: %s, which is left, reads %q, %v", first, left, p, err)
			}
			if left == first {
				r.close()
				continue // its place says which it is
			}
			must(t, os.WriteFile(filepath.Join(base, left), []byte("theirs"), 0o644))
			r.reopen(false)
			if a := r.path(left); a.Ino == ino {
				t.Errorf("met by %s: %s is another's now and has its number", first, left)
			}
			r.close()
		}
	}
}

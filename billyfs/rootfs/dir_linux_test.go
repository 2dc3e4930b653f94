package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestOpenDir looks into a directory that is held open: it sees what the walk sees, stays what it is, and is neither a file
// nor behind a symlink.
func TestOpenDir(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "a/b/f"), []byte("content"), 0o640))
	must(t, os.Symlink("b", filepath.Join(dir, "a/link")))
	must(t, os.Symlink("f", filepath.Join(dir, "a/b/l")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "a/b/fifo"), 0o600))
	must(t, os.Chmod(filepath.Join(dir, "a/b/fifo"), 0o600|fs.ModeSetgid|fs.ModeSticky|fs.ModeSetuid))
	f, err := Open(dir)
	must(t, err)
	defer f.Close()
	d, err := f.OpenDir("a/b")
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	must(t, err)
	defer d.Close()
	foreign, err := os.Lstat(dir)
	must(t, err)
	var into fs.FileInfo
	for i, name := range []string{"f", "l", "fifo", "f", "l", "fifo"} {
		want, err := f.Lstat("a/b/" + name)
		must(t, err)
		got, err := d.Lstat(name)
		if i >= 3 { // in what is of a file before, but for the first
			got, err = d.LstatInto(into, name)
			into = got
		}
		must(t, err)
		if got.Name() != name || got.Name() != want.Name() || got.Mode() != want.Mode() || got.Size() != want.Size() || !got.ModTime().Equal(want.ModTime()) || !sameFile(got, want) {
			t.Errorf("%s: %v, %v %d, not %v, %v %d", name, got.Name(), got.Mode(), got.Size(), want.Name(), want.Mode(), want.Size())
		}
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = d.LstatInto(into, "f") }); n > 1 { // the name, for the system
		t.Errorf("%v allocations", n)
	}
	if _, err := d.LstatInto(foreign, "f"); err != nil || foreign.Name() != filepath.Base(dir) {
		t.Errorf("into what is not its own: %v, %v", foreign.Name(), err)
	}
	if _, err := d.Lstat("none"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(dir, "a/b/none")) {
		t.Errorf("what is not there: %v", err)
	}
	for _, name := range []string{"a/link", "a/link/.", "a/b/f", "a/b/fifo", "none", "..", "../" + filepath.Base(dir)} {
		if d, err := f.OpenDir(name); err == nil {
			d.Close()
			t.Errorf("%s opens as a directory", name)
		}
	}
	must(t, os.Rename(filepath.Join(dir, "a/b"), filepath.Join(dir, "away")))
	if _, err := d.Lstat("f"); err != nil {
		t.Errorf("after it was moved: %v", err)
	}
	must(t, d.Close())
	if _, err := d.Lstat("f"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after it was closed: %v", err)
	}
}

// TestCloseADirInUse: looks that are under way end as if it was open, later ones know, and its descriptor is closed once.
func TestCloseADirInUse(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o600))
	f, err := Open(dir)
	must(t, err)
	defer f.Close()
	for range 200 {
		d, err := f.OpenDir(".")
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err)
		}
		must(t, err)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					if _, err := d.Lstat("f"); err != nil {
						if !errors.Is(err, os.ErrClosed) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		own, err := os.Open(os.DevNull) // most often by the number that has become free
		must(t, err)
		wg.Wait()
		if err := d.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("closed twice: %v", err)
		}
		if err := own.Close(); err != nil {
			t.Fatalf("a file that was opened later: %v", err)
		}
	}
}

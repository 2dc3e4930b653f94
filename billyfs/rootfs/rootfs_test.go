package rootfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-billy/v5"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// each runs a test with every way to walk that the system has.
func each(t *testing.T, test func(t *testing.T, f *FS, dir string)) {
	for _, name := range []string{"best", "os.Root"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f, err := Open(dir)
			must(t, err)
			t.Cleanup(func() { f.Close() })
			if name == "os.Root" {
				f.walk = rootWalk{f.root}
			}
			test(t, f, dir)
		})
	}
}

func write(t *testing.T, elem ...string) {
	t.Helper()
	name := filepath.Join(elem...)
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, []byte("content of "+filepath.Base(name)), 0o644))
}

func TestReading(t *testing.T) {
	each(t, func(t *testing.T, f *FS, dir string) {
		write(t, dir, "a/b/c/file")
		must(t, os.Symlink("b/c", filepath.Join(dir, "a/link")))
		for _, name := range []string{"a/b/c/file", "/a/b/c/file"} {
			fi, err := f.Lstat(name)
			must(t, err)
			if fi.Name() != "file" || fi.Size() != 15 || !fi.Mode().IsRegular() {
				t.Errorf("%s: %s", name, fs.FormatFileInfo(fi))
			}
			file, err := f.Open(name)
			must(t, err)
			if s, err := io.ReadAll(file); string(s) != "content of file" || err != nil {
				t.Errorf("%q, %v", s, err)
			}
			p := make([]byte, 4)
			if n, err := file.ReadAt(p, 11); n != 4 || string(p) != "file" || err != nil && err != io.EOF {
				t.Errorf("%q, %v", p, err)
			}
			must(t, file.Close())
		}
		for _, name := range []string{"", ".", "/"} {
			if fi, err := f.Lstat(name); err != nil || !fi.IsDir() {
				t.Errorf("root as %q: %v", name, err)
			}
			if list, err := f.ReadDir(name); err != nil || len(list) != 1 || list[0].Name() != "a" {
				t.Errorf("root as %q: %v, %v", name, list, err)
			}
		}
		if s, err := f.Readlink("a/link"); filepath.ToSlash(s) != "b/c" || err != nil {
			t.Errorf("target %q, %v", s, err)
		}
		if fi, err := f.Stat("a/link"); err != nil || !fi.IsDir() {
			t.Errorf("behind the link: %v", err)
		}
		list, err := f.ReadDir("a")
		must(t, err)
		if len(list) != 2 || list[0].Name() != "b" || list[1].Mode().Type() != fs.ModeSymlink {
			t.Errorf("listing %v", list)
		}
		sub, err := f.Chroot("a/b")
		must(t, err)
		defer sub.(io.Closer).Close()
		if fi, err := sub.Lstat("c/file"); err != nil || fi.Size() != 15 || sub.Root() != filepath.Join(f.Root(), "a", "b") {
			t.Errorf("below %s: %v", sub.Root(), err)
		}
	})
}

func TestErrorsNameTheFile(t *testing.T) {
	each(t, func(t *testing.T, f *FS, dir string) {
		write(t, dir, "d/file")
		must(t, os.Symlink("file", filepath.Join(dir, "d/link")))
		call := map[string]func(string) error{
			"lstat":    func(n string) error { _, err := f.Lstat(n); return err },
			"stat":     func(n string) error { _, err := f.Stat(n); return err },
			"open":     func(n string) error { _, err := f.Open(n); return err },
			"readlink": func(n string) error { _, err := f.Readlink(n); return err },
			"readdir":  func(n string) error { _, err := f.ReadDir(n); return err },
			"chroot":   func(n string) error { _, err := f.Chroot(n); return err },
		}
		for op, fn := range call {
			err := fn("d/none")
			if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(dir, "d", "none")) {
				t.Errorf("%s: %v", op, err)
			}
		}
		for _, c := range []struct{ op, name string }{
			{"open", "d"}, {"open", "d/link"}, {"readlink", "d/file"}, {"readdir", "d/file"},
			{"readdir", "d/link"}, {"lstat", "d/file/x"}, {"chroot", "d/file"},
		} {
			if err := call[c.op](c.name); err == nil {
				t.Errorf("%s %s succeeds", c.op, c.name)
			}
		}
		must(t, os.RemoveAll(dir))
		if _, err := os.Lstat(dir); err == nil {
			t.Skip("an open directory cannot be removed here")
		}
		if err := call["lstat"]("d/file"); errors.Is(err, fs.ErrNotExist) || err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("vanished base: %v", err)
		}
	})
}

// TestNothingLeavesTheRoot tries all ways out that a base can hold.
func TestNothingLeavesTheRoot(t *testing.T) {
	each(t, func(t *testing.T, f *FS, dir string) {
		outside := t.TempDir()
		write(t, outside, "secret")
		write(t, outside, "sub/secret")
		write(t, dir, "d/inside")
		up := "../../../../../../../../../../.." + filepath.ToSlash(outside)
		for link, target := range map[string]string{
			"absolute": outside, "d/relative": up, "chain1": "chain2", "chain2": "d/chain3", "d/chain3": outside,
			"file": filepath.Join(outside, "secret"), "loop": "loop", "up": "..", "d/up": "../..",
		} {
			must(t, os.Symlink(target, filepath.Join(dir, filepath.FromSlash(link))))
		}
		for _, name := range []string{
			"absolute/secret", "absolute/sub/secret", "d/relative/secret", "chain1/secret", "file", "loop", "loop/x",
			"up/" + filepath.Base(dir) + "/d/inside", "d/up/x", "..", "../x", "d/../../x", "d/../..",
			up + "/secret", outside + "/secret",
		} {
			if file, err := f.Open(name); err == nil {
				s, _ := io.ReadAll(file)
				t.Errorf("open %s shows %q", name, s)
			}
			if strings.Contains(name, "secret") {
				if fi, err := f.Lstat(name); err == nil {
					t.Errorf("lstat %s shows %v", name, fi)
				}
				if fi, err := f.Stat(name); err == nil {
					t.Errorf("stat %s shows %v", name, fi)
				}
			}
			if list, err := f.ReadDir(filepath.ToSlash(filepath.Dir(name))); err == nil {
				for _, fi := range list {
					if fi.Name() == "secret" {
						t.Errorf("listing of %s shows the outside", filepath.Dir(name))
					}
				}
			}
		}
	})
}

// TestSwappedDirectory swaps a directory for a symlink out of the tree while
// others read through it.
func TestSwappedDirectory(t *testing.T) {
	each(t, func(t *testing.T, f *FS, dir string) {
		outside := t.TempDir()
		write(t, outside, "secret")
		write(t, dir, "d/inside")
		d, aside, link := filepath.Join(dir, "d"), filepath.Join(dir, "aside"), filepath.Join(dir, "link")
		must(t, os.Symlink(outside, link))
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 300 {
				os.Rename(d, aside)
				os.Rename(link, d)
				os.Rename(d, link)
				os.Rename(aside, d)
			}
		}()
		for range 2000 {
			if _, err := f.Lstat("d/secret"); err == nil {
				t.Fatal("a swapped directory leads out")
			}
			if list, err := f.ReadDir("d"); err == nil && len(list) == 1 && list[0].Name() == "secret" {
				t.Fatal("a swapped directory lists the outside")
			}
		}
		<-done
	})
}

func TestNothingWrites(t *testing.T) {
	each(t, func(t *testing.T, f *FS, dir string) {
		write(t, dir, "file")
		open := func(flag int) error { _, err := f.OpenFile("file", flag, 0o644); return err }
		file, err := f.OpenFile("file", os.O_RDONLY, 0)
		must(t, err)
		defer file.Close()
		_, create := f.Create("new")
		_, temp := f.TempFile("", "x")
		_, wr := file.Write([]byte("x"))
		for name, err := range map[string]error{
			"create": create, "temp": temp, "write": wr, "append": open(os.O_APPEND), "rdwr": open(os.O_RDWR),
			"wronly": open(os.O_WRONLY), "trunc": open(os.O_TRUNC), "creat": open(os.O_CREATE),
			"truncate": file.Truncate(0), "lock": file.Lock(), "unlock": file.Unlock(), "remove": f.Remove("file"),
			"rename": f.Rename("file", "x"), "mkdir": f.MkdirAll("x", 0o755), "symlink": f.Symlink("x", "y"),
		} {
			if !errors.Is(err, billy.ErrReadOnly) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if billy.CapabilityCheck(f, billy.WriteCapability) {
			t.Error("says that it can write")
		}
		if s, err := os.ReadFile(filepath.Join(dir, "file")); string(s) != "content of file" || err != nil {
			t.Errorf("%q, %v", s, err)
		}
	})
}

func TestFree(t *testing.T) {
	f, err := Open(t.TempDir())
	must(t, err)
	defer f.Close()
	free, total, err := f.Free()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil || total == 0 || free > total {
		t.Errorf("%d of %d free, %v", free, total, err)
	}
}

package billyfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/util"
)

// newPathFS is an FS over a base with some files, as uid 5 and gid 6.
func newPathFS(t *testing.T) *FS {
	t.Helper()
	base := t.TempDir()
	for name, content := range map[string]string{"base": "of the base", "d/in/deep": "deep"} {
		p := filepath.Join(base, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := newRig(t, base, filepath.Join(t.TempDir(), "delta"))
	t.Cleanup(r.close)
	return NewFS(r.Tree, Caller{UID: 5, GID: 6})
}

func put(t *testing.T, f billy.Basic, name, content string) {
	t.Helper()
	if err := util.WriteFile(f, name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, f billy.Basic, name string) string {
	t.Helper()
	b, err := util.ReadFile(f, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPathCreateAndRead(t *testing.T) {
	f := newPathFS(t)
	for _, name := range []string{"foo", "bar/foo", "/x/y/foo", "./foo", "a/../foo"} {
		file, err := f.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Clean(strings.TrimLeft(name, "/")); file.Name() != want {
			t.Errorf("%s is called %s", name, file.Name())
		}
		io.WriteString(file, "longer than what follows")
		must(t, file.Close())
		put(t, f, name, "text") // truncates
		if got := get(t, f, name); got != "text" {
			t.Errorf("%s holds %q", name, got)
		}
	}
	if _, err := f.Create("d"); !errors.As(err, new(*fs.PathError)) {
		t.Errorf("create over a directory: %v", err)
	}
	if _, err := f.Create("base/x"); KindOf(err) != NotDir {
		t.Errorf("create below a file: %v", err)
	}
	fi, err := f.Stat("bar/foo")
	must(t, err)
	if a, ok := AttrOf(fi); !ok || a.UID != 5 || a.GID != 6 {
		t.Errorf("owner %+v", a)
	}
}

func TestPathOpenFlags(t *testing.T) {
	f := newPathFS(t)
	steps := []struct {
		flag  int
		write string
		want  string // of the file afterwards, or of the error
	}{
		{os.O_WRONLY, "", "file does not exist"},
		{os.O_CREATE | os.O_WRONLY, "foo1", "foo1"},
		{os.O_CREATE | os.O_WRONLY, "bar", "bar1"},
		{os.O_CREATE | os.O_EXCL | os.O_WRONLY, "", "file already exists"},
		{os.O_CREATE | os.O_WRONLY | os.O_APPEND, "+", "bar1+"},
		{os.O_WRONLY | os.O_APPEND, "+", "bar1++"},
		{os.O_RDWR | os.O_TRUNC, "x", "x"},
		{os.O_RDONLY | os.O_TRUNC, "", "x"},
		{os.O_CREATE | os.O_RDWR | os.O_TRUNC, "", ""},
		{os.O_RDONLY, "no", "file is not open for writing"},
	}
	for i, s := range steps {
		file, err := f.OpenFile("f", s.flag, 0o640)
		if err == nil && s.write != "" {
			_, err = io.WriteString(file, s.write)
		}
		got := ""
		if err != nil {
			got = errors.Unwrap(err).Error()
		} else {
			must(t, file.Close())
			got = get(t, f, "f")
		}
		if got != s.want {
			t.Errorf("step %d: %q, want %q", i, got, s.want)
		}
	}
	if fi, err := f.Stat("f"); err != nil || fi.Mode() != 0o640 {
		t.Errorf("mode %v %v", fi, err)
	}
}

func TestPathFile(t *testing.T) {
	f := newPathFS(t)
	file, err := f.OpenFile("f", os.O_CREATE|os.O_RDWR, 0o600)
	must(t, err)
	io.WriteString(file, "0123456789")
	b := make([]byte, 3)
	if n, err := file.ReadAt(b, 2); n != 3 || err != nil || string(b) != "234" {
		t.Errorf("ReadAt %d %v %q", n, err, b)
	}
	if n, err := file.ReadAt(make([]byte, 5), 8); n != 2 || err != io.EOF {
		t.Errorf("ReadAt at the end: %d %v", n, err)
	}
	for _, s := range []struct {
		off    int64
		whence int
		want   int64
	}{{4, io.SeekStart, 4}, {2, io.SeekCurrent, 6}, {-3, io.SeekEnd, 7}} {
		if got, err := file.Seek(s.off, s.whence); got != s.want || err != nil {
			t.Errorf("seek %+v: %d %v", s, got, err)
		}
	}
	if _, err := file.Seek(-1, io.SeekStart); KindOf(err) != Invalid {
		t.Errorf("seek before the start: %v", err)
	}
	if rest, err := io.ReadAll(file); string(rest) != "789" || err != nil {
		t.Errorf("read %q %v", rest, err)
	}
	for _, size := range []int64{4, 7, 2, 30, 0, 1} {
		must(t, file.Truncate(size))
		if fi, err := f.Stat("f"); err != nil || fi.Size() != size {
			t.Errorf("truncate %d: %v %v", size, fi, err)
		}
	}
	file.Seek(10, io.SeekEnd)
	io.WriteString(file, "TEST")
	if got := get(t, f, "f"); got != "0"[:0]+strings.Repeat("\x00", 11)+"TEST" {
		t.Errorf("hole: %q", got)
	}
	must(t, file.Close())
	if err := file.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
	_, werr := file.Write(b)
	_, rerr := file.Read(b)
	_, serr := file.Seek(0, 0)
	for _, err := range []error{werr, rerr, serr, file.Lock(), file.Unlock(), file.Truncate(0)} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	}
	if w, err := f.OpenFile("f", os.O_WRONLY, 0); err != nil {
		t.Error(err)
	} else if _, err := io.ReadAll(w); err == nil {
		t.Error("read of a file open for writing")
	}
}

func TestPathAppendsDoNotCollide(t *testing.T) {
	f := newPathFS(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			file, err := f.OpenFile("log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
			if err != nil {
				t.Error(err)
				return
			}
			for range 100 {
				io.WriteString(file, "line\n")
			}
			file.Close()
		})
	}
	wg.Wait()
	if got := get(t, f, "log"); got != strings.Repeat("line\n", 400) {
		t.Errorf("%d bytes", len(got))
	}
}

func TestPathLocks(t *testing.T) {
	f := newPathFS(t)
	var wg sync.WaitGroup
	n := 0
	for range 4 {
		wg.Go(func() {
			file, err := f.OpenFile("base", os.O_RDONLY, 0)
			if err != nil {
				t.Error(err)
				return
			}
			for range 100 {
				file.Lock()
				n++ // the race detector watches
				file.Unlock()
			}
			file.Lock()
			file.Close() // unlocks
		})
	}
	wg.Wait()
	if n != 400 {
		t.Errorf("%d", n)
	}
}

func TestPathRenameRemove(t *testing.T) {
	f := newPathFS(t)
	must(t, f.Rename("base", "new/parents/made"))
	if got := get(t, f, "new/parents/made"); got != "of the base" {
		t.Errorf("%q", got)
	}
	if _, err := f.Stat("base"); !os.IsNotExist(err) {
		t.Errorf("the old name: %v", err)
	}
	must(t, f.Rename("d", "e"))
	if got := get(t, f, "e/in/deep"); got != "deep" {
		t.Errorf("%q", got)
	}
	for _, err := range []error{f.Rename("none", "x"), f.Remove("none")} {
		if !os.IsNotExist(err) {
			t.Errorf("of nothing: %v", err)
		}
	}
	if err := f.Remove("e"); KindOf(err) != NotEmpty {
		t.Errorf("remove of a full directory: %v", err)
	}
	if err := f.Remove("/"); err == nil {
		t.Error("the root is removed")
	}
	must(t, util.RemoveAll(f, "e/in/.."))
	if _, err := f.Stat("e"); !os.IsNotExist(err) {
		t.Errorf("after RemoveAll: %v", err)
	}
}

func TestPathDirectories(t *testing.T) {
	f := newPathFS(t)
	must(t, f.MkdirAll("a/b/c", 0o700))
	must(t, f.MkdirAll("a/b/c", 0o755))
	must(t, f.MkdirAll("/", 0o755))
	if fi, err := f.Stat("a/b"); err != nil || fi.Mode() != fs.ModeDir|0o700 || fi.Name() != "b" {
		t.Errorf("%v %v", fi, err)
	}
	if err := f.MkdirAll("base", 0o755); KindOf(err) != NotDir {
		t.Errorf("mkdir over a file: %v", err)
	}
	if err := f.MkdirAll("base/x", 0o755); KindOf(err) != NotDir {
		t.Errorf("mkdir below a file: %v", err)
	}
	put(t, f, "a/z", "zz")
	must(t, f.Symlink("b", "a/link"))
	list, err := f.ReadDir("a")
	must(t, err)
	var names []string
	for _, fi := range list {
		names = append(names, fi.Name()+" "+fi.Mode().Type().String())
	}
	if got := strings.Join(names, ","); got != "b d---------,link L---------,z ----------" {
		t.Errorf("list %s", got)
	}
	if list, err := f.ReadDir("a/link"); err != nil || len(list) != 1 || list[0].Name() != "c" {
		t.Errorf("through a symlink: %v %v", list, err)
	}
	if _, err := f.ReadDir("base"); KindOf(err) != NotDir {
		t.Errorf("list of a file: %v", err)
	}
	path := "/"
	for range 100 {
		path = f.Join(path, "n")
	}
	put(t, f, f.Join(path, "f"), "far down")
	if got := get(t, f, f.Join(path, "f")); got != "far down" {
		t.Errorf("%q", got)
	}
}

func TestPathSymlinks(t *testing.T) {
	f := newPathFS(t)
	for link, target := range map[string]string{
		"toBase": "base", "chain": "toBase", "abs": "/d/in/deep", "d/up": "../base",
		"dir": "d", "dangling": "later", "loop1": "loop2", "loop2": "loop1",
		"out": "../../etc/passwd", "d/in/updown": "../../d/./in//deep",
	} {
		must(t, f.Symlink(target, link))
		if got, err := f.Readlink(link); got != target || err != nil {
			t.Errorf("readlink %s: %q %v", link, got, err)
		}
		if fi, err := f.Lstat(link); err != nil || fi.Mode().Type() != fs.ModeSymlink {
			t.Errorf("lstat %s: %v %v", link, fi, err)
		}
	}
	for link, want := range map[string]string{
		"toBase": "of the base", "chain": "of the base", "abs": "deep", "d/up": "of the base",
		"dir/in/deep": "deep", "dir/up": "of the base", "d/in/updown": "deep",
	} {
		if got := get(t, f, link); got != want {
			t.Errorf("%s: %q", link, got)
		}
	}
	if fi, err := f.Stat("chain"); err != nil || fi.Name() != "chain" || fi.Size() != 11 {
		t.Errorf("stat of a chain: %v %v", fi, err)
	}
	if _, err := f.Stat("dangling"); !os.IsNotExist(err) {
		t.Errorf("dangling: %v", err)
	}
	if _, err := f.Stat("loop1"); !errors.Is(err, errLoop) {
		t.Errorf("loop: %v", err)
	}
	if _, err := f.Open("out"); err != billy.ErrCrossedBoundary {
		t.Errorf("out: %v", err)
	}
	put(t, f, "dangling", "made")
	if got := get(t, f, "later"); got != "made" {
		t.Errorf("create through a dangling symlink: %q", got)
	}
	if _, err := f.OpenFile("loop1", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); !os.IsExist(err) {
		t.Errorf("O_EXCL over a symlink: %v", err)
	}
	if err := f.Symlink("x", "base"); !os.IsExist(err) {
		t.Errorf("symlink over a file: %v", err)
	}
	if _, err := f.Readlink("base"); err == nil || os.IsNotExist(err) {
		t.Errorf("readlink of a file: %v", err)
	}
	if _, err := f.Readlink("none"); !os.IsNotExist(err) {
		t.Errorf("readlink of nothing: %v", err)
	}
	must(t, f.Rename("chain", "moved"))
	must(t, f.Remove("moved"))
	if got := get(t, f, "base"); got != "of the base" {
		t.Errorf("the target changed: %q", got)
	}
}

func TestPathChroot(t *testing.T) {
	f := newPathFS(t)
	sub, err := f.Chroot("new/root") // need not exist
	must(t, err)
	if _, err := sub.Stat("x"); !os.IsNotExist(err) {
		t.Errorf("stat below a root that is missing: %v", err)
	}
	put(t, sub, "file", "inside")
	if got := get(t, f, "new/root/file"); got != "inside" {
		t.Errorf("%q", got)
	}
	if fi, err := sub.Stat("/file"); err != nil || fi.Name() != "file" {
		t.Errorf("%v %v", fi, err)
	}
	for _, name := range []string{"..", "foo/../..", "/../foo", "/foo/../../bar", "../base"} {
		_, cerr := sub.Create(name)
		_, serr := sub.Stat(name)
		for _, err := range []error{cerr, serr, sub.Remove(name), sub.Rename(name, "x"), sub.Rename("file", name), sub.MkdirAll(name, 0o755)} {
			if err != billy.ErrCrossedBoundary {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := sub.Chroot(name); err != billy.ErrCrossedBoundary {
			t.Errorf("chroot %s: %v", name, err)
		}
	}
	must(t, sub.Symlink("../../base", "link"))
	must(t, sub.Symlink("/file", "abs"))
	if _, err := sub.Stat("link"); err != billy.ErrCrossedBoundary {
		t.Errorf("a link out: %v", err)
	}
	if _, err := sub.Lstat("link"); err != nil {
		t.Error(err)
	}
	if got := get(t, sub, "abs"); got != "inside" {
		t.Errorf("%q", got)
	}
	deeper, err := sub.Chroot("deeper")
	must(t, err)
	put(t, deeper, "f", "")
	if list, err := sub.ReadDir("/"); err != nil || len(list) != 4 {
		t.Errorf("%v %v", list, err)
	}
	if f.Root() != string(filepath.Separator) || deeper.Root() != filepath.FromSlash("/new/root/deeper") {
		t.Errorf("roots %s, %s", f.Root(), deeper.Root())
	}
}

func TestPathTempFile(t *testing.T) {
	f := newPathFS(t)
	seen := make(map[string]bool)
	for range 50 {
		file, err := f.TempFile("tmp", "pre")
		must(t, err)
		must(t, file.Close())
		if !strings.HasPrefix(file.Name(), f.Join("tmp", "pre")) || seen[file.Name()] {
			t.Errorf("name %s", file.Name())
		}
		seen[file.Name()] = true
	}
	for name := range seen {
		must(t, f.Remove(name))
	}
	if file, err := f.TempFile("", "x"); err != nil || strings.Contains(file.Name(), "/") {
		t.Errorf("%v %v", file, err)
	}
}

func TestPathChange(t *testing.T) {
	f := newPathFS(t)
	root := NewFS(f.t, Caller{})
	must(t, root.Symlink("base", "link"))
	must(t, root.Chown("link", 70, 80))
	must(t, root.Lchown("link", 71, -1))
	must(t, root.Chmod("link", 0o750|fs.ModeSetuid|fs.ModeSticky))
	at, mt := time.Unix(1, 2), time.Unix(3, 4)
	must(t, root.Chtimes("link", at, mt))
	fi, err := root.Stat("base")
	must(t, err)
	a, _ := AttrOf(fi)
	if fi.Mode() != 0o750|fs.ModeSetuid|fs.ModeSticky || a.Mode != TypeRegular|0o5750 {
		t.Errorf("mode %v %o", fi.Mode(), a.Mode)
	}
	if a.UID != 70 || a.GID != 80 || a.Atime != at.UnixNano() || !fi.ModTime().Equal(mt) {
		t.Errorf("%+v", a)
	}
	fi, err = root.Lstat("link")
	must(t, err)
	if a, _ := AttrOf(fi); a.UID != 71 {
		t.Errorf("link %+v", a)
	}
	must(t, root.Link("base", "n/second"))
	must(t, root.Mkfifo("fifo", 0o600))
	must(t, root.Socket("sock"))
	must(t, root.Mknod("char", TypeChar|0o620, 5, 6))
	must(t, root.Mknod("block", TypeBlock|0o660, 7, 8))
	for name, mode := range map[string]fs.FileMode{
		"n/second": 0o750 | fs.ModeSetuid | fs.ModeSticky, "fifo": fs.ModeNamedPipe | 0o600,
		"sock": fs.ModeSocket | 0o755, "char": fs.ModeDevice | fs.ModeCharDevice | 0o620, "block": fs.ModeDevice | 0o660,
	} {
		fi, err := root.Stat(name)
		if err != nil || fi.Mode() != mode {
			t.Errorf("%s: %v %v", name, fi, err)
			continue
		}
		if a, _ := AttrOf(fi); name == "char" && (a.RdevMajor != 5 || a.RdevMinor != 6) || name == "n/second" && a.Nlink != 2 {
			t.Errorf("%s: %+v", name, a)
		}
		if _, err := root.Open(name); mode&fs.ModeType != 0 && KindOf(err) != NotSupported {
			t.Errorf("open %s: %v", name, err)
		}
	}
	for _, err := range []error{root.Link("base", "fifo"), root.Mkfifo("base", 0o600)} {
		if !os.IsExist(err) {
			t.Errorf("over an existing name: %v", err)
		}
	}
	if !billy.CapabilityCheck(root, billy.AllCapabilities) {
		t.Error("capabilities are missing")
	}
}

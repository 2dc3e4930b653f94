package billyfs

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5"

	"deltafs/billyfs/rootfs"
	"deltafs/deltalog"
)

// rig is a tree over a base directory and a store of its own.
type rig struct {
	t     testing.TB
	fs    billy.Filesystem
	opts  Options
	dir   string // of the store
	store *deltalog.Store
	*Tree
}

// tester is what both *testing.T and *rapid.T offer.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// newRig opens a tree over the directory base with an empty store in dir.
func newRig(t testing.TB, base, dir string) *rig {
	t.Helper()
	return newRigOver(t, openRoot(t, base), dir)
}

func openRoot(t testing.TB, dir string) billy.Filesystem {
	t.Helper()
	fsys, err := rootfs.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.Close() })
	return fsys
}

// newRigOver is newRig over any base.
func newRigOver(t testing.TB, fsys billy.Filesystem, dir string) *rig {
	t.Helper()
	return newRigSized(t, fsys, dir, fullSegment)
}

// newRigSized is newRigOver with segments of another size.
func newRigSized(t testing.TB, fsys billy.Filesystem, dir string, segment int64) *rig {
	t.Helper()
	r := &rig{t: t, fs: fsys, dir: dir, opts: Options{Immutable: true}}
	var err error
	if r.store, err = deltalog.Create(dir, storeOptions(segment)); err != nil {
		t.Fatal(err)
	}
	r.open()
	return r
}

// Segments of stores in tests: small ones for histories of small writes, so
// that they fill several, and such as a batch of any size fits into.
const (
	smallSegment = 256 << 10
	fullSegment  = 4 << 20
)

// storesDir returns a directory for stores: in memory where that is possible,
// since thousands are made and none needs to outlive the machine.
func storesDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "billyfs")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func storeOptions(segment int64) deltalog.Options {
	return deltalog.Options{Manual: true, SegmentSize: segment}
}

func (r *rig) open() {
	r.t.Helper()
	var err error
	if r.Tree, err = Open(r.fs, r.store, r.opts); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) close() {
	r.t.Helper()
	if err := r.store.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.base.close()
}

// reopen ends the process, so to say, and begins the next: cleanly, or as
// after kill -9, with all that was appended and nothing that was closed.
func (r *rig) reopen(clean bool) {
	r.t.Helper()
	if !clean {
		dir := r.dir + "+"
		if err := os.CopyFS(dir, os.DirFS(r.dir)); err != nil {
			r.t.Fatal(err)
		}
		old := r.dir
		r.dir = dir
		defer os.RemoveAll(old)
	}
	r.close()
	r.reopenStore()
}

// reopenStore opens what was closed.
func (r *rig) reopenStore() {
	r.t.Helper()
	var err error
	if r.store, err = deltalog.Open(r.dir, storeOptions(0)); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

// path walks a slash-separated path from the root.
func (r *rig) path(p string) Attr {
	r.t.Helper()
	a, err := r.Tree.Attr(r.Root())
	for _, s := range strings.Split(p, "/") {
		if err == nil && s != "" {
			a, err = r.Lookup(a.Ino, s)
		}
	}
	if err != nil {
		r.t.Fatalf("%s: %v", p, err)
	}
	return a
}

// names lists a directory, without "." and "..".
func (r *rig) names(dir Ino) []string {
	r.t.Helper()
	var all []string
	eof, err := r.ReadDir(dir, cookieDotDot, func(e DirEntry) bool {
		all = append(all, e.Name)
		return true
	})
	if err != nil || !eof {
		r.t.Fatalf("readdir of %d: eof %v, %v", dir, eof, err)
	}
	return all
}

// content reads a whole file, in pieces of an odd size.
func (r *rig) content(ino Ino) string {
	r.t.Helper()
	s, err := readAll(r.Tree, ino)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func readAll(t *Tree, ino Ino) (string, error) {
	var all strings.Builder
	p := make([]byte, 3001)
	for {
		n, eof, err := t.ReadAt(ino, p, int64(all.Len()))
		all.Write(p[:n])
		if err != nil || eof {
			return all.String(), err
		}
		if n == 0 {
			return all.String(), io.ErrNoProgress
		}
	}
}

// root is who most tests act as, user somebody else.
var (
	root = Caller{}
	user = Caller{UID: 1000, GID: 1000}
)

func ptr[T any](v T) *T { return &v }

// populate fills an empty directory with a bit of everything. Times are old
// and all different, so that no test depends on when it runs.
func populate(t testing.TB, dir string) {
	t.Helper()
	at := func(s string) string { return filepath.Join(dir, filepath.FromSlash(s)) }
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"d", "d/sub", "d/sub/deep", "e", "many"} {
		do(os.Mkdir(at(d), 0o755))
	}
	for name, size := range map[string]int{"f": 100, "g": 0, "d/f": 9000, "d/sub/g": 3, "d/sub/deep/f": 5000, "e/h": 12} {
		do(os.WriteFile(at(name), []byte(text(name, size)), 0o644))
	}
	for i := range 30 {
		do(os.WriteFile(at(fmt.Sprintf("many/n%02d", i)), nil, 0o600))
	}
	do(os.Symlink("d/f", at("l")))
	do(os.Symlink("nowhere", at("d/l")))
	do(os.Link(at("f"), at("d/hard")))
	do(os.Link(at("f"), at("e/f")))
	do(os.Chmod(at("d/f"), 0o755|os.ModeSetuid|os.ModeSetgid))
	do(os.Chmod(at("e"), 0o775|os.ModeSetgid))
	do(populateSpecial(dir))
	old := time.Unix(1_500_000_000, 123_456_789)
	do(filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		old = old.Add(time.Second)
		if err != nil || e.Type()&os.ModeSymlink != 0 {
			return err
		}
		return os.Chtimes(p, old, old.Add(time.Millisecond))
	}))
}

// text is content that tells where it is from.
func text(name string, size int) string {
	return strings.Repeat(name+"·", size/len(name+"·")+1)[:size]
}

// fingerprintOf hashes names, types, modes, sizes, times and contents of a
// directory tree.
func fingerprintOf(t testing.TB, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := os.Lstat(p)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%q %v %d %d %s\n", p, fi.Mode(), fi.Size(), fi.ModTime().UnixNano(), changeTime(fi))
		switch {
		case fi.Mode().IsRegular():
			b, err := os.ReadFile(p)
			h.Write(b)
			return err
		case fi.Mode()&os.ModeSymlink != 0:
			s, err := os.Readlink(p)
			fmt.Fprintf(h, "%q\n", s)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// newBase makes a populated base and checks, when the test ends, that it is
// what it was.
func newBase(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	populate(t, dir)
	before := fingerprintOf(t, dir)
	t.Cleanup(func() {
		if after := fingerprintOf(t, dir); after != before {
			t.Errorf("the base has changed")
		}
	})
	return dir
}

// checks sets how many histories rapid runs, a tenth of it under the race
// detector or with -short, and keeps its fail files out of the source tree.
func checks(t *testing.T, n int) {
	t.Helper()
	if raceEnabled || testing.Short() {
		n = max(1, n/10)
	}
	for name, value := range map[string]string{"rapid.checks": fmt.Sprint(n), "rapid.nofailfile": "true", "rapid.shrinktime": "2s"} {
		setFlag(t, name, value)
	}
}

// setFlag sets a flag for a test.
func setFlag(t *testing.T, name, value string) {
	t.Helper()
	f := flag.Lookup(name)
	old := f.Value.String()
	if err := f.Value.Set(value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Value.Set(old) })
}

// counter names things apart.
var counter atomic.Int64

func freshDir(parent string) string {
	return filepath.Join(parent, fmt.Sprint("s", counter.Add(1)))
}

// rootfsBase adapts a directory on the host, without a store.
func rootfsBase(dir string) (*base, error) {
	fsys, err := rootfs.Open(dir)
	if err != nil {
		return nil, err
	}
	return openBase(fsys, [32]byte{}, baseOptions{immutable: true})
}

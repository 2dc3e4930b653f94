package billyfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// benchNames is how many names the directory of the benchmarks has.
const benchNames = 20_000

// newBench is a tree over a base with a directory of benchNames empty files
// and a sparse file of 1 GiB.
func newBench(b *testing.B) *rig {
	b.Helper()
	base := b.TempDir()
	dir := filepath.Join(base, "dir")
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	for i := range benchNames {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	big := filepath.Join(base, "big")
	if err := os.WriteFile(big, nil, 0o644); err != nil {
		b.Fatal(err)
	}
	if err := os.Truncate(big, 1<<30); err != nil {
		b.Fatal(err)
	}
	r := newRig(b, base, filepath.Join(b.TempDir(), "delta"))
	b.Cleanup(r.close)
	return r
}

func BenchmarkAttr(b *testing.B) {
	r := newBench(b)
	base, changed := r.path("dir/1"), r.path("dir/2")
	if _, err := r.WriteAt(root, changed.Ino, []byte("x"), 0); err != nil {
		b.Fatal(err)
	}
	for name, ino := range map[string]Ino{"base": base.Ino, "changed": changed.Ino} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Attr(ino); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	r := newBench(b)
	dir := r.path("dir")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := r.Lookup(dir.Ino, strconv.Itoa(i%benchNames)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadDir lists benchNames names in pieces of 500, as a client does.
func BenchmarkReadDir(b *testing.B) {
	r := newBench(b)
	dir := r.path("dir")
	b.ReportAllocs()
	for b.Loop() {
		names, cookie := 0, uint64(0)
		for eof := false; !eof; {
			n := 0
			var err error
			eof, err = r.ReadDir(dir.Ino, cookie, func(e DirEntry) bool {
				n++
				cookie = e.Cookie
				return n < 500
			})
			if err != nil {
				b.Fatal(err)
			}
			names += n
		}
		if names < benchNames {
			b.Fatalf("%d names", names)
		}
	}
}

// BenchmarkWrite writes 4 KiB, first here and there into a file of 1 GiB of the
// base, then over and over at one place.
func BenchmarkWrite(b *testing.B) {
	page := make([]byte, 4096)
	for _, places := range []int64{1, 1 << 18} {
		b.Run(fmt.Sprint("places=", places), func(b *testing.B) {
			r := newBench(b)
			ino := r.path("big").Ino
			b.SetBytes(4096)
			b.ReportAllocs()
			for i := int64(0); b.Loop(); i++ {
				if _, err := r.WriteAt(root, ino, page, i*7919%places*4096); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCreateRemove(b *testing.B) {
	r := newBench(b)
	dir := r.path("dir")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		name := "new" + strconv.Itoa(i)
		if _, _, err := r.Create(root, dir.Ino, name, CreateHow{Mode: Guarded}); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Remove(root, dir.Ino, name); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadDirPlus lists benchNames names with all that is known of them, of a tree that has met none of them yet, and again.
func BenchmarkReadDirPlus(b *testing.B) {
	r := newBench(b)
	list := func(t *Tree, dir Ino) {
		n := 0
		if _, err := t.ReadDirPlus(dir, 0, func(_ DirEntry, p *Plus) bool {
			if !p.HasAttr || !p.HasHandle {
				b.Error("not all is known")
			}
			n++
			return true
		}); err != nil || n != benchNames+2 {
			b.Fatal(n, err)
		}
	}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			t, err := Open(r.fs, r.store, Options{})
			if err != nil {
				b.Fatal(err)
			}
			dir, err := t.Lookup(RootIno, "dir")
			if err != nil {
				b.Fatal(err)
			}
			list(t, dir.Ino)
			t.Close()
		}
	})
	b.Run("again", func(b *testing.B) {
		b.ReportAllocs()
		dir := r.path("dir").Ino
		for b.Loop() {
			list(r.Tree, dir)
		}
	})
}

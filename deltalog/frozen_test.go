package deltalog

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Frozen stores lie in testdata, in a directory for each format version: what a
// program of that version has written, packed, with a text beside it of what
// every later version must make of it. They are never made anew for a version
// that has been released.
const frozenDir = "testdata/v1"

var freeze = flag.Bool("freeze", false, "make the frozen stores of this format version anew, with the texts beside them")

// frozenSeed is what the stores were made from.
const frozenSeed = 11

// frozenStores are how the stores of this version were made.
var frozenStores = []struct {
	name  string
	spoil func(t *testing.T, dir string) // what happens to a store that was closed
	open  bool                           // or to one that still is
}{
	{"clean", func(*testing.T, string) {}, false},
	{"cold", func(*testing.T, string) {}, false},
	{"cold-packed", func(*testing.T, string) {}, false},
	{"cold-killed-noindex", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, indexFile)) }, true},
	{"killed", func(*testing.T, string) {}, true},
	{"cold-committing", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, indexFile)) }, true},
	{"torn", func(t *testing.T, dir string) {
		name, end := lastSegment(t, dir)
		overwrite(t, name, end-200, make([]byte, 200))
	}, true},
	{"noindex", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, indexFile)) }, false},
	{"flipped", func(t *testing.T, dir string) { editByte(t, filepath.Join(dir, segName(2)), 20_000) }, false},
	{"flipped-noindex", func(t *testing.T, dir string) {
		editByte(t, filepath.Join(dir, segName(2)), 20_000)
		remove(t, filepath.Join(dir, indexFile))
	}, false},
	{"cut", func(t *testing.T, dir string) {
		if err := os.Truncate(filepath.Join(dir, segName(2)), 10_000); err != nil {
			t.Fatal(err)
		}
	}, false},
	{"gap", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, segName(2))) }, false},
	{"superblock", func(t *testing.T, dir string) { editByte(t, filepath.Join(dir, superName), 30) }, false},
	{"future", func(t *testing.T, dir string) {
		name := filepath.Join(dir, superName)
		p, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		p = bytes.Replace(p, []byte("\nversion 1\n"), []byte("\nversion 2\n"), 1)
		if err := os.WriteFile(name, p, 0o600); err != nil {
			t.Fatal(err)
		}
	}, false},
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func overwrite(t *testing.T, name string, off int64, p []byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(p, off); err != nil {
		t.Fatal(err)
	}
}

// lastSegment returns the file of the newest segment and where the log ends in it.
func lastSegment(t *testing.T, dir string) (name string, end int64) {
	t.Helper()
	for _, i := range dumpOf(t, dir) {
		if f := i.Frame; f != nil {
			name, end = filepath.Join(dir, segName(f.Segment)), int64(f.Offset)+int64(f.Size)
		}
	}
	return name, end
}

// fillFrozen gives a store all types of records, over several segments.
func fillFrozen(t *testing.T, s *Store) {
	t.Helper()
	rng := rand.New(rand.NewPCG(frozenSeed, 0))
	dir := s.NewIno()
	mustAppend(t, s, func(b *Batch) {
		b.Inode(MainLayer, dir, &Inode{Mode: TypeDir | 0o755, Nlink: 2, Mtime: 5, Parent: 1})
		b.Entry(MainLayer, 1, 77, "dir", Entry{Ino: dir, Type: TypeDir})
	})
	for i := range 24 {
		ino := s.NewIno()
		n := 1 + rng.IntN(12_000)
		if i == 12 {
			n = 40_000 // more than one CRC block
		}
		data := bytes.Repeat(fmt.Append(nil, i, "."), n)[:n]
		mustAppend(t, s, func(b *Batch) {
			b.Inode(MainLayer, ino, &Inode{Mode: TypeRegular | 0o4644, Nlink: 1, UID: 7, GID: 8, Size: uint64(len(data)), Mtime: int64(i), Verifier: 3})
			b.Data(MainLayer, ino, int64(i)*100, data)
			b.Entry(MainLayer, dir, uint64(1000-i), fmt.Sprint("näme ", i), Entry{Ino: ino, Type: TypeRegular})
			b.Tag(fmt.Append(nil, "call ", i))
		})
		if i == 16 {
			if err := s.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := s.NewIno()
	mustAppend(t, s, func(b *Batch) {
		b.Inode(MainLayer, link, &Inode{Mode: TypeSymlink | 0o777, Nlink: 1, Size: 6, Target: "../dir"})
		b.Entry(MainLayer, 1, 78, "link", Entry{Ino: link, Type: TypeSymlink})
		b.Entry(MainLayer, 1, 79, "gone", Entry{Whiteout: true})
		b.Origin(42, Origin{Parent: 1, Name: "of the base"})
		b.Inode(MainLayer, 42, &Inode{Mode: TypeRegular | 0o600, Nlink: 1, Size: 9000, LowerLen: 8192})
		b.Data(MainLayer, 42, 4096, bytes.Repeat([]byte("base"), 1024))
	})
	mustAppend(t, s, func(b *Batch) {
		b.Truncate(MainLayer, dir+3, 50)
		b.Drop(MainLayer, dir+4)
		b.EntryGone(MainLayer, dir, 996, "näme 4")
	})
	fillLayers(t, s, dir)
}

// fillLayers stacks layers that hide and show what is below them.
func fillLayers(t *testing.T, s *Store, dir Ino) {
	t.Helper()
	main, _, err := s.Snapshot(MainLayer, "kept")
	if err != nil {
		t.Fatal(err)
	}
	fork, _, err := s.Fork(MainLayer, "other", 99)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []LayerID{main.ID, fork.ID} {
		r, _, err := s.Inode(l, dir+5)
		if err != nil {
			t.Fatal(err)
		}
		r.Size, r.Below = 700, 600
		mustAppend(t, s, func(b *Batch) {
			b.Inode(l, dir+5, &r)
			b.Truncate(l, dir+5, 600)
			b.Data(l, dir+5, 650, bytes.Repeat([]byte{'0' + byte(l)}, 50))
			b.Entry(l, 1, 80, "over", Entry{Ino: dir + 5, Type: TypeRegular})
			err := errors.Join(s.RemoveInode(b, l, dir+6), s.RemoveEntry(b, l, dir, 994, "näme 6"))
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	if _, _, err := s.Rollback(fork.ID, MainLayer, "was other"); err != nil {
		t.Fatal(err)
	}
	gone, _, err := s.Fork(MainLayer, "for nothing", 100)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Drop(gone.ID); err != nil {
		t.Fatal(err)
	}
}

// fillCommit leaves what a commit to the base leaves that is under way: pins, notes, and
// frozen layers with less in them.
func fillCommit(t *testing.T, s *Store) {
	t.Helper()
	home := Home{Gen: 7, Parent: 9, Depth: 2, Ancestors: [22]byte{3, 9}}
	mustAppend(t, s, func(b *Batch) {
		b.Thaw()
		b.Origin(42, Origin{Parent: 1, Name: "moved", Pinned: true, Home: home})
		b.Origin(43, Origin{Parent: 1, Name: "pinned", Pinned: true})
		b.Entry(BaseLayer, 1, 90, "moved", Entry{Ino: 42, Type: TypeRegular})
		b.Entry(BaseLayer, 1, 91, "gone", Entry{Ino: 44, Type: TypeRegular})
		b.Note(2, "the header of a commit")
		b.Note(42, strings.Repeat("intent ", 100))
		b.Note(44, "done")
		b.EntryGone(MainLayer, 1, 79, "gone")
	})
	mustAppend(t, s, func(b *Batch) {
		b.EntryGone(BaseLayer, 1, 91, "gone")
		b.OriginGone(43)
		b.DropNote(44)
	})
}

// cleanFrozen makes cold segments of some of a store's.
func cleanFrozen(t *testing.T, s *Store) {
	t.Helper()
	for range 3 {
		if err := s.Checkpoint(); err != nil {
			t.Fatal(err)
		}
		if vs := s.victims(); len(vs) == 0 {
			t.Fatal("nothing to clean")
		} else if _, err := s.cleanOne(vs[0], nil); err != nil {
			t.Fatal(err)
		}
	}
}

// makeFrozen makes a store in dir as the given entry says.
func makeFrozen(t *testing.T, dir string, open bool, spoil func(*testing.T, string)) {
	t.Helper()
	rng := rand.NewChaCha8([32]byte{frozenSeed})
	o := testOptions()
	o.rand, o.now = rng, func() time.Time { return time.Unix(1_700_000_000, 0) }
	o.Labels = map[string]string{"base": "/srv/image"}
	live := filepath.Join(t.TempDir(), "live")
	o.Cleaner.Compress = strings.HasSuffix(filepath.Base(dir), "packed")
	s := mustCreate(t, live, o)
	fillFrozen(t, s)
	if strings.HasSuffix(filepath.Base(dir), "committing") {
		fillCommit(t, s)
	}
	if strings.HasPrefix(filepath.Base(dir), "cold") {
		cleanFrozen(t, s)
	}
	if !open {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(dir, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	spoil(t, dir)
}

// packStore writes a store as an archive that depends on nothing but its files.
func packStore(t *testing.T, name, dir string) {
	t.Helper()
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	w := tar.NewWriter(z)
	for _, f := range filesOf(t, dir) {
		err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o600, Size: int64(len(f.data)), ModTime: time.Unix(0, 0)})
		if err == nil {
			_, err = w.Write(f.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close(), os.WriteFile(name, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// unpackStore lays an archive out in a new directory.
func unpackStore(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "store")
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, filepath.FromSlash(h.Name))
		data, err := io.ReadAll(r)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, data, 0o600))
		if err != nil {
			t.Fatal(err)
		}
	}
}

type storeFile struct {
	name string
	data []byte
}

// filesOf returns the files of a store but its lock, by name.
func filesOf(t *testing.T, dir string) (files []storeFile) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == lockName {
			return err
		}
		data, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		files = append(files, storeFile{filepath.ToSlash(rel), data})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestFrozenStores opens each frozen store and compares what it makes of it
// with the text beside it.
func TestFrozenStores(t *testing.T) {
	if *freeze {
		for _, f := range frozenStores {
			dir := filepath.Join(t.TempDir(), f.name)
			makeFrozen(t, dir, f.open, f.spoil)
			packStore(t, filepath.Join(frozenDir, f.name+".tar.gz"), dir)
		}
	}
	archives, err := filepath.Glob(filepath.Join(frozenDir, "*.tar.gz"))
	if err != nil || len(archives) < len(frozenStores) {
		t.Fatalf("%d archives in %s, %v", len(archives), frozenDir, err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".tar.gz"), func(t *testing.T) {
			dir := unpackStore(t, name)
			got := describe(t, dir)
			text := strings.TrimSuffix(name, ".tar.gz") + ".txt"
			if *freeze {
				if err := os.WriteFile(text, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(text)
			if err != nil || len(want) == 0 {
				t.Fatalf("%s: %d bytes, %v", text, len(want), err)
			}
			if got != string(want) {
				t.Errorf("this program makes of it:\n%s\nit must be:\n%s", got, want)
			}
		})
	}
}

// describe says what the store in dir holds, and that looking changes nothing;
// then it opens the store for writing and says what becomes of it.
func describe(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	before := filesOf(t, dir)
	say := func(format string, args ...any) {
		b.WriteString(strings.ReplaceAll(fmt.Sprintf(format, args...), dir, "STORE") + "\n")
	}
	describeCheck(dir, say)
	if s, err := Open(dir, Options{ReadOnly: true}); err != nil {
		say("opened for reading: %v", err)
	} else {
		describeContent(t, s, say)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := Dump(dir, func(i DumpItem) error { say("%v", i); return nil }); err != nil {
		say("dump: %v", err)
	}
	if !slices.EqualFunc(before, filesOf(t, dir), func(a, b storeFile) bool { return a.name == b.name && bytes.Equal(a.data, b.data) }) {
		t.Error("looking has changed the store")
	}
	describeWriting(t, dir, say)
	return b.String()
}

func describeCheck(dir string, say func(string, ...any)) {
	r, err := Check(dir, CheckOptions{})
	if err != nil {
		say("check: %v", err)
		return
	}
	say("check: %d problems, %d segments, %d batches, %d frames, last %d, index %s, %d inodes affected",
		len(r.Problems), r.Segments, r.Batches, r.Frames, r.LastLSN, r.Index, len(r.Affected))
	for _, p := range r.Problems {
		say("  problem: %v", p)
	}
	for _, n := range r.Notes {
		say("  note: %s", n)
	}
}

// describeContent says what a store holds in each layer that has a name.
func describeContent(t *testing.T, s *Store, say func(string, ...any)) {
	t.Helper()
	info, err := s.Info()
	if err != nil {
		t.Fatal(err)
	}
	say("%d inodes, last LSN %d, %d segments, label %q, read-only: %s", info.Inodes, info.LastLSN, info.Segments, s.Label("base"), info.ReadOnly)
	err = s.EachOrigin(func(ino Ino, o Origin) bool {
		home := ""
		if o.Home != (Home{}) {
			home = fmt.Sprintf(" home %+v", o.Home)
		}
		say("  origin %x {Parent:%d Name:%s Pinned:%v}%s", uint64(ino), o.Parent, o.Name, o.Pinned, home)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(s.EachEntry(BaseLayer, func(dir Ino, e DirEntry) bool {
		say("  pin %d/%s is %d", dir, e.Name, e.Ino)
		return true
	}), s.EachNote(func(key Ino, text string) bool {
		say("  note %d: %.40s, %d bytes", key, text, len(text))
		return true
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range s.Layers() {
		say(" layer %d over %d, flags %d, view %d, %q", l.ID, l.Parent, l.Flags, l.View, l.Name)
		if l.Name != "" {
			describeLayer(t, s, l.ID, say)
		}
	}
}

func describeLayer(t *testing.T, s *Store, l LayerID, say func(string, ...any)) {
	t.Helper()
	err := s.EachInode(l, func(ino Ino, i Inode) bool {
		p := make([]byte, 48_000)
		sum := uint32(0)
		err := s.ReadAt(l, ino, p, 0, func(p []byte, _ int64) error { clear(p); return nil })
		if err == nil {
			sum = saltedSum(0, p)
		}
		say("  inode %x %+v data %08x %v", uint64(ino), i, sum, err)
		return true
	})
	if err == nil {
		err = s.EachEntry(l, func(dir Ino, e DirEntry) bool { say("  entry %x %+v", uint64(dir), e); return true })
	}
	if err != nil {
		t.Fatal(err)
	}
}

// describeWriting opens the store for writing, and if that is possible goes on
// with it: what is appended is there after the next open, and all is sound.
func describeWriting(t *testing.T, dir string, say func(string, ...any)) {
	t.Helper()
	s, err := Open(dir, testOptions())
	if err != nil {
		say("opened for writing: %v", err)
		return
	}
	var b Batch
	ino := s.NewIno()
	main, _ := s.LayerNamed("main")
	b.Inode(main.ID, ino, &Inode{Mode: TypeRegular, Nlink: 1, Size: 3})
	b.Data(main.ID, ino, 0, []byte("new"))
	_, err = s.Append(&b)
	say("appended: %v", err)
	if err != nil {
		s.Close()
		return
	}
	say("checked: %v", s.check())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Check(dir, CheckOptions{Rebuild: true})
	say("closed: %d problems, index %s, %v", len(r.Problems), r.Index, err)
	for _, p := range r.Problems {
		say("  problem: %v", p)
	}
	s = mustOpen(t, dir, testOptions())
	got := make([]byte, 3)
	if err := s.ReadAt(main.ID, ino, got, 0, nil); err != nil || string(got) != "new" {
		t.Errorf("read %q, %v", got, err)
	}
}

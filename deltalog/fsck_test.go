package deltalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// check verifies an open store: an index made from the log is the live one, and
// live bytes recounted are those that are kept.
func (s *Store) check() error {
	s.checkpointing.Lock()
	defer s.checkpointing.Unlock()
	s.appending.Lock()
	defer s.appending.Unlock()
	rebuilt := newIndex(emptyKV{}, s.sb.id)
	v, err := surveyLog(s.o.FS, s.sb.id, s.sb.segment)
	if err != nil {
		return err
	}
	if bad, err := s.applyCold(v, s.segs.coldRefs(), rebuilt); err != nil || len(bad) > 0 {
		return fmt.Errorf("cold segments: %v, %w", bad, orNone(err))
	}
	_, err = s.walk(func(_ *segHeader, b *logBatch) error {
		for i := range b.frames {
			if err := rebuilt.apply(&b.frames[i], b.locs[i]); err != nil {
				return err
			}
		}
		return nil
	}, func(r badRange) error {
		if r.tail {
			return nil
		}
		return fmt.Errorf("%s at %d: %w", segName(r.seg), r.from, r.cause)
	})
	for _, x := range []*index{s.x, rebuilt} { // dead frames of layers that are gone
		if err == nil {
			err = x.sweepAll()
		}
	}
	if err == nil {
		err = sameIndex(s.x, rebuilt)
	}
	if err != nil {
		return err
	}
	recount, err := s.x.recount()
	if err == nil && !maps.Equal(recount, s.x.live()) {
		err = indexBad("live bytes recounted are %v, kept are %v", recount, s.x.live())
	}
	return err
}

// sampleStore makes a store of several segments in a new directory, and leaves
// it as a clean close does.
func sampleStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	s, err := Create(dir, Options{SegmentSize: minSegment, Manual: true})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(4, 4))
	for i := range 60 {
		var b Batch
		ino := Ino(100 + i%20)
		data := make([]byte, 1+rng.IntN(9000))
		for j := range data {
			data[j] = byte(rng.Uint32())
		}
		b.Inode(MainLayer, ino, &Inode{Mode: TypeRegular | 0o644, Nlink: 1, Size: uint64(len(data))})
		b.Data(MainLayer, ino, int64(i/20)*4096, data)
		b.Entry(MainLayer, 1, uint64(ino), fmt.Sprint("file", ino), Entry{Ino: ino, Type: TypeRegular})
		b.Tag([]byte{byte(i)})
		if _, err := s.Append(&b); err != nil {
			t.Fatal(err)
		}
		if i == 30 {
			if err := s.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.check(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func mustCheck(t *testing.T, dir string, o CheckOptions) Report {
	t.Helper()
	r, err := Check(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// dumpOf returns all items of a dump.
func dumpOf(t *testing.T, dir string) (items []DumpItem) {
	t.Helper()
	if err := Dump(dir, func(i DumpItem) error { items = append(items, i); return nil }); err != nil {
		t.Fatal(err)
	}
	return items
}

// findFrame returns the n-th frame of a type.
func findFrame(t *testing.T, items []DumpItem, typ frameType, n int) *DumpFrame {
	t.Helper()
	for _, i := range items {
		if i.Frame != nil && i.Frame.Type == typ.String() {
			if n--; n < 0 {
				return i.Frame
			}
		}
	}
	t.Fatalf("no %s frame", typ)
	return nil
}

// edit changes one byte of a file.
func editByte(t *testing.T, path string, off int64) {
	t.Helper()
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p[off] ^= 0x10
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCheckOfASoundStore(t *testing.T) {
	dir := sampleStore(t)
	before := treeOf(t, dir)
	r := mustCheck(t, dir, CheckOptions{})
	if len(r.Problems) != 0 || len(r.Affected) != 0 || r.Index != "ok" {
		t.Errorf("report %+v", r)
	}
	if r.Segments < 3 || r.Batches < 60 || r.Frames < 180 || r.DataBytes == 0 || r.LiveBytes == 0 || r.LastLSN < 60 {
		t.Errorf("counts %+v", r)
	}
	if after := treeOf(t, dir); !maps.Equal(before, after) {
		t.Error("the check changed the store")
	}
}

// treeOf returns the contents of a store's files, but for the lock.
func treeOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == lockName {
			return err
		}
		p, err := os.ReadFile(path)
		m[path] = string(p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCheckNamesDamageAndWhomItAffects(t *testing.T) {
	for _, typ := range []frameType{frameInode, frameData, frameEntry} {
		for _, where := range []struct {
			name string
			off  int64
		}{{"header", 9}, {"payload", frameHeaderSize + 3}} {
			t.Run(typ.String()+" "+where.name, func(t *testing.T) {
				dir := sampleStore(t)
				f := findFrame(t, dumpOf(t, dir), typ, 48) // a version that is not overwritten later
				file := filepath.Join(dir, filepath.FromSlash(segName(f.Segment)))
				editByte(t, file, int64(f.Offset)+where.off)
				r := mustCheck(t, dir, CheckOptions{})
				if len(r.Problems) != 1 || r.Problems[0].File != file || r.Problems[0].Offset > int64(f.Offset) {
					t.Fatalf("problems %v, want one at or before %s %d", r.Problems, file, f.Offset)
				}
				want := []InodeRef{{f.Layer, f.Ino}}
				if !slices.Equal(r.Affected, want) {
					t.Errorf("affected %v, want %v", r.Affected, want)
				}
				if r.Batches < 60 {
					t.Errorf("only %d batches were read: it did not go on behind the damage", r.Batches)
				}
				if _, err := Check(dir, CheckOptions{Rebuild: true}); !errors.Is(err, ErrDamaged) {
					t.Errorf("the index of a damaged log was given up: %v", err)
				}
			})
		}
	}
}

func TestCheckOfAMissingSegment(t *testing.T) {
	dir := sampleStore(t)
	f := findFrame(t, dumpOf(t, dir), frameInode, 45)
	if err := os.Remove(filepath.Join(dir, filepath.FromSlash(segName(f.Segment)))); err != nil {
		t.Fatal(err)
	}
	r := mustCheck(t, dir, CheckOptions{})
	if len(r.Problems) == 0 || !slices.Contains(r.Affected, InodeRef{f.Layer, f.Ino}) {
		t.Errorf("report %+v", r)
	}
}

func TestCheckRebuildsTheIndex(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string){
		"missing": func(t *testing.T, path string) { os.Remove(path) },
		"empty":   func(t *testing.T, path string) { os.WriteFile(path, nil, 0o600) },
		"garbage": func(t *testing.T, path string) { os.WriteFile(path, bytes.Repeat([]byte("x"), 1<<16), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := sampleStore(t)
			path := filepath.Join(dir, indexName)
			damage(t, path)
			r := mustCheck(t, dir, CheckOptions{})
			if (len(r.Problems) == 0) != (name == "missing") || r.Index == "ok" {
				t.Errorf("before: %+v", r)
			}
			r = mustCheck(t, dir, CheckOptions{Rebuild: true})
			if len(r.Problems) != 0 || r.Index != "rebuilt" {
				t.Errorf("rebuilding: %+v", r)
			}
			r = mustCheck(t, dir, CheckOptions{})
			if len(r.Problems) != 0 || r.Index != "ok" {
				t.Errorf("after: %+v", r)
			}
		})
	}
}

// TestCheckComparesIndexWithLog has an index that is whole by itself, and wrong.
func TestCheckComparesIndexWithLog(t *testing.T) {
	dir := sampleStore(t)
	s, err := Open(dir, Options{Manual: true})
	if err != nil {
		t.Fatal(err)
	}
	lsn, pos, _ := s.x.position()
	f := frame{typ: frameInode, lsn: lsn, layer: MainLayer, ino: 4711, payload: appendInode(nil, &Inode{})}
	if err := s.x.apply(&f, loc{seg: pos.seg, off: 512, size: 208}); err != nil {
		t.Fatal(err)
	}
	if err := s.check(); !errors.Is(err, errIndexBad) {
		t.Errorf("an inode that the log does not have is not seen: %v", err)
	}
	s.x.freeze(lsn, pos)
	if err := errors.Join(s.x.flush(), s.Close()); err != nil {
		t.Fatal(err)
	}
	r := mustCheck(t, dir, CheckOptions{})
	if len(r.Problems) != 1 || r.Index != "damaged" || !strings.Contains(r.Problems[0].Means, "--rebuild") {
		t.Fatalf("report %+v", r)
	}
	mustCheck(t, dir, CheckOptions{Rebuild: true})
	if r = mustCheck(t, dir, CheckOptions{}); len(r.Problems) != 0 {
		t.Errorf("after the rebuild: %v", r.Problems)
	}
}

func TestCheckOfATornTail(t *testing.T) {
	dir := sampleStore(t)
	s, err := Open(dir, Options{Manual: true})
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	b.Inode(MainLayer, 5, &Inode{Mode: TypeRegular})
	b.Inode(MainLayer, 6, &Inode{Mode: TypeRegular})
	if _, err := s.Append(&b); err != nil {
		t.Fatal(err)
	}
	file, end := filepath.Join(dir, filepath.FromSlash(segName(s.head.seg.id))), s.head.off
	// The machine dies: no Close, and the COMMIT does not reach the disk.
	s.x.close()
	s.segs.close()
	s.lock.unlock()
	editByte(t, file, end-8)
	r := mustCheck(t, dir, CheckOptions{})
	if len(r.Problems) != 0 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], file) {
		t.Errorf("report %+v", r)
	}
	torn := 0
	for _, i := range dumpOf(t, dir) {
		if i.Broken != nil && i.Broken.Tail {
			torn++
		}
	}
	if torn != 1 {
		t.Errorf("the dump shows %d torn tails", torn)
	}
}

func TestCheckRefuses(t *testing.T) {
	dir := sampleStore(t)
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Check(dir, CheckOptions{}); !errors.Is(err, ErrInUse) {
		t.Errorf("a store in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(t.TempDir(), CheckOptions{}); !errors.Is(err, ErrNotStore) {
		t.Errorf("a foreign directory: %v", err)
	}
}

func TestDumpShowsWhatWasAppended(t *testing.T) {
	dir := sampleStore(t)
	items := dumpOf(t, dir)
	if items[0].Store == nil || items[0].Store.InUse != "" {
		t.Errorf("first item %v", items[0])
	}
	e := findFrame(t, items, frameEntry, 3)
	if e.Name != "file103" || e.Ino != 1 || e.Entry.Ino != 103 {
		t.Errorf("entry %v", e)
	}
	tagged := 0
	for _, i := range items {
		if i.String() == "" || strings.Contains(i.String(), "\n") {
			t.Errorf("not a line: %q", i.String())
		}
		p, err := json.Marshal(i)
		var back DumpItem
		if err == nil {
			err = json.Unmarshal(p, &back)
		}
		if err != nil || back.String() != i.String() {
			t.Errorf("%s: JSON gives %s (%v)", i, back, err)
		}
		if i.Frame != nil && i.Frame.Tag != "" && i.Frame.Frames == 3 {
			tagged++
		}
		if i.Broken != nil {
			t.Errorf("broken: %s", i)
		}
	}
	if tagged != 60 {
		t.Errorf("%d batches show their tag, want 60", tagged)
	}
}

func TestDumpOfAStoreInUse(t *testing.T) {
	dir := sampleStore(t)
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if items := dumpOf(t, dir); items[0].Store.InUse == "" {
		t.Error("it does not say that the store is in use")
	}
	stop := errors.New("enough")
	if err := Dump(dir, func(DumpItem) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of the callback: %v", err)
	}
}

package deltalog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"deltafs/deltalog/disk"
)

// cleanRig is a store of small segments, and what its files should hold.
type cleanRig struct {
	*testing.T
	*Store
	dir   string
	o     Options
	files map[Ino][]byte
}

func newCleanRig(t *testing.T, o Options) *cleanRig {
	t.Helper()
	r := &cleanRig{T: t, dir: filepath.Join(t.TempDir(), "store"), o: o, files: map[Ino][]byte{}}
	if r.o.SegmentSize == 0 {
		r.o.SegmentSize = minSegment
	}
	s, err := Create(r.dir, r.o)
	if err != nil {
		t.Fatal(err)
	}
	r.Store = s
	t.Cleanup(func() { r.Store.Close() })
	return r
}

// write overwrites a part of a file; it returns what Append says.
func (r *cleanRig) write(ino Ino, off int, p []byte) error {
	var b Batch
	f := r.files[ino]
	if n := off + len(p); n > len(f) {
		f = append(f, make([]byte, n-len(f))...)
	}
	b.Data(MainLayer, ino, int64(off), p)
	b.Inode(MainLayer, ino, &Inode{Mode: TypeRegular | 0o644, Nlink: 1, Size: uint64(len(f))})
	if _, err := r.Append(&b); err != nil {
		return err
	}
	copy(f[off:], p)
	r.files[ino] = f
	return nil
}

func (r *cleanRig) drop(ino Ino) {
	r.Helper()
	var b Batch
	b.Drop(MainLayer, ino)
	if _, err := r.Append(&b); err != nil {
		r.Fatal(err)
	}
	delete(r.files, ino)
}

// check reads everything.
func (r *cleanRig) check() {
	r.Helper()
	n := 0
	err := r.x.eachInode(MainLayer, func(ino Ino, _ Inode) bool { n++; return true })
	if err != nil || n != len(r.files) {
		r.Fatalf("%d inodes, %v; want %d", n, err, len(r.files))
	}
	for ino, want := range r.files {
		got := make([]byte, len(want))
		err := r.ReadAt(MainLayer, ino, got, 0, func(p []byte, _ int64) error { clear(p); return nil })
		if err != nil || !bytes.Equal(got, want) {
			r.Fatalf("inode %x: %v, %d bytes, equal %v", uint64(ino), err, len(want), bytes.Equal(got, want))
		}
	}
}

// reopen closes and opens the store, without its index if rebuild says so, and
// has it checked.
func (r *cleanRig) reopen(rebuild bool) {
	r.Helper()
	if err := r.Close(); err != nil {
		r.Fatal(err)
	}
	if rebuild {
		if err := removeBolt(r.dir); err != nil {
			r.Fatal(err)
		}
	}
	s, err := Open(r.dir, r.o)
	if err != nil {
		r.Fatal(err)
	}
	r.Store = s
	r.check()
}

func (r *cleanRig) fsck() {
	r.Helper()
	if err := r.Close(); err != nil {
		r.Fatal(err)
	}
	rep, err := Check(r.dir, CheckOptions{})
	if err != nil || len(rep.Problems) > 0 {
		r.Fatalf("%+v, %v", rep, err)
	}
	if r.Store, err = Open(r.dir, r.o); err != nil {
		r.Fatal(err)
	}
}

// TestClean: space of what was overwritten comes back, and nothing else changes,
// whether the index is kept or made anew.
func TestClean(t *testing.T) {
	const seed = 6
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	r := newCleanRig(t, Options{Manual: true})
	var inos []Ino
	for range 20 {
		inos = append(inos, r.NewIno())
	}
	for round := range 4 {
		for range 400 {
			p := make([]byte, 100+rng.IntN(9000))
			binary.LittleEndian.PutUint64(p, rng.Uint64())
			if err := r.write(inos[rng.IntN(len(inos))], rng.IntN(30_000), p); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			i := rng.IntN(len(inos))
			if r.files[inos[i]] != nil {
				r.drop(inos[i])
			}
			inos[i] = r.NewIno()
		}
		before, err := r.Info()
		if err != nil {
			t.Fatal(err)
		}
		calls := 0
		c, err := r.Clean(0.1, func(Cleaned) bool { calls++; return true })
		if err != nil || c.Segments == 0 || calls != c.Segments {
			t.Fatalf("%+v, %d calls, %v", c, calls, err)
		}
		after, err := r.Info()
		if err != nil {
			t.Fatal(err)
		}
		if most := 2*int(after.LiveBytes/minSegment) + 4; after.Segments > most || after.Segments >= before.Segments {
			t.Errorf("round %d: %d segments, %d after cleaning, %d KiB live", round, before.Segments, after.Segments, after.LiveBytes>>10)
		}
		r.check()
		r.reopen(round%2 == 1)
		r.fsck()
	}
	if c, err := r.Clean(1, nil); err != nil || c.Copied != 0 {
		t.Errorf("cleaning what is dead as a whole copied %+v, %v", c, err)
	}
}

// manualStore makes a store of small segments in a new directory.
func manualStore() (s *Store, dir string, err error) {
	if dir, err = os.MkdirTemp("", "deltalog"); err != nil {
		return nil, "", err
	}
	s, err = Create(filepath.Join(dir, "store"), Options{Manual: true, SegmentSize: minSegment})
	return s, dir, err
}

// cleanHot moves everything out of the hot log but its head.
func cleanHot(s *Store) error {
	for {
		if err := s.Checkpoint(); err != nil {
			return err
		}
		v, ok := s.pick(nil, func(v victim) bool { return !v.cold })
		if !ok {
			return nil
		}
		if _, err := s.cleanOne(v, nil); err != nil {
			return err
		}
	}
}

// filler fills segments with what nobody reads.
func filler(s *Store, ino Ino) error {
	for range 3 {
		var b Batch
		b.Data(MainLayer, ino, 0, make([]byte, 50_000))
		if _, err := s.Append(&b); err != nil {
			return err
		}
	}
	return nil
}

// tombstones deletes what lies in cold segments, has the cleaner move the
// tombstones there too, and makes the index anew: what is gone stays gone.
func tombstones() error {
	s, dir, err := manualStore()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	names, fill := s.NewIno(), s.NewIno()
	var inos []Ino
	for i := range 30 {
		ino := s.NewIno()
		inos = append(inos, ino)
		var b Batch
		b.Inode(MainLayer, ino, &Inode{Mode: TypeRegular, Size: 3000})
		b.Data(MainLayer, ino, 0, make([]byte, 3000))
		b.Entry(MainLayer, names, uint64(i), fmt.Sprint("n", i), Entry{Ino: ino})
		if _, err := s.Append(&b); err != nil {
			return err
		}
	}
	if err := errors.Join(filler(s, fill), cleanHot(s)); err != nil {
		return err
	}
	for i, ino := range inos {
		var b Batch
		switch i % 3 {
		case 0:
			b.Drop(MainLayer, ino)
		case 1:
			b.Truncate(MainLayer, ino, 100)
		case 2:
			b.EntryGone(MainLayer, names, uint64(i), fmt.Sprint("n", i))
		}
		if _, err := s.Append(&b); err != nil {
			return err
		}
	}
	for range 2 { // the second time out of cold segments
		if err := errors.Join(filler(s, fill), cleanHot(s)); err != nil {
			return err
		}
		for _, r := range s.segs.coldRefs() {
			if s.cleaner.headOf(r.id) == nil && r.id%2 == 0 {
				if _, err := s.cleanOne(victim{id: r.id, cold: true}, nil); err != nil {
					return err
				}
			}
		}
	}
	want, err := s.x.digest()
	if err = errors.Join(err, s.checkPlaces(), s.Close(), removeBolt(s.dir)); err != nil {
		return err
	}
	if s, err = Open(s.dir, Options{Manual: true}); err != nil {
		return err
	}
	defer s.Close()
	got, err := s.x.digest()
	if err == nil && got != want {
		err = errors.New("the index made anew has what was deleted")
	}
	return errors.Join(err, s.checkPlaces())
}

func TestTombstones(t *testing.T) {
	if err := tombstones(); err != nil {
		t.Error(err)
	}
}

// changedWhileMoved changes records and data between their being copied and the
// index being told: the change stays, not the copy.
func changedWhileMoved() error {
	s, dir, err := manualStore()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer s.Close()
	var inos []Ino
	put := func(ino Ino, v byte) error {
		var b Batch
		b.Inode(MainLayer, ino, &Inode{Mode: TypeRegular, Size: 2000, Mtime: int64(v)})
		b.Data(MainLayer, ino, int64(v), bytes.Repeat([]byte{v}, 2000))
		b.Entry(MainLayer, 1, uint64(ino), "name", Entry{Ino: ino, Type: uint32(v)})
		_, err := s.Append(&b)
		return err
	}
	for range 20 {
		inos = append(inos, s.NewIno())
		if err := put(inos[len(inos)-1], 1); err != nil {
			return err
		}
	}
	if err := filler(s, s.NewIno()); err != nil {
		return err
	}
	var failed error
	s.cleaner.copying = func() {
		s.cleaner.copying = nil
		for i, ino := range inos {
			switch i % 3 {
			case 0:
				failed = errors.Join(failed, put(ino, 2))
			case 1:
				var b Batch
				b.Drop(MainLayer, ino)
				_, err := s.Append(&b)
				failed = errors.Join(failed, err)
			}
		}
	}
	if err := errors.Join(cleanHot(s), failed, s.checkPlaces()); err != nil {
		return err
	}
	for i, ino := range inos {
		rec, ok, err := s.Inode(MainLayer, ino)
		if err != nil || ok != (i%3 != 1) || ok && rec.Mtime != int64(2-min(i%3, 1)) {
			return fmt.Errorf("inode %d: %+v, %v, %w", i, rec, ok, orNone(err))
		}
		got := make([]byte, 2002)
		if err := s.ReadAt(MainLayer, ino, got, 0, func(p []byte, _ int64) error { clear(p); return nil }); err != nil {
			return err
		}
		if want := byte([]int{2, 0, 1}[i%3]); got[1000] != want {
			return fmt.Errorf("inode %d has %d, want %d", i, got[1000], want)
		}
	}
	return nil
}

func TestChangedWhileMoved(t *testing.T) {
	if err := changedWhileMoved(); err != nil {
		t.Error(err)
	}
}

// rotatedMeanwhile has others fill segments between each list of cold segments and
// its sync, and kills the process after each: the store is whole, with its index and
// without.
func rotatedMeanwhile() error {
	s, dir, err := manualStore()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer s.Close()
	fill := s.NewIno()
	for i := range 40 {
		var b Batch
		b.Inode(MainLayer, s.NewIno(), &Inode{Mode: TypeRegular, Size: uint64(i)})
		b.Data(MainLayer, fill, int64(i)*9000, bytes.Repeat([]byte{byte(i)}, 9000))
		if _, err := s.Append(&b); err != nil {
			return err
		}
	}
	var failed error
	images := 0
	s.cleaner.listed = func() { failed = errors.Join(failed, filler(s, s.NewIno())) }
	look := func() {
		images++
		failed = errors.Join(failed, sameAfterKill(s, filepath.Join(dir, fmt.Sprint("image", images))))
	}
	s.cleaner.copying = look
	for range 3 {
		if err := errors.Join(s.Checkpoint(), failed); err != nil {
			return err
		}
		for _, v := range s.victims() {
			if _, err := s.cleanOne(v, nil); err != nil {
				return err
			}
			if err := s.segs.stock(); err != nil { // the file of the victim gets another name
				return err
			}
			look()
		}
	}
	if images < 10 {
		return fmt.Errorf("only %d images", images)
	}
	return failed
}

// listBehindEnd has a cold segment freed since all in it was overwritten, and the machine
// die before anything of that is durable: what overwrites is torn, and the list without
// the segment, in the next one, is whole. What was durable is there.
func listBehindEnd() error {
	s, dir, err := manualStore()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer s.Close()
	const size = 9000
	ino := s.NewIno()
	write := func(first, n int, fill byte) error {
		for i := first; i < first+n; i++ {
			var b Batch
			b.Data(MainLayer, ino, int64(i)*size, bytes.Repeat([]byte{fill}, size))
			if _, err := s.Append(&b); err != nil {
				return err
			}
		}
		return nil
	}
	if err := errors.Join(write(0, 40, 'a'), cleanHot(s), s.Sync(s.LastLSN())); err != nil {
		return err
	}
	want, err := s.x.digest()
	if err != nil {
		return err
	}
	seg, off := s.head.seg.id, s.head.off
	if err := write(0, 40, 'b'); err != nil {
		return err
	}
	if s.head.seg.id == seg {
		return errors.New("there is nothing behind the segment that will be torn")
	}
	var failed error
	image := filepath.Join(dir, "image")
	s.cleaner.listed = func() {
		s.cleaner.listed = nil
		if failed = errors.Join(filler(s, s.NewIno()), os.CopyFS(image, os.DirFS(s.dir)), removeBolt(image)); failed != nil {
			return
		}
		f, err := disk.OS(image).Open(segName(seg), true)
		if err != nil {
			failed = err
			return
		}
		_, err = f.WriteAt(zeros[:frameHeaderSize], off)
		failed = errors.Join(err, f.Close())
	}
	v, ok := s.pick(nil, func(v victim) bool { return v.cold && v.live == 0 })
	if !ok {
		return errors.New("no cold segment is dead")
	}
	if _, err := s.cleanOne(v, nil); err != nil || failed != nil {
		return errors.Join(err, failed)
	}
	c, err := Open(image, Options{Manual: true})
	if err != nil {
		return err
	}
	got, err := c.x.digest()
	if err := errors.Join(err, c.checkPlaces(), c.Close()); err != nil {
		return err
	}
	if got != want {
		return errors.New("what was durable is not what is found")
	}
	return nil
}

// sameAfterKill opens what a killed process has left, and compares.
func sameAfterKill(s *Store, image string) error {
	want, err := s.x.digest()
	if err = errors.Join(err, os.CopyFS(image, os.DirFS(s.dir))); err != nil {
		return err
	}
	for _, rebuild := range []bool{false, true} {
		if rebuild {
			if err := removeBolt(image); err != nil {
				return err
			}
		}
		c, err := Open(image, Options{Manual: true})
		if err != nil {
			return err
		}
		got, err := c.x.digest()
		info, ierr := c.Info()
		err = errors.Join(err, ierr, c.checkPlaces(), c.Close())
		if err == nil && (got != want || info.ReadOnly != "") {
			err = fmt.Errorf("killed, index made anew %v: the same %v; %s", rebuild, got == want, info.ReadOnly)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func TestRotatedMeanwhile(t *testing.T) {
	if err := rotatedMeanwhile(); err != nil {
		t.Error(err)
	}
}

func TestListBehindEnd(t *testing.T) {
	if err := listBehindEnd(); err != nil {
		t.Error(err)
	}
}

// watchedFS is told before the file of a segment gets another name, or is removed.
type watchedFS struct {
	disk.FS
	told *func()
}

func (d watchedFS) Rename(from, to string) error {
	if filepath.Ext(from) == ".seg" { // and not one that is being made
		(*d.told)()
	}
	return d.FS.Rename(from, to)
}

func (d watchedFS) Remove(name string) error {
	(*d.told)()
	return d.FS.Remove(name)
}

// trimmedFirst fills segments, of which nothing is live soon: before their files become
// something else it is durable that the log does without them.
func trimmedFirst() error {
	dir, err := os.MkdirTemp("", "deltalog")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	told := func() {}
	s, err := Create(filepath.Join(dir, "store"), Options{Manual: true, SegmentSize: minSegment, FS: watchedFS{disk.OS(filepath.Join(dir, "store")), &told}})
	if err != nil {
		return err
	}
	defer s.Close()
	early, reused := 0, 0
	for range 5 {
		told = func() {}
		if err := filler(s, 9); err != nil {
			return err
		}
		told = func() { // nothing but the trim is appended now
			if reused++; s.SyncedLSN() < s.LastLSN() {
				early++
			}
		}
		if err := errors.Join(s.Checkpoint(), s.segs.stock()); err != nil {
			return err
		}
	}
	told = func() {}
	switch {
	case reused < 5:
		return fmt.Errorf("only %d segments were freed", reused)
	case early > 0:
		return fmt.Errorf("%d of %d segments became something else before it was durable that they were trimmed", early, reused)
	}
	return nil
}

func TestTrimmedFirst(t *testing.T) {
	if err := trimmedFirst(); err != nil {
		t.Error(err)
	}
}

// TestFlippedBits: a flipped bit in a cold segment is found by fsck, if it is in what
// is part of the log, and what is read is right or an error; cleaning goes on with
// the other segments, and without an index the store does not pretend to be whole.
func TestFlippedBits(t *testing.T) {
	const seed = 12
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	r := newCleanRig(t, Options{Manual: true})
	for range 30 {
		p := bytes.Repeat([]byte{byte(1 + rng.IntN(255))}, 1+rng.IntN(30_000))
		if err := r.write(r.NewIno(), 0, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(filler(r.Store, 77), cleanHot(r.Store), r.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := Open(r.dir, r.o)
	if err != nil {
		t.Fatal(err)
	}
	refs := s.segs.coldRefs()
	if err := s.Close(); err != nil || len(refs) < 3 {
		t.Fatalf("%d cold segments, %v", len(refs), err)
	}
	n := 60
	if testing.Short() {
		n = 10
	}
	for i := range n {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if err := os.CopyFS(dir, os.DirFS(r.dir)); err != nil {
			t.Fatal(err)
		}
		ref := refs[rng.IntN(len(refs))]
		at := segHeaderSize + rng.Int64N(int64(ref.end)-segHeaderSize)
		editByte(t, filepath.Join(dir, segName(ref.id)), at)
		rep, err := Check(dir, CheckOptions{})
		if err != nil || len(rep.Problems) == 0 {
			// Padding is not covered, and holds nothing.
			t.Logf("byte %d of segment %d: %+v, %v", at, ref.id, rep, err)
		}
		found := len(rep.Problems) > 0
		s, err := Open(dir, r.o)
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		for ino, want := range r.files {
			got := make([]byte, len(want))
			err := s.ReadAt(MainLayer, ino, got, 0, func(p []byte, _ int64) error { clear(p); return nil })
			if err != nil && !errors.Is(err, ErrDamaged) || err == nil && !bytes.Equal(got, want) || err != nil && !found {
				t.Errorf("byte %d of segment %d: inode %x: %v, equal %v, found %v", at, ref.id, uint64(ino), err, bytes.Equal(got, want), found)
			}
		}
		if _, err := s.Clean(0.01, nil); err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("clean: %v", err)
		}
		s.Close()
		if err := removeBolt(dir); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(dir, r.o); err != nil {
			t.Fatalf("open without an index: %v", err)
		}
		if info, err := s.Info(); found && (err != nil || info.ReadOnly == "") && len(rep.Affected) > 0 {
			t.Errorf("byte %d of segment %d: the index is made anew, and the store is not read-only: %+v, %v", at, ref.id, info, err)
		}
		s.Close()
	}
}

// TestCleanDamage: damage of what is dead does not keep a segment from being freed, of what is live it does.
func TestCleanDamage(t *testing.T) {
	const piece, pieces = 10_000, 12
	for _, c := range []struct {
		what    string
		rewrite int // so many pieces are written again
		at      int // the piece that is damaged
		cleaned bool
	}{
		{"all is dead", pieces, 1, true},
		{"what is damaged is dead", 2, 1, true},
		{"what is damaged is live", 1, 1, false},
	} {
		r := newCleanRig(t, Options{Manual: true})
		write := func(n int) {
			for i := range n {
				if err := r.write(9, i*piece, pattern(i+n, piece)); err != nil {
					t.Fatal(err)
				}
			}
		}
		write(pieces)
		path := filepath.Join(r.dir, segName(r.segs.ids()[0]))
		write(c.rewrite)
		for i := range pieces {
			if err := r.write(10, i*piece, pattern(i, piece)); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Checkpoint(); err != nil {
			t.Fatal(err)
		}
		var frames []int64
		sc := scanner{id: r.segs.ids()[0], pos: segHeaderSize}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		seg, err := r.segs.acquire(sc.id)
		if err != nil {
			t.Fatal(err)
		}
		sc.r, sc.salt = file, seg.hdr.salt
		r.segs.release(seg)
		sc.end, _ = r.segs.endOf(sc.id)
		for sc.pos < sc.end {
			f, at, err := sc.next(true)
			if err != nil {
				t.Fatal(err)
			}
			if f.typ == frameData {
				frames = append(frames, int64(at.off))
			}
		}
		file.Close()
		editByte(t, path, frames[c.at]+frameHeaderSize+piece/2)
		v, ok := r.pick(nil, func(v victim) bool { return v.id == sc.id })
		if !ok {
			t.Fatalf("%s: the oldest segment cannot be cleaned", c.what)
		}
		switch _, err := r.cleanOne(v, nil); {
		case c.cleaned && err == nil:
			r.check()
			if _, err := os.Stat(path); err == nil && r.segs.ids()[0] == sc.id {
				t.Errorf("%s: the segment is still there", c.what)
			}
		case c.cleaned || !errors.Is(err, ErrDamaged):
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// TestFillAndDelete: a store that is full takes deletes, and then takes as much as
// before, again and again.
func TestFillAndDelete(t *testing.T) {
	rounds := 60 * max(benchNumber("DELTAFS_SOAK", 1), 1)
	if testing.Short() {
		rounds = 8
	}
	r := newCleanRig(t, Options{Manual: true, Limit: 24 * minSegment})
	rng := rand.New(rand.NewPCG(7, 0))
	least := 1 << 30
	kept := r.NewIno()
	if err := r.write(kept, 0, bytes.Repeat([]byte("kept"), 10_000)); err != nil {
		t.Fatal(err)
	}
	for round := range rounds {
		var all []Ino
		n := 0
		for {
			ino := r.NewIno()
			p := make([]byte, 3000+rng.IntN(20_000))
			binary.LittleEndian.PutUint64(p, rng.Uint64())
			err := r.write(ino, 0, p)
			if errors.Is(err, ErrNoSpace) {
				break
			}
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			all = append(all, ino)
			n += len(p)
		}
		if n < 12*minSegment {
			t.Fatalf("round %d: full after %d KiB of %d", round, n>>10, r.o.Limit>>10)
		}
		least = min(least, n)
		if round%5 == 0 {
			r.check()
		}
		for i, ino := range all {
			if i%7 != 0 || round%2 == 0 { // some stay for a round
				r.drop(ino)
			}
		}
		for ino := range r.files {
			if ino != kept && round%2 == 0 {
				r.drop(ino)
			}
		}
		if round%10 == 9 {
			r.reopen(round%20 == 9)
		}
	}
	r.check()
	t.Logf("at least %d KiB of %d in each of %d rounds", least>>10, r.o.Limit>>10, rounds)
}

// TestWriteCost: in a store of which three quarters are live, and of which a tenth
// gets nine tenths of all writes, little more than what is written is copied.
func TestWriteCost(t *testing.T) {
	times := 12 // the size of the store
	if testing.Short() {
		times = 3
	}
	const segments = 96
	const segSize = 512 << 10
	r := newCleanRig(t, Options{Manual: true, Limit: segments * segSize, SegmentSize: segSize})
	const block = 4096
	blocks := segments * segSize * 3 / 4 / (block + 300)
	ino := r.NewIno()
	rng := rand.New(rand.NewPCG(8, 0))
	p := make([]byte, block)
	put := func(i int) {
		t.Helper()
		binary.LittleEndian.PutUint64(p, rng.Uint64())
		if err := r.write(ino, i*block, p); err != nil {
			t.Fatalf("%v; %v", err, r.victims())
		}
		if err := r.tidy(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range blocks {
		put(i)
	}
	user, before := 0, r.logBytes()
	cold := r.cleaner.copied.Load()
	for user < times*segments*segSize {
		i := rng.IntN(blocks / 10)
		if rng.IntN(10) == 0 {
			i = blocks/10 + rng.IntN(blocks-blocks/10)
		}
		put(i)
		user += block
	}
	hot := r.logBytes() - before
	cost := float64(hot+r.cleaner.copied.Load()-cold) / float64(user)
	t.Logf("%d KiB written, %.2f times that to the log, %.2f copied: write cost %.2f",
		user>>10, float64(hot)/float64(user), float64(r.cleaner.copied.Load()-cold)/float64(user), cost)
	if cost > 1.9 {
		t.Errorf("write cost %.2f", cost)
	}
	r.check()
}

// TestCleanWhileWriting: with writers, readers and the cleaner at work at once,
// what is read is what was written last.
func TestCleanWhileWriting(t *testing.T) {
	n := 1500
	if testing.Short() {
		n = 300
	}
	if err := cleanWhileWriting(n); err != nil {
		t.Error(err)
	}
}

// cleanWhileWriting lets four writers do n steps each.
func cleanWhileWriting(n int) (err error) {
	dir, err := os.MkdirTemp("", "deltalog")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := Create(filepath.Join(dir, "store"), Options{SegmentSize: minSegment, Limit: 64 * minSegment})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var writing, cleaning sync.WaitGroup
	errs := make(chan error, 10)
	for w := range 4 {
		ino := s.NewIno()
		writing.Go(func() { errs <- writeAndRead(s, ino, uint64(w), n) })
	}
	stop := make(chan struct{})
	cleaning.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			if _, err := s.Clean(0.3, nil); err != nil && !errors.Is(err, ErrNoSpace) {
				errs <- fmt.Errorf("clean: %w", err)
				return
			}
		}
	})
	writing.Wait()
	close(stop)
	cleaning.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	err = errors.Join(err, s.Checkpoint())
	s.cleaner.mu.Lock() // the store cleans by itself, too: what is looked at must not move meanwhile
	defer s.cleaner.mu.Unlock()
	return errors.Join(err, s.checkPlaces())
}

// writeAndRead overwrites blocks of a file and its record, and reads them back.
func writeAndRead(s *Store, ino Ino, seed uint64, n int) error {
	rng := rand.New(rand.NewPCG(9, seed))
	var want [40]uint64
	block := func(v uint64) []byte { return bytes.Repeat(binary.LittleEndian.AppendUint64(nil, v), 512) }
	for i := range n {
		k := rng.IntN(len(want))
		want[k] = uint64(i + 1)
		var b Batch
		b.Inode(MainLayer, ino, &Inode{Mode: TypeRegular, Size: 1 << 20, Mtime: int64(i)})
		b.Data(MainLayer, ino, int64(k*4096), block(want[k]))
		if _, err := s.Append(&b); err != nil {
			return err
		}
		rec, ok, err := s.Inode(MainLayer, ino)
		if err != nil || !ok || rec.Mtime != int64(i) {
			return fmt.Errorf("step %d of file %d: its record is of step %d, %v", i, seed, rec.Mtime, err)
		}
		k = rng.IntN(len(want))
		got := make([]byte, 4096)
		err = s.ReadAt(MainLayer, ino, got, int64(k*4096), func(p []byte, _ int64) error { clear(p); return nil })
		if err != nil || !bytes.Equal(got, block(want[k])) {
			return fmt.Errorf("step %d of file %d, block %d: %d, want %d, %w", i, seed, k, binary.LittleEndian.Uint64(got), want[k], orNone(err))
		}
	}
	return nil
}

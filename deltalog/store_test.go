package deltalog

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// testOptions are those of most tests: small segments, no goroutines.
func testOptions() Options { return Options{Manual: true, SegmentSize: minSegment} }

func mustCreate(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Create(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !s.closed.Load() {
			s.Close()
		}
	})
	return s
}

func mustOpen(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !s.closed.Load() {
			s.Close()
		}
	})
	return s
}

func mustAppend(t testing.TB, s *Store, fill func(b *Batch)) LSN {
	t.Helper()
	var b Batch
	fill(&b)
	lsn, err := s.Append(&b)
	if err != nil {
		t.Fatal(err)
	}
	return lsn
}

// noLower fails where data should have come from the log.
func noLower(p []byte, off int64) error {
	return fmt.Errorf("%d bytes at %d are not in the layer", len(p), off)
}

func mustRead(t testing.TB, s *Store, ino Ino, off int64, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if err := s.ReadAt(MainLayer, ino, got, off, noLower); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("inode %x at %d: %d bytes differ from what was written", uint64(ino), off, len(want))
	}
}

// pattern returns n bytes that differ by seed and place.
func pattern(seed, n int) []byte {
	p := make([]byte, n)
	x := uint64(seed)*2654435761 + 1
	for i := range p {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		p[i] = byte(x)
	}
	return p
}

func TestWhatWasAppendedIsRead(t *testing.T) {
	s := mustCreate(t, t.TempDir(), testOptions())
	ino := s.NewIno()
	rec := Inode{Mode: TypeRegular | 0o644, Nlink: 1, Size: 5, Mtime: 7}
	lsn := mustAppend(t, s, func(b *Batch) {
		b.Inode(MainLayer, ino, &rec)
		b.Entry(MainLayer, 1, 99, "name", Entry{Ino: ino, Type: TypeRegular})
		b.Data(MainLayer, ino, 0, []byte("hello"))
		b.Origin(5, Origin{Parent: 1, Name: "five"})
	})
	if err := s.Sync(lsn); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := s.Inode(MainLayer, ino); err != nil || !ok || got != rec {
		t.Errorf("inode is %+v, %v, %v", got, ok, err)
	}
	if e, ok, err := s.Entry(MainLayer, 1, 99, "name"); err != nil || !ok || e.Ino != ino || e.Type != TypeRegular {
		t.Errorf("entry is %+v, %v, %v", e, ok, err)
	}
	if o, ok, err := s.Origin(5); err != nil || !ok || o.Name != "five" {
		t.Errorf("origin is %+v, %v, %v", o, ok, err)
	}
	mustRead(t, s, ino, 0, []byte("hello"))
	if l, ok, err := s.Layer(MainLayer); err != nil || !ok || l.View == 0 {
		t.Errorf("layer is %+v, %v, %v", l, ok, err)
	}
	if s.SyncedLSN() != lsn || s.LastLSN() != lsn {
		t.Errorf("synced %d, last %d, appended %d", s.SyncedLSN(), s.LastLSN(), lsn)
	}
}

// Data sits on the boundaries of blocks, tables and padding, and is read back
// whole and in every kind of part.
func TestDataOfAllSizes(t *testing.T) {
	o := testOptions()
	o.SegmentSize = 4 << 20
	s := mustCreate(t, t.TempDir(), o)
	for i, n := range []int{1, 7, 8, 9, blockSize - 1, blockSize, blockSize + 1, 2 * blockSize, 3*blockSize + 5, worthHolding, MaxData - 1, MaxData} {
		ino, p := Ino(100+i), pattern(i, n)
		mustAppend(t, s, func(b *Batch) { b.DataNoCopy(MainLayer, ino, 10, p, sumsOf(p)) })
		mustRead(t, s, ino, 10, p)
		for _, cut := range [][2]int{{0, 1}, {n - 1, n}, {n / 2, n}, {n / 3, n - n/3}, {min(blockSize, n-1), n}, {1, n}} {
			if cut[0] < cut[1] {
				mustRead(t, s, ino, int64(10+cut[0]), p[cut[0]:cut[1]])
			}
		}
	}
}

func TestReadLeavesGapsToLower(t *testing.T) {
	s := mustCreate(t, t.TempDir(), testOptions())
	mustAppend(t, s, func(b *Batch) {
		b.Data(MainLayer, 9, 4, []byte("aaaa"))
		b.Data(MainLayer, 9, 12, []byte("bbbb"))
		b.Data(MainLayer, 9, 16, []byte("cc"))
	})
	p := make([]byte, 24)
	var asked []string
	err := s.ReadAt(MainLayer, 9, p, 0, func(p []byte, off int64) error {
		asked = append(asked, fmt.Sprintf("%d+%d", off, len(p)))
		for i := range p {
			p[i] = '.'
		}
		return nil
	})
	if err != nil || string(p) != "....aaaa....bbbbcc......" {
		t.Errorf("read %q, %v", p, err)
	}
	if fmt.Sprint(asked) != "[0+4 8+4 18+6]" {
		t.Errorf("lower was asked for %v", asked)
	}
	var ranges []string
	err = s.DataRanges(MainLayer, 9, 0, 100, func(off, n int64) bool {
		ranges = append(ranges, fmt.Sprintf("%d+%d", off, n))
		return true
	})
	if err != nil || fmt.Sprint(ranges) != "[4+4 12+6]" {
		t.Errorf("ranges are %v, %v", ranges, err)
	}
	broken := errors.New("lower is broken")
	if err := s.ReadAt(MainLayer, 9, p, 0, func([]byte, int64) error { return broken }); err != broken {
		t.Errorf("the error of lower came as %v", err)
	}
}

func TestReopen(t *testing.T) {
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprint("clean=", clean), func(t *testing.T) {
			dir := t.TempDir()
			s := mustCreate(t, dir, testOptions())
			var last Ino
			for i := range 60 { // several segments
				last = s.NewIno()
				mustAppend(t, s, func(b *Batch) {
					b.Inode(MainLayer, Ino(200+i), &Inode{Size: uint64(i)})
					b.Inode(MainLayer, last, &Inode{Mode: 1})
					b.Data(MainLayer, Ino(200+i), 0, pattern(i, 3000+i))
				})
			}
			if clean {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				kill(s)
			}
			s = mustOpen(t, dir, testOptions())
			if ino := s.NewIno(); ino <= last {
				t.Errorf("number %x is given out again: %x was before", uint64(ino), uint64(last))
			}
			for i := range 60 {
				mustRead(t, s, Ino(200+i), 0, pattern(i, 3000+i))
			}
			mustAppend(t, s, func(b *Batch) { b.Data(MainLayer, 200, 0, []byte("new")) })
			mustRead(t, s, 200, 0, []byte("new"))
		})
	}
}

// kill ends a store as kill -9 does: nothing is synced or written.
func kill(s *Store) {
	s.work.stop()
	s.closed.Store(true)
	s.x.close()
	s.segs.close()
	s.lock.unlock()
}

package deltalog

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"deltafs/deltalog/disk"
	"deltafs/deltalog/simdisk"
)

// countedFS counts the bytes that are read of segments.
type countedFS struct {
	disk.FS
	read *atomic.Int64
}

type countedFile struct {
	disk.File
	read *atomic.Int64
}

func (c countedFS) Open(name string, write bool) (disk.File, error) {
	f, err := c.FS.Open(name, write)
	if err != nil || !strings.HasPrefix(name, logDir) {
		return f, err
	}
	return countedFile{f, c.read}, nil
}

func (f countedFile) ReadAt(p []byte, off int64) (int, error) {
	f.read.Add(int64(len(p)))
	return f.File.ReadAt(p, off)
}

// TestAClosedLogIsNotLookedThrough: what opening a store reads follows what is in it, and
// not how long a segment is. If it was not closed there may be something behind its end.
func TestAClosedLogIsNotLookedThrough(t *testing.T) {
	const segment = 8 << 20
	for _, closed := range []bool{true, false} {
		dir := t.TempDir()
		s := mustCreate(t, dir, Options{Manual: true, SegmentSize: segment})
		for range 3 { // whatever was done in between
			mustAppend(t, s, func(b *Batch) { b.Data(MainLayer, 9, 0, pattern(1, 5000)) })
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = mustOpen(t, dir, Options{Manual: true})
		}
		mustAppend(t, s, func(b *Batch) { b.Data(MainLayer, 9, 0, pattern(2, 5000)) })
		if kill(s); closed {
			if err := mustOpen(t, dir, Options{Manual: true}).Close(); err != nil {
				t.Fatal(err)
			}
		}
		for _, readOnly := range []bool{true, false} {
			var read atomic.Int64
			s := mustOpen(t, dir, Options{Manual: true, ReadOnly: readOnly, FS: countedFS{disk.OS(dir), &read}})
			mustRead(t, s, 9, 0, pattern(2, 5000))
			kill(s)
			if n := read.Load(); (n < segment/4) != closed {
				t.Errorf("closed %t, read-only %t: opening reads %d bytes of a log of one segment of %d", closed, readOnly, n, segment)
			}
		}
	}
}

// TestClosedAndOpenedAgain: that the log ended somewhere once says nothing when it goes
// on. What was acknowledged since, and is gone, is missed.
func TestClosedAndOpenedAgain(t *testing.T) {
	goOn := func(t *testing.T, dir string) {
		s := mustOpen(t, dir, testOptions())
		for i := range 3 {
			lsn := mustAppend(t, s, func(b *Batch) { b.Data(MainLayer, 9, int64(i)<<20, pattern(i+2, 8<<10)) })
			if err := s.Sync(lsn); err != nil {
				t.Fatal(err)
			}
		}
		kill(s)
	}
	missed := func(t *testing.T, dir string) {
		s := mustOpen(t, dir, testOptions())
		defer s.Close()
		if _, err := s.Append(&Batch{}); !errors.Is(err, ErrDamaged) {
			t.Errorf("acknowledged data is gone, and the store says %v", orNone(err))
		}
	}
	prepare := func(t *testing.T) (dir, segment string, end int64) {
		dir = t.TempDir()
		s := mustCreate(t, dir, testOptions())
		mustAppend(t, s, func(b *Batch) { b.Data(MainLayer, 9, 0, pattern(1, 5000)) })
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return dir, filepath.Join(dir, segName(s.head.seg.id)), s.head.off
	}
	t.Run("a write that was lost", func(t *testing.T) {
		dir, segment, end := prepare(t)
		goOn(t, dir)
		write(t, segment, end, make([]byte, 8<<10))
		missed(t, dir)
	})
	t.Run("the index of a copy", func(t *testing.T) {
		dir, segment, end := prepare(t)
		index := filepath.Join(dir, indexFile)
		old, err := os.ReadFile(index)
		if err != nil {
			t.Fatal(err)
		}
		goOn(t, dir)
		if err := os.WriteFile(index, old, 0o600); err != nil {
			t.Fatal(err)
		}
		write(t, segment, end+100, bytes.Repeat([]byte("?"), 100))
		missed(t, dir)
	})
}

func write(t *testing.T, name string, off int64, p []byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(p, off)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestACheckpointThatHadNoRoom: the next one brings the index to where the log is, and
// not only to where the one was that failed.
func TestACheckpointThatHadNoRoom(t *testing.T) {
	d := simdisk.New()
	k := newCrashKV(d, nil)
	s := mustCreate(t, "store", Options{FS: d, Manual: true, SegmentSize: minSegment, openKV: k.open})
	put := func(i int) { mustAppend(t, s, func(b *Batch) { b.Data(MainLayer, 9, 0, pattern(i, 5000)) }) }
	put(1)
	k.fail = disk.ErrNoSpace
	if err := s.Checkpoint(); !errors.Is(err, disk.ErrNoSpace) {
		t.Fatalf("a checkpoint without room says %v", orNone(err))
	}
	k.fail = nil
	put(2)
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if lsn, _, _ := s.x.position(); lsn != s.LastLSN() {
		t.Errorf("the index is at LSN %d, and the log was at %d", lsn, s.LastLSN())
	}
}

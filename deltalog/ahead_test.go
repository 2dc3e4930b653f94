package deltalog

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"deltafs/deltalog/disk"
)

// pagesFS notes which pages of segments were begun by a write that did not fill them.
type pagesFS struct {
	disk.FS
	known  map[string]map[int64]bool // pages that the system has, by file
	begun  int                       // by a part of them
	ahead  int64                     // bytes of zeros
	behind int64                     // where the last zeros of the head end
}

type pagesFile struct {
	disk.File
	of   *pagesFS
	name string
}

func (d *pagesFS) Open(name string, write bool) (disk.File, error) {
	f, err := d.FS.Open(name, write)
	if err != nil || !strings.HasPrefix(name, logDir) {
		return f, err
	}
	return pagesFile{f, d, filepath.Base(name)}, nil
}

func (f pagesFile) WriteAt(p []byte, off int64) (int, error) {
	const page = 4096
	known := f.of.known[f.name]
	if known == nil {
		known = map[int64]bool{}
		f.of.known[f.name] = known
	}
	end := off + int64(len(p))
	for at := off / page * page; at < end; at += page {
		if !known[at] && (at < off || at+page > end) {
			f.of.begun++
		}
		known[at] = true
	}
	if len(bytes.Trim(p, "\x00")) == 0 {
		f.of.ahead += int64(len(p))
		f.of.behind = end
	}
	return f.File.WriteAt(p, off)
}

// TestZerosAhead: how often, and where, the log is written zeros ahead of it.
func TestZerosAhead(t *testing.T) {
	const (
		segment = 8 << 20
		batches = 6 << 8 // of 4 KiB: the log gets 6 MiB and a little
	)
	for _, c := range []struct {
		what   string
		size   int // of a batch
		each   int // so many batches are synced; 0: none
		reused bool
		begun  int // pages that were begun by a part of them, at most: of those before it was known what comes, and the last ones
		least  int // zeros, in parts of 10 of the log
		most   int
	}{
		{"a long stream", 4 << 10, 0, false, 300, 7, 11},
		{"a long stream into what was part of the log", 4 << 10, 0, true, 300, 7, 11},
		{"each synced", 4 << 10, 1, false, 40, 9, 12},
		{"each synced, into what was part of the log", 4 << 10, 1, true, batches * 2, 0, 0},
		{"syncs of half a MiB", 4 << 10, 128, false, batches * 2, 0, 1}, // it was not known in the beginning that they are
		{"large pieces", 64 << 10, 0, false, batches * 2, 0, 1},
	} {
		dir := t.TempDir()
		d := &pagesFS{FS: disk.OS(dir), known: map[string]map[int64]bool{}}
		s := mustCreate(t, dir, Options{Manual: true, SegmentSize: segment, FS: d})
		s.head.reused = c.reused
		n := batches * (4 << 10) / c.size
		var far int64
		for i := range n {
			lsn := mustAppend(t, s, func(b *Batch) { b.Data(MainLayer, 9, int64(i*7%n)*int64(c.size), pattern(i, c.size)) })
			if far = max(far, d.behind-s.head.off); c.each > 0 && i%c.each == c.each-1 {
				if err := s.Sync(lsn); err != nil {
					t.Fatal(err)
				}
			}
		}
		size := s.head.off
		if s.head.seg.hdr.prev != 0 {
			t.Fatalf("%s: there is more than one segment", c.what)
		}
		if d.begun > c.begun {
			t.Errorf("%s: %d pages were begun by a part of them, of %d; at most %d", c.what, d.begun, size/4096, c.begun)
		}
		if parts := int((d.ahead*10 + size - 1) / size); parts < c.least || parts > c.most {
			t.Errorf("%s: %d bytes of zeros, in a log of %d", c.what, d.ahead, size)
		}
		most := int64(zeroStep + zeroMargin)
		if c.reused {
			most = pagesStep + pagesMargin
		}
		if far > most {
			t.Errorf("%s: there are zeros %d bytes ahead of the log, at most %d", c.what, far, most)
		}
		kill(s) // and what is found again is what was written
		s = mustOpen(t, dir, Options{Manual: true})
		for i := range n {
			mustRead(t, s, 9, int64(i*7%n)*int64(c.size), pattern(i, c.size))
		}
		kill(s)
	}
}

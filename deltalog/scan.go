package deltalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// logBatch is a complete, verified batch as it was read from a segment. Its
// slices are valid until the next call of the scanner.
type logBatch struct {
	lsn    LSN
	pos    logPos // where it begins
	end    uint32 // where the next one begins
	frames []frame
	locs   []loc
	commit commit
	next   Ino // next inode number at its time
	at     loc // of the COMMIT frame
}

// covers tells whether b is an empty batch written after everything before it
// was synced.
func (b *logBatch) covers() bool { return len(b.frames) == 0 && b.commit.synced+1 == b.lsn }

// scanner reads the batches of one segment in order and verifies everything:
// checksums, LSNs, the chain. It trusts nothing that it has not verified.
type scanner struct {
	r     io.ReaderAt
	id    uint64
	salt  uint32
	chain uint32 // behind the last batch returned
	lsn   LSN    // of the next batch
	adopt bool   // take the chain from the next batch instead of checking it
	pos   int64  // where the next batch begins
	end   int64  // bytes behind it are not part of the log
	// sparse: what was read last was skipped for the most part, as what comes next will be.
	sparse bool

	buf   []byte // of file range [start, start+len)
	start int64
	b     logBatch
}

// newScanner begins at the first batch of the segment with header h, which
// ends at end.
func newScanner(r io.ReaderAt, h *segHeader, end int64) *scanner {
	return &scanner{r: r, id: h.id, salt: h.salt, chain: h.chain, lsn: h.first, pos: segHeaderSize, end: end}
}

// How much is read at a time, and where frames are skipped that are longer than sparseScan.
const (
	scanChunk   = 256 << 10
	sparseChunk = 4 << 10
	sparseScan  = scanChunk / 4
)

// errTruncated means that a file is shorter than its segment must be.
var errTruncated = errors.New("segment is cut short")

var errOverEnd = badFrame("it reaches over the end of the segment")

// bytes returns n bytes of the file at off, both verified to lie in the
// segment. What was returned before stays valid only if off+n was not larger.
func (s *scanner) bytes(off int64, n int) ([]byte, error) {
	if off < s.pos || off+int64(n) > s.end {
		return nil, errOverEnd
	}
	if off+int64(n) > s.start+int64(len(s.buf)) || off < s.start {
		if err := s.fill(off + int64(n)); err != nil {
			return nil, err
		}
	}
	return s.buf[off-s.start:][:n], nil
}

// fill makes buf reach from pos to at least to.
func (s *scanner) fill(least int64) error {
	chunk := int64(scanChunk)
	if s.sparse {
		chunk = sparseChunk
	}
	to := min(max(least, s.pos+chunk), s.end)
	keep := 0
	if s.pos >= s.start && s.pos < s.start+int64(len(s.buf)) {
		keep = copy(s.buf, s.buf[s.pos-s.start:])
	}
	want := int(to - s.pos)
	if cap(s.buf) < want {
		grown := make([]byte, max(want, min(2*cap(s.buf), int(s.end-s.pos))))
		copy(grown, s.buf[:keep])
		s.buf = grown
	}
	s.buf, s.start = s.buf[:want], s.pos
	n, err := s.r.ReadAt(s.buf[keep:], s.pos+int64(keep))
	if n == want-keep {
		return nil
	}
	s.buf = s.buf[:keep+n]
	if err == io.EOF {
		if s.start+int64(len(s.buf)) >= least {
			return nil
		}
		return errTruncated
	}
	return fmt.Errorf("read: %w", err)
}

// batch returns the next batch. io.EOF: the segment's end was reached exactly.
// An error that wraps errFrame: no valid batch begins at pos; the scanner
// stays there. Other errors: reading failed.
func (s *scanner) batch() (*logBatch, error) {
	if s.pos == s.end {
		return nil, io.EOF
	}
	b := &s.b
	b.lsn, b.pos = s.lsn, logPos{s.id, uint32(s.pos)}
	b.frames, b.locs = b.frames[:0], b.locs[:0]
	headers := s.salt
	if plantIgnoreSalt {
		headers = 0
	}
	for off := s.pos; ; {
		var f frame
		h, err := s.frame(off, &f)
		if err != nil {
			return nil, err
		}
		at := loc{s.id, uint32(off), uint32(f.space())}
		off += int64(f.space())
		if f.typ == frameCommit {
			b.at, b.next, b.end = at, f.ino, uint32(off)
			if err := s.commit(off, headers); err != nil {
				return nil, err
			}
			return b, nil
		}
		headers = crc32.Update(headers, castagnoli, h)
		b.frames, b.locs = append(b.frames, f), append(b.locs, at)
	}
}

// frame reads and verifies one frame of the batch, all but the payload slice,
// and returns its header's bytes.
func (s *scanner) frame(off int64, f *frame) ([]byte, error) {
	h, err := s.bytes(off, frameHeaderSize)
	if err != nil {
		return nil, err
	}
	if err := decodeFrameHeader(h, s.salt, f); err != nil {
		return nil, err
	}
	if err := f.isIn(false); err != nil {
		return nil, err
	}
	if f.lsn != s.lsn {
		return nil, badFrame("LSN %d where %d should be", f.lsn, s.lsn)
	}
	p, err := s.bytes(off, f.space())
	if err != nil {
		return nil, err
	}
	f.payload = p[frameHeaderSize:][:f.size]
	return p[:frameHeaderSize], f.checkPayload(s.salt)
}

// commit verifies the COMMIT frame of the batch in s.b, and accepts it.
func (s *scanner) commit(end int64, headers uint32) error {
	b := &s.b
	for i := range b.frames { // buf may have moved since they were read
		b.frames[i].payload = s.payload(b.locs[i], b.frames[i].size)
	}
	size := binary.LittleEndian.Uint32(s.buf[int64(b.at.off)-s.start+4:])
	c, err := decodeCommit(s.payload(b.at, size))
	if err != nil {
		return err
	}
	chain := nextChain(s.chain, headers, s.lsn)
	if c.headers != headers || int64(c.frames) != int64(len(b.frames)) || (c.chain != chain && !s.adopt) {
		return badFrame("COMMIT does not fit its batch")
	}
	if n := len(b.frames); plantHalfBatch && n > 2 {
		b.frames, b.locs = b.frames[1:], b.locs[1:]
	}
	b.commit = c
	s.chain, s.adopt, s.lsn, s.pos = c.chain, false, s.lsn+1, end
	return nil
}

func (s *scanner) payload(at loc, size uint32) []byte {
	return s.buf[int64(at.off)+frameHeaderSize-s.start:][:size]
}

// scanSegment calls fn for each batch of a segment, and returns where the
// last complete one ends, and why it stopped: nil at end.
func scanSegment(r io.ReaderAt, h *segHeader, end int64, fn func(*logBatch) error) (int64, error) {
	s := newScanner(r, h, end)
	for {
		b, err := s.batch()
		if err == io.EOF {
			return s.pos, nil
		}
		if err != nil {
			return s.pos, err
		}
		if err := fn(b); err != nil {
			return s.pos, err
		}
	}
}

// lookAhead searches [from, end) of a segment for frames of this incarnation
// whose LSN is at least lsn. It returns the end of the last one, 0 if there is
// none, and the highest synced LSN of a valid COMMIT among them.
func lookAhead(r io.ReaderAt, h *segHeader, from, end int64, lsn LSN) (last int64, synced LSN, err error) {
	const overlap = frameHeaderSize + commitFixed + MaxTag // the most that is looked at from one place
	buf := make([]byte, min(scanChunk+overlap, end-from))
	for ; from < end; from += scanChunk {
		p := buf[:min(int64(len(buf)), end-from)]
		if n, err := r.ReadAt(p, from); n < len(p) {
			if err == io.EOF {
				err = errTruncated
			}
			return last, synced, err
		}
		for i := 0; i < min(scanChunk, len(p)); i += 8 {
			if p[i] == 0 || p[i] > byte(frameLast) { // most places: no frame type
				continue
			}
			var f frame
			if decodeFrameHeader(p[i:], h.salt, &f) != nil || f.lsn < lsn || from+int64(i+f.space()) > end {
				continue
			}
			last = from + int64(i+f.space())
			if f.typ == frameCommit {
				f.payload = p[i+frameHeaderSize:][:f.size]
				if c, err := decodeCommit(f.payload); err == nil && f.checkPayload(h.salt) == nil {
					synced = max(synced, c.synced)
				}
			}
		}
	}
	return last, synced, nil
}

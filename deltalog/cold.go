package deltalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"deltafs/deltalog/disk"
)

// A cold segment holds copies of records that were live when the cleaner took
// them out of another segment: frames, each with the LSN of its original and
// the flag relocated, ended by a SEAL. It has no batches: a copy that is not
// synced yet is known to nobody. COLD frames in the log say which cold segments
// are part of it, and up to where they are durable. A segment is listed before
// the index points into it, and what it was copied from leaves the log only
// after a list that says that the copies are durable.

// cleaner is what cleaning needs from one segment to the next.
type cleaner struct {
	mu sync.Mutex // one segment is cleaned at a time; taken before checkpointing
	// The heads: what will be overwritten soon is kept apart from what will not. nil:
	// none is begun.
	heads   [2]*coldHead
	heat    heat
	footers map[uint64][]sealEntry
	warm    map[uint64]bool // segments that were filled by the head of that name, as far as this process knows
	bad     map[uint64]bool // segments that are damaged: they stay as they are
	copied  atomic.Uint64   // bytes, with headers, since the store was opened
	listed  func()          // of tests: called when a list was appended and is not durable yet
	copying func()          // of tests: called when copies are durable and the index does not know of them yet
}

// coldHead is the cold segment that is written.
type coldHead struct {
	seg    *segment // held
	off    int64    // where buf will be written
	synced int64
	buf    []byte
	inos   map[sealKey]LSN // lowest LSN of each inode in it
}

// Numbers of the heads.
const (
	headWarm = iota
	headCold
)

// headOf returns the head with this segment, nil if there is none.
func (c *cleaner) headOf(id uint64) *coldHead {
	for _, h := range c.heads {
		if h != nil && h.seg.id == id {
			return h
		}
	}
	return nil
}

// beginCold begins a cold segment as head k: it is listed when this returns.
func (s *Store) beginCold(k int) error {
	id, _, err := s.segs.take()
	if err != nil {
		return err
	}
	var salt [4]byte
	if _, err := io.ReadFull(s.o.rand, salt[:]); err != nil {
		return fmt.Errorf("random numbers: %w", err)
	}
	hdr := segHeader{
		kind: kindCold, store: s.sb.id, id: id, salt: binary.LittleEndian.Uint32(salt[:]) | 1,
		first: s.LastLSN() + 1, next: Born, created: s.o.now().UnixNano(), before: s.logBytes(),
	}
	f, err := s.o.FS.Open(segName(id), true)
	if err != nil {
		return s.sync.poison(err)
	}
	_, err = f.WriteAt(encodeSegHeader(&hdr), 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		if !errors.Is(err, disk.ErrNoSpace) {
			return s.sync.poison(err)
		}
		if err := errors.Join(s.o.FS.Remove(segName(id)), syncDir(s.o.FS, logDir)); err != nil {
			return s.sync.poison(err)
		}
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	ref := coldRef{id: id, end: segHeaderSize}
	s.segs.addCold(hdr)
	if err := s.logCold(append(s.coldNow(), ref), 0); err != nil {
		if !slices.ContainsFunc(s.segs.coldRefs(), func(r coldRef) bool { return r.id == id }) {
			s.segs.retireCold(id)
		}
		return err
	}
	seg, err := s.segs.acquire(id)
	if err != nil {
		return s.sync.poison(err)
	}
	if k == headWarm {
		s.cleaner.warm[id] = true
	}
	s.cleaner.heads[k] = &coldHead{seg: seg, off: segHeaderSize, synced: segHeaderSize, inos: map[sealKey]LSN{}}
	return nil
}

// logCold logs which cold segments are part of the log, and which hot segment is
// the oldest if that changes. It is durable when this returns. A segment that is
// begun behind the list, by whoever appends next, must say the same: so both
// change under the append lock.
func (s *Store) logCold(refs []coldRef, oldest uint64) error {
	slices.SortFunc(refs, func(a, b coldRef) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	var b Batch
	if oldest != 0 {
		b.trim(oldest)
	}
	b.cold(refs)
	s.appending.Lock()
	lsn, err := s.appendLocked(&b, 0)
	if err == nil && !plantListLate {
		s.segs.setCold(refs, oldest)
	}
	s.appending.Unlock()
	if err != nil {
		return err
	}
	if s.cleaner.listed != nil {
		s.cleaner.listed()
	}
	if plantFreeEarly {
		lsn = 0
	}
	err = s.Sync(lsn)
	if plantListLate {
		s.segs.setCold(refs, oldest)
	}
	return err
}

// coldNow returns the list of cold segments as it is now.
func (s *Store) coldNow() []coldRef {
	refs := s.segs.coldRefs()
	for i := range refs {
		if h := s.cleaner.headOf(refs[i].id); h != nil {
			refs[i].end = uint32(h.synced)
		}
	}
	return refs
}

// put appends a copy of a frame, of data if it is one of file data, which may be
// compressed already. It returns where it will be.
func (h *coldHead) put(f *frame, data, packed []byte) loc {
	start := len(h.buf)
	c := *f
	c.flags, c.payload = flagRelocated, f.payload
	h.buf = append(h.buf, zeros[:frameHeaderSize]...)
	table := 0
	switch {
	case packed != nil:
		c.flags |= flagCompressed
		h.buf = append(h.buf, packed...)
		h.seg.saved.Add(uint64(len(data) - len(packed)))
	case f.typ == frameData:
		if table = tableSize(len(data)); table > 0 {
			c.flags |= flagTable
		}
		h.buf = append(h.buf, zeros[:table]...)
		h.buf = append(h.buf, data...)
	default:
		h.buf = append(h.buf, f.payload...)
	}
	n := len(h.buf) - start - frameHeaderSize
	h.buf = append(h.buf, zeros[:pad8(n)-n]...)
	salt := h.seg.hdr.salt
	c.size = uint32(n)
	c.crc = sumPayload(h.buf[start+frameHeaderSize:][:n], table, salt)
	putFrameHeader(h.buf[start:], &c, salt)
	if k := (sealKey{f.layer, f.ino}); f.typ.record() {
		if low, ok := h.inos[k]; !ok || f.lsn < low {
			h.inos[k] = f.lsn
		}
	}
	return loc{h.seg.id, uint32(h.off) + uint32(start), uint32(frameHeaderSize + pad8(n))}
}

// fits tells whether a frame of n bytes goes into the segment, and a footer
// behind it.
func (h *coldHead) fits(n int, size int64) bool {
	return h.off+int64(len(h.buf)+n+frameHeaderSize+(len(h.inos)+1)*sealEntrySize) <= size
}

// room returns how many bytes of file data, in whole blocks, a frame may have to go into the segment.
func (h *coldHead) room(size int64) int {
	left := int(size-h.off) - len(h.buf) - 2*frameHeaderSize - (len(h.inos)+1)*sealEntrySize
	return max(left-tableSize(max(left, 0)), 0) &^ (heatBlock - 1)
}

// flush writes and syncs what was put.
func (h *coldHead) flush() error {
	if len(h.buf) > 0 {
		if _, err := h.seg.f.WriteAt(h.buf, h.off); err != nil {
			return err
		}
		h.off += int64(len(h.buf))
		h.buf = h.buf[:0]
	}
	if h.synced == h.off || plantSkipColdSync {
		h.synced = h.off
		return nil
	}
	if err := h.seg.f.Sync(); err != nil {
		return err
	}
	h.synced = h.off
	return nil
}

// flushCold writes and syncs what was put. A segment that a full disk ended gets
// nothing more: what was written behind the last sync is known to nobody.
func (s *Store) flushCold(k int) error {
	h := s.cleaner.heads[k]
	if h == nil {
		return nil
	}
	err := h.flush()
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", segName(h.seg.id), err)
	if !errors.Is(err, disk.ErrNoSpace) {
		return s.sync.poison(err)
	}
	s.dropCold(k, 0)
	return fmt.Errorf("%w: %w", ErrNoSpace, err)
}

// dropCold ends the cold segment, with its footer at seal if it has one.
func (s *Store) dropCold(k int, seal uint32) {
	h := s.cleaner.heads[k]
	refs := s.coldNow()
	for i := range refs {
		if refs[i].id == h.seg.id {
			refs[i].seal = seal
		}
	}
	s.segs.setCold(refs, 0)
	s.segs.release(h.seg)
	s.cleaner.heads[k] = nil
}

// sealCold ends the cold segment with its footer.
func (s *Store) sealCold(k int) error {
	h := s.cleaner.heads[k]
	entries := sortedSeal(h.inos)
	f := frame{typ: frameSeal, lsn: s.LastLSN(), payload: appendSeal(nil, entries)}
	f.offset = h.seg.saved.Load()
	at := h.put(&f, nil, nil)
	if err := s.flushCold(k); err != nil {
		return err
	}
	s.cleaner.footers[h.seg.id] = entries
	s.dropCold(k, at.off)
	return nil
}

func sortedSeal(inos map[sealKey]LSN) []sealEntry {
	entries := make([]sealEntry, 0, len(inos))
	for k, lsn := range inos {
		entries = append(entries, sealEntry{k, lsn})
	}
	slices.SortFunc(entries, func(a, b sealEntry) int {
		if a.less(b.sealKey) {
			return -1
		}
		return 1
	})
	return entries
}

// footer returns whom a cold segment has frames about.
func (s *Store) footer(ref coldRef) ([]sealEntry, error) {
	c := &s.cleaner
	if entries, ok := c.footers[ref.id]; ok {
		return entries, nil
	}
	seg, err := s.segs.acquire(ref.id)
	if err != nil {
		return nil, err
	}
	defer s.segs.release(seg)
	inos := map[sealKey]LSN{}
	from := int64(segHeaderSize)
	if ref.seal != 0 {
		from = int64(ref.seal)
	}
	var entries []sealEntry
	err = scanCold(seg.f, &seg.hdr, from, int64(ref.end), func(f *frame, _ loc) error {
		if f.typ == frameSeal {
			entries, err = decodeSeal(f.payload)
			return err
		}
		k := sealKey{f.layer, f.ino}
		if low, ok := inos[k]; !ok || f.lsn < low {
			inos[k] = f.lsn
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", segName(ref.id), err)
	}
	if ref.seal == 0 {
		entries = sortedSeal(inos)
	}
	c.footers[ref.id] = entries
	return entries, nil
}

// hides tells whether a tombstone must be kept: whether a cold segment but the
// one that is cleaned holds anything, live or dead, that is older and of the same
// inode. What is hot is newer.
func (s *Store) hides(f *frame, but uint64) (bool, error) {
	if plantDropTombstone {
		return false, nil
	}
	k := sealKey{f.layer, f.ino}
	for _, ref := range s.segs.coldRefs() {
		if ref.id == but {
			continue
		}
		if h := s.cleaner.headOf(ref.id); h != nil {
			if low, ok := h.inos[k]; ok && low < f.lsn {
				return true, nil
			}
			continue
		}
		entries, err := s.footer(ref)
		if err != nil {
			return false, err
		}
		i, ok := slices.BinarySearchFunc(entries, k, func(e sealEntry, k sealKey) int {
			switch {
			case e.less(k):
				return -1
			case k.less(e.sealKey):
				return 1
			}
			return 0
		})
		if ok && entries[i].lowest < f.lsn {
			return true, nil
		}
	}
	return false, nil
}

// scanCold calls fn for the frames of a cold segment in [from, end), verified.
// It fails with an error that wraps errFrame at the first that is not valid.
func scanCold(r io.ReaderAt, h *segHeader, from, end int64, fn func(f *frame, at loc) error) error {
	sc := scanner{r: r, id: h.id, salt: h.salt, pos: from, end: end}
	for sc.pos < end {
		f, at, err := sc.cold()
		if err != nil {
			return err
		}
		if err := fn(&f, at); err != nil {
			return err
		}
	}
	return nil
}

// cold returns the next frame of a cold segment, verified.
func (s *scanner) cold() (f frame, at loc, err error) {
	from := s.pos
	if f, at, err = s.next(false); err == nil {
		if err = f.isIn(true); err == nil {
			err = f.checkPayload(s.salt)
		}
	}
	if err != nil {
		s.pos = from
	}
	return f, at, err
}

// isIn fails if a frame does not belong into a cold segment, or into a hot one.
func (f *frame) isIn(cold bool) error {
	switch relocated := f.flags&flagRelocated != 0; {
	case cold && !relocated:
		return badFrame("a %s frame in a cold segment", f.typ)
	case relocated && !cold:
		return badFrame("a relocated %s frame in a hot segment", f.typ)
	}
	return nil
}

// next returns the next frame of a segment, whichever its batch. Its payload is not verified; with skip, file data is not even
// read.
func (s *scanner) next(skip bool) (f frame, at loc, err error) {
	h, err := s.bytes(s.pos, frameHeaderSize)
	if err != nil {
		return f, at, err
	}
	if err := decodeFrameHeader(h, s.salt, &f); err != nil {
		return f, at, err
	}
	n := int64(f.space())
	if !skip || f.typ != frameData {
		p, err := s.bytes(s.pos, int(n))
		if err != nil {
			return f, at, err
		}
		f.payload = p[frameHeaderSize:][:f.size]
	} else if n > s.end-s.pos {
		return f, at, errOverEnd
	}
	s.sparse = skip && n > sparseScan
	at = loc{s.id, uint32(s.pos), uint32(n)}
	s.pos += n
	return f, at, nil
}

// coldEnd returns where the valid frames of a cold segment end that was not
// sealed, from from on.
func coldEnd(r io.ReaderAt, h *segHeader, from, size int64) (int64, error) {
	sc := scanner{r: r, id: h.id, salt: h.salt, pos: from, end: size}
	for sc.pos < size {
		f, _, err := sc.cold()
		if errors.Is(err, errFrame) {
			break
		}
		if err != nil {
			return 0, err
		}
		if f.typ == frameSeal { // the list does not have it: it will be made again
			sc.pos -= int64(f.space())
			break
		}
	}
	return sc.pos, nil
}

package deltalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"deltafs/deltalog/disk"
)

// ctlReserve is the room of each segment that only the store's own batches
// use (COMMITs that cover the tail, TRIM), so that they fit when the log is full.
const ctlReserve = 2 << 10

// head is where the log grows. All of it is under the append lock.
type head struct {
	seg    *segment // held
	off    int64    // where the next batch begins
	chain  uint32
	lsn    LSN   // of the last batch
	zeroed int64 // up to where zeros were written ahead
	reused bool  // seg is a file that was part of the log before: all its blocks are on the disk
	closed bool  // nothing more goes into seg
	covers bool  // the last batch covers the tail: see logBatch.covers
	inos   map[sealKey]LSN
	ctl    Batch // for the store's own batches
	scrap  frame // of apply: one for all, so that none is allocated
}

// sealSpace is what a SEAL for n inodes takes, its COMMIT included.
func sealSpace(n int) int64 {
	return int64(frameHeaderSize + n*sealEntrySize + frameHeaderSize + commitFixed)
}

// note enters the inodes of the frames of a batch for the SEAL footer.
func (h *head) note(f *frame) {
	if !f.typ.record() {
		return
	}
	k := sealKey{f.layer, f.ino}
	if _, ok := h.inos[k]; !ok {
		h.inos[k] = f.lsn
	}
}

// begun resets what belongs to one segment.
func (h *head) begun(seg *segment) {
	h.seg, h.off, h.zeroed, h.reused, h.closed = seg, segHeaderSize, 0, false, false
	if h.inos == nil {
		h.inos = map[sealKey]LSN{}
	}
	clear(h.inos)
}

// Append applies b as one atomic batch and returns its LSN. On return the
// batch has left the process: it survives its death, but the machine's only
// after Sync. An empty batch does nothing.
//
// ErrNoSpace, ErrBusy and ErrTooBig leave everything as it was; any other error means
// that the store is read-only from now on.
func (s *Store) Append(b *Batch) (LSN, error) {
	if b.err != nil {
		return 0, s.fault("append", b.err)
	}
	if b.empty() {
		return s.LastLSN(), s.fault("append", s.usable())
	}
	if err := s.throttle(); err != nil {
		return 0, s.fault("append", err)
	}
	b.sum(s.sync.salt.Load()) // most likely the right one; finish sees to it
	// The cleaner's lists must fit too, two of them: see beginCold and freeLocked.
	reserve := ctlReserve + 2*coldSpace(s.segs.colds()+1)
	lsn, err := s.append(b, reserve)
	if errors.Is(err, ErrNoSpace) {
		lsn, err = s.appendHeld(b, reserve, err)
	}
	if relief := s.relief.Load(); errors.Is(err, ErrNoSpace) && relief != nil && (*relief)() {
		err = fmt.Errorf("%w: what it holds is on its way elsewhere", ErrBusy)
	}
	if err != nil {
		return 0, s.fault("append", err)
	}
	s.work.appended(s.sync.unsynced.Load())
	return lsn, nil
}

// appendHeld appends b, for which there was no room, when there is some.
func (s *Store) appendHeld(b *Batch, reserve int64, err error) (lsn LSN, _ error) {
	var until time.Time
	if !s.o.Manual {
		now := time.Now()
		if s.barren.holds(s, spareFor(b), now) {
			return 0, err
		}
		until = now.Add(holdMost)
	}
	for try := 0; try < 8 && errors.Is(err, ErrNoSpace); try++ {
		more, busy := s.reclaim(spareFor(b), until)
		switch {
		case busy != nil:
			return 0, busy
		case !more:
			s.barren.note(s, spareFor(b))
			return 0, err
		}
		lsn, err = s.append(b, reserve) // others may have taken what was freed
	}
	return lsn, err
}

// barren remembers that there was nothing to free a moment ago: of the many calls that
// find a store full at once, one looks.
type barren struct {
	mu    sync.Mutex
	at    time.Time
	spare int // segments that were to be left
	live  int64
	log   int // segments
}

func (b *barren) note(s *Store, spare int) {
	log, _, _ := s.segs.counts()
	live := s.x.liveTotal()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at, b.spare, b.live, b.log = time.Now(), spare, live, log
}

// holds tells whether that is still so, for whom as many segments are to be left or more:
// nothing has died since, and it is not long ago.
func (b *barren) holds(s *Store, spare int, now time.Time) bool {
	log, _, _ := s.segs.counts()
	live := s.x.liveTotal()
	b.mu.Lock()
	defer b.mu.Unlock()
	return now.Sub(b.at) < time.Second && spare >= b.spare && live >= b.live && log >= b.log
}

// append appends b, leaving reserve bytes of the segment free.
func (s *Store) append(b *Batch, reserve int64) (LSN, error) {
	s.appending.Lock()
	defer s.appending.Unlock()
	return s.appendLocked(b, reserve)
}

func (s *Store) appendLocked(b *Batch, reserve int64) (LSN, error) {
	if err := s.usable(); err != nil {
		return 0, err
	}
	if !b.inner {
		if err := s.x.checkLayers(b); err != nil {
			return 0, err
		}
	}
	h := &s.head
	if err := s.roomLocked(b, reserve); err != nil {
		return 0, err
	}
	if err := s.writeLocked(b); err != nil {
		return 0, err
	}
	h.covers = b.empty()
	n := len(b.starts)
	if plantDropExtent && n > 0 && frameType(b.at(n - 1)[0]) == frameData {
		n--
	}
	for i := range n {
		f := &h.scrap
		b.frameAt(i, f)
		h.note(f)
		if !f.typ.record() {
			continue
		}
		at := loc{h.seg.id, uint32(h.off) + uint32(b.starts[i]), uint32(f.space())}
		if err := s.x.apply(f, at); err != nil {
			return 0, s.sync.poison(fmt.Errorf("index: %w", err))
		}
	}
	h.off += int64(b.space())
	s.sync.appended(s.segs, h.seg, h.lsn, b.space())
	s.zeroAheadLocked(b.space())
	return h.lsn, nil
}

// writeLocked writes b at the head and moves LSN and chain; the offset is
// moved when the index has the batch too.
func (s *Store) writeLocked(b *Batch) error {
	h := &s.head
	next := Ino(s.ino.Load())
	chain := b.finish(h.seg.hdr.salt, h.chain, h.lsn+1, s.SyncedLSN(), next)
	if err := b.writeTo(h.seg.f, h.off); err != nil && !plantShortBatch {
		return s.writeFailedLocked(fmt.Errorf("%s: %w", segName(h.seg.id), err))
	}
	h.lsn, h.chain = h.lsn+1, chain
	return nil
}

// writeFailedLocked ends the batch whose write failed. When the disk was full,
// the head is closed behind the last COMMIT: the next one begins a segment, of
// which everything behind that COMMIT is not part.
func (s *Store) writeFailedLocked(err error) error {
	if !errors.Is(err, disk.ErrNoSpace) {
		return s.sync.poison(err)
	}
	h := &s.head
	h.closed = true
	s.segs.diskFull()
	// Until then a crash must not find the batch that has failed. Not more than
	// an attempt: it may be found whole, as any batch that was not synced.
	h.seg.f.WriteAt(zeros[:frameHeaderSize], h.off)
	return fmt.Errorf("%w: %w", ErrNoSpace, err)
}

// roomLocked sees that the head has room for b, if need be in a new segment.
func (s *Store) roomLocked(b *Batch, reserve int64) error {
	h := &s.head
	need := int64(b.space()) + reserve
	list := coldSpace(s.segs.colds())
	if segHeaderSize+list+need+sealSpace(len(b.starts)) > s.segs.size {
		return fmt.Errorf("%w: %d bytes do not fit a segment of %d", ErrTooBig, b.space(), s.segs.size)
	}
	if h.off > segHeaderSize {
		list = 0
	}
	fits := !h.closed && h.off+list+need+sealSpace(len(h.inos)+len(b.starts)) <= s.segs.size
	more, spare := 1, 0
	if fits {
		more = 0
	}
	if reserve > 0 {
		spare = spareFor(b)
		if !fits && b.data {
			// Whether the disk has room for those that are spared is known before.
			if err := s.segs.stock(); err != nil && !errors.Is(err, ErrNoSpace) {
				return err
			}
		}
	}
	if (b.data || !fits) && s.segs.full(more, spare) {
		return fmt.Errorf("%w: the limit is reached", ErrNoSpace)
	}
	if !fits {
		if err := s.rotateLocked(); err != nil {
			return err
		}
	}
	return s.listColdLocked()
}

// spareFor is how many of the segments that the limit allows a batch must leave:
// one for changes without data, one for the cleaner.
func spareFor(b *Batch) int {
	if b.data {
		return reservedSegments
	}
	return 1
}

// rotateLocked ends the head with a SEAL and begins the next segment.
func (s *Store) rotateLocked() error {
	id, reused, err := s.segs.take()
	if err != nil {
		return err
	}
	h := &s.head
	if !h.closed {
		if err := s.sealLocked(); err != nil && !errors.Is(err, ErrNoSpace) {
			return err
		}
	}
	hdr, err := s.nextHeaderLocked(id)
	if err != nil {
		return err
	}
	if err := s.beginLocked(hdr); err != nil {
		return err
	}
	s.head.reused = reused
	s.work.rotated()
	return nil
}

// coldSpace is what a batch with a list of n cold segments takes.
func coldSpace(n int) int64 {
	if n == 0 {
		return 0
	}
	return int64(frameHeaderSize + n*coldEntrySize + frameHeaderSize + commitFixed)
}

// listColdLocked begins the head with the list of the cold segments, if there
// are any: so each segment of the log knows which there were when it was begun.
func (s *Store) listColdLocked() error {
	h := &s.head
	if h.off > segHeaderSize || s.segs.colds() == 0 {
		return nil
	}
	h.ctl.Reset()
	h.ctl.cold(s.segs.coldRefs())
	if err := s.writeLocked(&h.ctl); err != nil {
		return err
	}
	h.off += int64(h.ctl.space())
	s.sync.appended(s.segs, h.seg, h.lsn, h.ctl.space())
	return nil
}

// sealLocked writes the footer. A segment without one is only slower to clean.
func (s *Store) sealLocked() error {
	h := &s.head
	entries := make([]sealEntry, 0, len(h.inos))
	for k, lsn := range h.inos {
		entries = append(entries, sealEntry{k, lsn})
	}
	slices.SortFunc(entries, func(a, b sealEntry) int {
		if a.less(b.sealKey) {
			return -1
		}
		return 1
	})
	h.ctl.Reset()
	h.ctl.seal(entries)
	if err := s.writeLocked(&h.ctl); err != nil {
		return err
	}
	h.off += int64(h.ctl.space())
	h.closed = true
	s.sync.appended(s.segs, h.seg, h.lsn, h.ctl.space())
	return nil
}

// nextHeaderLocked returns the header of the segment behind the head.
func (s *Store) nextHeaderLocked(id uint64) (segHeader, error) {
	var salt [4]byte
	if _, err := io.ReadFull(s.o.rand, salt[:]); err != nil {
		return segHeader{}, fmt.Errorf("random numbers: %w", err)
	}
	h := &s.head
	return segHeader{
		kind: kindHot, store: s.sb.id, id: id,
		salt: binary.LittleEndian.Uint32(salt[:]) | 1, chain: h.chain,
		prev: h.seg.id, prevEnd: uint64(h.off), first: h.lsn + 1, next: Ino(s.ino.Load()),
		created: s.o.now().UnixNano(), before: h.seg.hdr.before + uint64(h.off), oldest: s.segs.oldest(),
	}, nil
}

// beginLocked makes the spare with this header the head. The header need not
// be synced: it is, with the first batch that anybody waits for.
func (s *Store) beginLocked(hdr segHeader) error {
	f, err := s.o.FS.Open(segName(hdr.id), true)
	if err != nil {
		return s.sync.poison(err)
	}
	if _, err := f.WriteAt(encodeSegHeader(&hdr), 0); err != nil {
		f.Close()
		if !errors.Is(err, disk.ErrNoSpace) {
			return s.sync.poison(err)
		}
		s.head.closed = true // there may be a SEAL
		// Half a header would be taken for damage.
		if err := errors.Join(s.o.FS.Remove(segName(hdr.id)), syncDir(s.o.FS, logDir)); err != nil {
			return s.sync.poison(err)
		}
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	s.segs.add(hdr)
	if err := f.Close(); err != nil {
		return s.sync.poison(err)
	}
	seg, err := s.segs.acquire(hdr.id)
	if err != nil {
		return s.sync.poison(err)
	}
	s.segs.release(s.head.seg)
	s.head.begun(seg)
	s.sync.began(&hdr)
	return nil
}

// What zeroAheadLocked writes at a time, at most; and how much of it is left when it
// writes again, at least.
const (
	zeroStep   = 512 << 10
	zeroMargin = 128 << 10

	pagesStep   = int64(len(zeroPages))
	pagesMargin = smallBatch
)

const (
	smallBatch = 16 << 10 // bytes of a batch that is small
	longStream = 1 << 20  // bytes that are unsynced where zeros ahead that nobody needed are few beside
)

var zeroPages [64 << 10]byte

// zeroAheadLocked writes zeros where the head will be soon, if it is written to by small
// pieces, of which the last had n bytes.
//
// Where these are synced one by one: to sync blocks that were written before takes half as
// long, for the file system has nothing to note of them. Where many come before a sync: pages
// that the system has whole, and many of them at once, cost less than to have each made, and
// filled up, for the part of it that is written first; and if the file was part of the log
// before, that would be read from the disk. A large piece is written once.
func (s *Store) zeroAheadLocked(n int) {
	h := &s.head
	var step, margin int64
	switch {
	case h.closed:
		return
	case s.sync.bySmall() && !h.reused:
		step, margin = min(zeroStep, s.segs.size/8), min(zeroMargin, s.segs.size/16)
	case n <= smallBatch && s.sync.unsynced.Load() >= min(longStream, s.segs.size/8):
		step, margin = min(pagesStep, s.segs.size/8), min(pagesMargin, s.segs.size/16)
	}
	if step == 0 || h.off+margin <= h.zeroed {
		return
	}
	from := max(h.zeroed, (h.off+4095)&^4095) // whole pages
	to := min(from+step-from%step, s.segs.size)
	h.zeroed = s.segs.size
	for from < to {
		part := min(to-from, int64(len(zeroPages)))
		if _, err := h.seg.f.WriteAt(zeroPages[:part], from); err != nil {
			return // whoever writes there will see; no zeros are tried in this segment again
		}
		from += part
	}
	h.zeroed = from
}

// usable says why the store cannot be written, if so.
func (s *Store) usable() error {
	if s.closed.Load() {
		return ErrClosed
	}
	if s.why != nil {
		return s.why
	}
	return s.sync.broken()
}

// cover appends an empty COMMIT that says that all before it is synced, and
// syncs it, so that damage there can be told from a torn tail.
func (s *Store) cover() error {
	if plantNoCover {
		return nil
	}
	s.appending.Lock()
	if s.head.covers || s.SyncedLSN() != s.head.lsn {
		s.appending.Unlock()
		return nil
	}
	s.head.ctl.Reset()
	lsn, err := s.appendLocked(&s.head.ctl, 0)
	s.appending.Unlock()
	if err != nil {
		return err
	}
	return s.Sync(lsn)
}

package deltalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"deltafs/deltalog/disk"
)

// recovery is what Open works with. See doc.go, "Recovery".
type recovery struct {
	s *Store
	v *logSurvey
	c *chain

	known  bool // the index had a checkpoint
	first  int  // place in the chain where replay began
	from   LSN  // the index holds everything up to it
	pos    logPos
	chain  uint32 // behind the last batch replayed
	lsn    LSN
	synced LSN    // known to be durable
	at     logPos // behind the last batch replayed
	next   Ino
	last   lastBatch
	old    uint64 // id of the oldest segment that is part of the log
	cold   []coldRef
	moved  []coldRef // up to there the index knows what was moved
	any    bool      // a batch was read
	inos   map[sealKey]LSN

	torn   int64       // end of the torn tail behind at; 0: there is none
	lost   []segHeader // begun segments behind the end of the log
	damage []*damage   // acknowledged data is damaged
}

// lastBatch is what matters of the last batch of the log.
type lastBatch struct{ covers, sealed bool }

// recover brings the store to the state after the last complete batch.
func (s *Store) recover() error {
	v, err := surveyLog(s.o.FS, s.sb.id, s.segs.size)
	if err != nil {
		return err
	}
	c, err := v.chain(s.segs.size)
	if err != nil {
		return err
	}
	place := indexPlace{dir: s.dir, id: s.sb.id, readOnly: s.o.ReadOnly, open: s.o.openKV}
	x, bad, err := place.openIndex()
	if err != nil {
		return fmt.Errorf("%s: %w", indexFile, err)
	}
	s.x = x
	if bad != nil {
		s.o.Log.Warn("the index is rebuilt from the log", "store", s.dir, "because", bad)
	}
	r := &recovery{s: s, v: v, c: c}
	err = r.replay()
	if errors.Is(err, errIndexBad) && !s.o.ReadOnly {
		s.o.Log.Warn("the index is rebuilt from the log", "store", s.dir, "because", err)
		if err := s.x.close(); err != nil {
			return err
		}
		if s.x, err = place.newIndex(); err != nil {
			return err
		}
		r = &recovery{s: s, v: v, c: c}
		err = r.replay()
	}
	if err != nil {
		return err
	}
	return r.settle()
}

// replay applies what the index does not have yet, and finds out how the log
// ends. errIndexBad: the index does not fit the log.
func (r *recovery) replay() error {
	r.inos = map[sealKey]LSN{}
	r.s.segs.load(r.c.hdrs)
	first, err := r.start()
	if err != nil {
		return err
	}
	_, _, r.known = r.s.x.position()
	if !r.known && len(r.damage) == 0 {
		if first, err = r.rebuildCold(); err != nil {
			return err
		}
	}
	r.first = first
	r.lsn, r.chain = r.c.hdrs[first].first-1, r.c.hdrs[first].chain
	r.at = logPos{r.c.hdrs[first].id, segHeaderSize}
	r.old, r.next, r.synced = r.c.hdrs[first].oldest, Born, r.from
	for i := first; i < len(r.c.hdrs); i++ {
		whole, err := r.segment(i)
		if err != nil {
			return err
		}
		if !whole {
			break
		}
	}
	if !r.any { // the head was begun, and not with a list yet
		var err error
		if r.cold, _, err = lastCold(r.s.o.FS, r.c, r.s.segs.size); err != nil {
			return err
		}
	}
	if r.known {
		if err := r.redo(); err != nil {
			return err
		}
	}
	// What is in layers that are gone: dead frames that were applied, and what had been
	// swept since the checkpoint and may point to segments that are gone too.
	if len(r.damage) == 0 {
		if err := r.s.x.sweepAll(); err != nil {
			return err
		}
	}
	r.next = max(r.next, r.s.x.highestIno()+1)
	if r.c.gap != nil && r.c.hdrs[0].id > r.old && !slices.Contains(r.damage, r.c.gap) {
		r.damage = append(r.damage, r.c.gap)
	}
	if r.lsn < r.from && len(r.damage) == 0 {
		r.damage = append(r.damage, &damage{segName(r.at.seg), int64(r.at.off),
			fmt.Errorf("the log ends with LSN %d, but the index was written after LSN %d", r.lsn, r.from)})
	}
	r.beyond()
	return nil
}

// start returns the place in the chain where replay begins: the segment that
// the index's checkpoint lies in, so that all of it is verified.
func (r *recovery) start() (int, error) {
	var ok bool
	if r.from, r.pos, ok = r.s.x.position(); !ok {
		r.from = 0
		return 0, nil
	}
	if i := r.c.index(r.pos.seg); i >= 0 {
		return i, nil
	}
	if r.pos.seg > r.c.headID() { // segments that the index has seen are missing
		r.damage = append(r.damage, &damage{segName(r.pos.seg), -1, errors.New("it is missing, or its header is damaged")})
		return len(r.c.hdrs) - 1, nil
	}
	if r.c.gap == nil {
		return 0, indexBad("its checkpoint is in a segment that is not part of the log")
	}
	r.damage = append(r.damage, r.c.gap)
	return 0, nil
}

// segment replays one segment of the chain, and tells whether the log goes on
// behind it.
func (r *recovery) segment(i int) (bool, error) {
	s, h := r.s, r.c.hdrs[i]
	head := i == len(r.c.hdrs)-1
	seg, err := s.segs.acquire(h.id)
	if err != nil {
		return false, err
	}
	defer s.segs.release(seg)
	r.next = max(r.next, h.next)
	if h.first != r.lsn+1 || h.chain != r.chain {
		r.damage = append(r.damage, &damage{segName(h.id), 0, fmt.Errorf("%w: it does not continue the segment before it", errSegHeader)})
		return false, nil
	}
	clear(r.inos)
	r.at, r.last = logPos{h.id, segHeaderSize}, lastBatch{}
	sc := newScanner(seg.f, &h, r.c.ends[i])
	for {
		b, err := sc.batch()
		if err == io.EOF && (!head || len(r.c.cut) == 0) {
			return !head, r.relieve(seg, head)
		}
		if err == io.EOF {
			err = badFrame("the segment behind it is missing")
		}
		if err != nil {
			if r.broken(i, seg, sc, err) {
				continue
			}
			return false, nil
		}
		if err := r.batch(b); err != nil {
			return false, err
		}
		r.chain = sc.chain
	}
}

// batch takes one batch of the log.
func (r *recovery) batch(b *logBatch) error {
	first := !r.any
	r.last, r.any = lastBatch{covers: b.covers()}, true
	r.synced = max(r.synced, b.commit.synced)
	for i := range b.frames {
		f := &b.frames[i]
		switch {
		case f.typ == frameTrim:
			r.old = max(r.old, binary.LittleEndian.Uint64(f.payload))
		case f.typ == frameCold:
			var err error
			if r.cold, err = decodeCold(f.payload, r.s.segs.size); err != nil {
				return fmt.Errorf("%s at %d: %w", segName(b.pos.seg), b.locs[i].off, err)
			}
			if first { // older than the checkpoint, or there were none before it
				r.moved = r.cold
			}
		case f.typ == frameSeal:
			r.last.sealed = true
		case f.typ.record():
			k := sealKey{f.layer, f.ino}
			if _, ok := r.inos[k]; !ok {
				r.inos[k] = f.lsn
			}
			if b.lsn <= r.from {
				continue
			}
			if err := r.s.x.apply(f, b.locs[i]); err != nil {
				return fmt.Errorf("%s at %d: %w", segName(b.pos.seg), b.locs[i].off, err)
			}
		}
	}
	r.lsn, r.at, r.next = b.lsn, logPos{b.pos.seg, b.end}, max(r.next, b.next)
	if b.lsn == r.from && r.at != r.pos {
		return indexBad("its checkpoint is at %v where the log has %v", r.pos, r.at)
	}
	return nil
}

// relieve moves what was replayed into the index when it is much.
func (r *recovery) relieve(seg *segment, head bool) error {
	if keys, _ := r.s.x.dirty(); head || keys < checkpointKeys || r.s.o.ReadOnly {
		return nil
	}
	if err := seg.f.Sync(); err != nil {
		return fmt.Errorf("%s: %w", segName(seg.id), err)
	}
	if r.known {
		if err := r.redo(); err != nil {
			return err
		}
	}
	r.s.x.freeze(r.lsn, r.at)
	return r.s.x.flush()
}

// broken decides what an invalid batch means. It reports whether reading can
// go on behind it; the scanner is set there then.
func (r *recovery) broken(i int, seg *segment, sc *scanner, cause error) (resumed bool) {
	if errors.Is(cause, errFrame) && r.ended(i, seg, sc.pos) {
		return false
	}
	acked, last, err := r.ahead(i, seg, sc.pos)
	if err != nil && !errors.Is(err, errTruncated) && !errors.Is(err, errFrame) {
		cause, acked = err, true
	}
	if !errors.Is(cause, errFrame) { // reading fails, or the file is short: no crash does that
		acked = true
	}
	if (acked || sc.lsn <= r.from) && !plantNoLookAhead {
		r.damage = append(r.damage, &damage{segName(seg.id), sc.pos, cause})
		if seg.id == r.pos.seg && sc.pos < int64(r.pos.off) { // the index has what is behind
			sc.pos, sc.lsn, sc.adopt = int64(r.pos.off), r.from+1, true
			r.lsn, r.at = r.from, r.pos
			return true
		}
		return false
	}
	if plantReplayPastTorn && last > 0 {
		if pos, lsn := resume(seg, sc.pos, r.c.ends[i]); pos > 0 {
			sc.pos, sc.lsn, sc.adopt = pos, lsn, true
			return true
		}
	}
	r.torn = last
	r.lost = slices.Concat(r.c.hdrs[i+1:], r.c.cut)
	return false
}

// endProbe is how much behind the end of a log that was closed must be zeros, in bytes.
const endProbe = 4 << 10

// ended tells whether the log was closed at pos, so that there is nothing to look for
// behind it: that is a segment to read, all of which may have to come from the disk. A
// log that went on, whose index was put back from a copy, has something there.
func (r *recovery) ended(i int, seg *segment, pos int64) bool {
	if i != len(r.c.hdrs)-1 || len(r.c.cut) > 0 || r.lsn != r.from || !r.s.x.closedAt(logPos{seg.id, uint32(pos)}) {
		return false
	}
	p := make([]byte, min(endProbe, r.c.ends[i]-pos))
	_, err := seg.f.ReadAt(p, pos) // whoever looks further meets the error again
	return err == nil && len(bytes.TrimLeft(p, "\x00")) == 0
}

// ahead looks behind an invalid batch for one that says that it was synced.
// last is the end of the last frame in the same segment.
func (r *recovery) ahead(i int, seg *segment, pos int64) (acked bool, last int64, err error) {
	h := r.c.hdrs[i]
	last, synced, err := lookAhead(seg.f, &h, pos, r.c.ends[i], r.lsn+1)
	if err != nil {
		return false, last, err
	}
	for _, h := range slices.Concat(r.c.hdrs[i+1:], r.c.cut) {
		f, err := r.s.o.FS.Open(segName(h.id), false)
		if err != nil {
			return false, last, err
		}
		_, more, err := lookAhead(f, &h, segHeaderSize, r.s.segs.size, r.lsn+1)
		f.Close()
		if err != nil {
			return false, last, err
		}
		synced = max(synced, more)
	}
	return synced > r.lsn, last, nil
}

// resume finds the next frame behind a broken one: see plantReplayPastTorn.
func resume(seg *segment, pos, end int64) (int64, LSN) {
	p := make([]byte, frameHeaderSize)
	for pos += 8; pos+frameHeaderSize <= end; pos += 8 {
		var f frame
		if _, err := seg.f.ReadAt(p, pos); err != nil {
			return 0, 0
		}
		if decodeFrameHeader(p, seg.hdr.salt, &f) == nil && f.typ != frameCommit {
			return pos, f.lsn
		}
	}
	return 0, 0
}

// beyond notes damage that replay has not met: files that are cut short behind what is
// in them, and behind the log a head whose header is damaged.
func (r *recovery) beyond() {
	for _, f := range slices.Concat(r.v.segs, r.v.cold) { // whatever of it was used
		part := r.c.index(f.id) >= 0 || slices.ContainsFunc(r.cold, func(c coldRef) bool { return c.id == f.id })
		if f.cut != nil && part {
			r.damage = append(r.damage, &damage{segName(f.id), -1, f.cut})
		}
	}
	for i := range r.v.segs {
		f := &r.v.segs[i]
		if f.err != nil && !errors.Is(f.err, errUnbegun) && f.id > r.highest() {
			r.damage = append(r.damage, &damage{segName(f.id), -1, f.err})
		}
	}
}

// verdict returns why the store is read-only, nil if it is not.
func (r *recovery) verdict() error {
	if len(r.damage) == 0 {
		if r.s.o.ReadOnly {
			return ErrReadOnly
		}
		return nil
	}
	files := make([]string, 0, len(r.damage))
	for _, d := range r.damage {
		files = append(files, d.Error())
	}
	return fmt.Errorf("%w: %w: %s", ErrReadOnly, ErrDamaged, strings.Join(files, "; "))
}

// goOn prepares a log that will be written to.
func (r *recovery) goOn() error {
	s := r.s
	err := s.x.setClosed(false)
	if errors.Is(err, disk.ErrNoSpace) && s.dropBallast() {
		err = s.x.setClosed(false)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", indexFile, err)
	}
	return r.clean()
}

// settle begins life after recovery: it makes what was replayed durable, moves
// what is not part of the log out of the way, and sets the head.
func (r *recovery) settle() error {
	s := r.s
	if err := r.loadCold(); err != nil {
		return err
	}
	if s.why = r.verdict(); s.why != nil {
		if len(r.damage) > 0 {
			s.o.Log.Error("the store is damaged and opens read-only", "store", s.dir, "err", s.why)
		}
	} else if err := r.goOn(); err != nil {
		return err
	}
	seg, err := s.segs.acquire(r.at.seg)
	if err != nil {
		return err
	}
	h := &s.head
	h.begun(seg)
	h.off, h.lsn, h.chain, h.covers, h.inos = int64(r.at.off), r.lsn, r.chain, r.last.covers, r.inos
	h.closed = r.torn > 0 || r.last.sealed
	s.sync.began(&seg.hdr)
	s.sync.total.Store(seg.hdr.before + uint64(h.off))
	s.sync.recovered(r.lsn)
	s.ckpt = ckptState{lsn: r.from, pos: r.pos}
	if i := r.c.index(r.pos.seg); i >= 0 {
		s.ckptAt.Store(r.c.hdrs[i].before + uint64(r.pos.off))
	}
	if s.ino.Store(uint64(r.next) + inoStep); plantReuseID {
		s.ino.Store(uint64(r.next) - 1)
	}
	return nil
}

package deltalog

import (
	"errors"
	"time"

	"deltafs/deltalog/disk"
)

// ckptState is what the last checkpoint reached.
type ckptState struct {
	lsn   LSN
	pos   logPos
	bytes uint64 // of log before it
}

// Checkpoint moves what the memtable holds into the database, and trims: segments
// of which nothing is live are freed, at the old end of the log and among the
// cold ones.
func (s *Store) Checkpoint() error {
	err := s.checkpoint()
	if err == nil {
		err = s.freeDead()
	}
	return s.fault("checkpoint", err)
}

func (s *Store) checkpoint() error {
	s.checkpointing.Lock()
	defer s.checkpointing.Unlock()
	if err := s.checkpointLocked(); err != nil {
		return err
	}
	return s.trimLocked()
}

// checkpointLocked makes the index durable as of now. The log is synced first:
// the index must never know what the log may lose.
func (s *Store) checkpointLocked() error {
	if err := s.flushLeft(); err != nil {
		return err
	}
	s.appending.Lock()
	if err := s.usable(); err != nil {
		s.appending.Unlock()
		return err
	}
	h := &s.head
	c := ckptState{h.lsn, logPos{h.seg.id, uint32(h.off)}, h.seg.hdr.before + uint64(h.off)}
	if keys, _ := s.x.dirty(); c.lsn == s.ckpt.lsn && keys == 0 { // the cleaner moves records and appends nothing
		s.appending.Unlock()
		return nil
	}
	s.x.freeze(c.lsn, c.pos)
	seg := h.seg
	s.segs.hold(seg)
	defer s.segs.release(seg)
	s.appending.Unlock()
	if err := s.Sync(c.lsn); err != nil {
		return err
	}
	if c.pos.off == segHeaderSize { // begun, but its first batch failed: no Sync has reached it
		if err := syncAll([]dirtySegment{{seg, c.lsn}}, false); err != nil {
			return s.sync.poison(err)
		}
	}
	if err := s.x.flush(); err != nil {
		return err
	}
	s.ckpt = c
	s.ckptAt.Store(c.bytes)
	return nil
}

// flushLeft finishes the checkpoint that there was no room for, if there is one: until
// then no other can begin. Its log is synced.
func (s *Store) flushLeft() error {
	if err := s.usable(); err != nil || !s.x.isFrozen() {
		return err
	}
	return s.x.flush()
}

// trimLocked frees the segments before the checkpoint of which nothing is live.
// Once there are cold segments the cleaner does that: a tombstone may have to
// outlive its segment.
func (s *Store) trimLocked() error {
	if s.segs.colds() > 0 {
		return nil
	}
	live, ids, n := s.x.live(), s.segs.ids(), 0
	for n < len(ids) && ids[n] < s.ckpt.pos.seg && live[ids[n]] == 0 {
		n++
	}
	if n == 0 {
		return s.moveLayersLocked(ids[0], live[ids[0]])
	}
	var b Batch
	b.trim(ids[n])
	// Under the append lock, as the first list of cold segments is: what is copied
	// after that list is live, and so in none of these.
	s.appending.Lock()
	if s.segs.colds() > 0 {
		s.appending.Unlock()
		return nil
	}
	lsn, err := s.appendLocked(&b, 0)
	s.appending.Unlock()
	if err != nil {
		return err
	}
	if plantTrimUnsynced {
		lsn = 0
	}
	if err := s.Sync(lsn); err != nil {
		return err
	}
	s.segs.retire(ids[n])
	s.o.Log.Debug("trim", "store", s.dir, "segments", n, "oldest", ids[n])
	return s.segs.drop()
}

// moveLayersLocked logs the records of all layers anew if they are all that is
// live in the oldest segment: they hardly ever change, and would keep it for
// good. The next checkpoint can trim it then.
func (s *Store) moveLayersLocked(oldest uint64, live int64) error {
	if oldest >= s.ckpt.pos.seg {
		return nil
	}
	s.appending.Lock() // nobody changes a layer between
	defer s.appending.Unlock()
	b := Batch{inner: true}
	var bytes int64
	var bad error
	err := s.x.each(tableLayer, []byte{}, nil, func(p pair) bool {
		l, err := decodeLayer(keyLayer(p.key), valueRecord(p.val))
		if bad = err; bad != nil {
			return false
		}
		b.Layer(l)
		if at := valuePointer(p.val); at.seg == oldest {
			bytes += int64(at.size)
		}
		return true
	})
	if err == nil {
		err = bad
	}
	if err != nil || bytes == 0 || bytes != live {
		return err
	}
	_, err = s.appendLocked(&b, 0)
	return err
}

// holdMost is how long an append is held while it is cleaned for. Then its caller is told
// to try again, and the cleaner goes on.
const holdMost = 3 * time.Second

// reclaim tries to free segments when there is no room, those first that cost
// least, and tells whether trying again makes sense: whether there is one more
// segment now, beside those that are to be spared. Behind until, if that is not zero,
// it gives up with ErrBusy.
func (s *Store) reclaim(spare int, until time.Time) (bool, error) {
	s.segs.probe()
	_, _, before := s.segs.counts()
	checkpoint := func() bool {
		err := s.Checkpoint()
		if errors.Is(err, disk.ErrNoSpace) && s.dropBallast() {
			err = s.Checkpoint()
		}
		return err == nil
	}
	_, limited := s.segs.free()
	done := !limited || s.segs.colds() == 0
	if done && !checkpoint() {
		return false, nil
	}
	all, _, now := s.segs.counts()
	if !limited {
		return now < before || s.segs.idle(), nil
	}
	turned, gained := false, false
	for range 16 + all {
		if !s.segs.full(1, spare) {
			return true, nil
		}
		if !until.IsZero() && time.Now().After(until) {
			s.work.rotated()
			_, worth := s.pick(byCost, func(v victim) bool { return v.live <= s.mostLive() })
			if !gained && !worth { // what takes so long leads to nothing
				return false, nil
			}
			return false, ErrBusy
		}
		stuck := s.deadSegments() >= 1
		v, ok := s.pick(byCost, func(v victim) bool { return v.live <= s.mostLive() || stuck && !v.cold })
		if !done && (!ok || s.hotAhead() >= hotMost) { // then the hot log can be cleaned
			if done = true; !checkpoint() {
				return false, nil
			}
			continue
		}
		if !ok {
			if turned || !s.turnHead() {
				return turned || !s.segs.full(1, spare), nil
			}
			turned = true
			continue
		}
		if _, err := s.cleanOne(v, nil); err != nil {
			break
		}
		gained = gained || v.live <= s.mostLive()
	}
	return turned || !s.segs.full(1, spare), nil
}

// turnHead begins another segment if most of the head is dead, so that it can be
// cleaned, and tells whether it has.
func (s *Store) turnHead() bool {
	s.appending.Lock()
	h := &s.head
	dead := h.off - segHeaderSize - s.x.liveIn(h.seg.id)
	ok := s.usable() == nil && dead > s.segs.size/2 && !s.segs.full(1, 0) && s.rotateLocked() == nil && s.listColdLocked() == nil
	s.appending.Unlock()
	return ok && s.Checkpoint() == nil
}

// deadSegments is how much of the log is dead or not written yet, in segments. If it
// is one or more, then it is worth moving the oldest hot segment out of the way,
// however much of it is live: those behind it can be freed only after it.
func (s *Store) deadSegments() float64 {
	n, _, _ := s.segs.counts()
	return float64(n) - float64(total(s.liveBytes()))/float64(s.segs.size)
}

// logBytes returns the bytes ever appended, with headers and padding.
func (s *Store) logBytes() uint64 { return s.sync.total.Load() }

// ckptBytes returns what logBytes was at the last checkpoint.
func (s *Store) ckptBytes() uint64 { return s.ckptAt.Load() }

package deltalog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Cleaned is what Clean has done.
type Cleaned struct {
	Segments int   // freed
	Copied   int64 // bytes, with headers
}

// Clean frees segments of which at least a part of the bytes is dead (0.1: a
// tenth), until none of those that there are now is left. Others may append
// meanwhile. After each segment it asks more, which may be nil, whether to go on.
func (s *Store) Clean(dead float64, more func(Cleaned) bool) (Cleaned, error) {
	var sum Cleaned
	s.segs.mu.Lock()
	newest := s.segs.nextID
	s.segs.mu.Unlock()
	if err := s.Checkpoint(); err != nil {
		return sum, err
	}
	for {
		v, ok := s.pick(byScore, func(v victim) bool { return v.id < newest && 1-v.live >= dead })
		if !ok {
			return sum, nil
		}
		n, err := s.cleanOne(v, nil)
		if err != nil {
			return sum, s.fault("clean", err)
		}
		sum.Segments++
		sum.Copied += n
		if more != nil && !more(sum) {
			return sum, nil
		}
	}
}

// CleanerOptions are how a store cleans by itself. Those that mean the same have the
// names that nilfs_cleanerd.conf(5) gives them. The zero value is the default.
type CleanerOptions struct {
	// MinCleanSegments: cleaning begins when there are not more segments than these
	// that the log may still take (default and least 4); it ends when there are more
	// than MaxCleanSegments (default and least MinCleanSegments).
	MinCleanSegments, MaxCleanSegments int
	// MinReclaimableBlocks is the part of a segment that must be dead for cleaning it
	// to be worth its while: of 0.05, the default, 20 are copied to gain one.
	MinReclaimableBlocks float64
	// Compress compresses file data as it is moved, with zstd.
	Compress bool
}

// leastClean is what MinCleanSegments is at least: those that are reserved, one that is
// being filled, and one more.
const leastClean = reservedSegments + 2

func (o CleanerOptions) withDefaults() CleanerOptions {
	o.MinCleanSegments = max(o.MinCleanSegments, leastClean)
	o.MaxCleanSegments = max(o.MaxCleanSegments, o.MinCleanSegments)
	if o.MinReclaimableBlocks <= 0 {
		o.MinReclaimableBlocks = 0.05
	}
	return o
}

// mostLive is how much of a segment may be live for it to be cleaned.
func (s *Store) mostLive() float64 { return 1 - s.o.Cleaner.MinReclaimableBlocks }

// crowded tells whether the cleaner has to work: the limit is near, or more than
// half of a log of some size is dead. at is the segments that are to be free. urgent:
// writers will wait soon.
func (s *Store) crowded(at int) (yes, urgent bool) {
	free, limited := s.segs.free()
	if limited {
		yes, urgent = free <= at, free < leastClean
	}
	dead := s.deadSegments()
	n, _, _ := s.segs.counts()
	return yes || dead > max(16, float64(n)-dead), urgent
}

// tidy cleans in the background when it is crowded, until it is not. It does as much
// as it rests, unless it is urgent.
func (s *Store) tidy(ctx context.Context) error {
	for at := s.o.Cleaner.MinCleanSegments; ctx.Err() == nil; at = s.o.Cleaner.MaxCleanSegments {
		yes, urgent := s.crowded(at)
		if !yes {
			return nil
		}
		if s.hotAhead() >= hotMost {
			if err := s.Checkpoint(); err != nil {
				return err
			}
		}
		stuck := s.deadSegments() > 2
		good := func(v victim) bool { return v.live < s.mostLive() || stuck && !v.cold }
		v, ok := s.pick(byScore, good)
		if !ok && s.hotAhead() > 1 {
			if err := s.Checkpoint(); err != nil {
				return err
			}
			v, ok = s.pick(byScore, good)
		}
		if !ok {
			return nil
		}
		began := time.Now()
		pace := func() {
			if rest := time.Since(began); !urgent {
				select {
				case <-ctx.Done():
				case <-time.After(rest):
				}
			}
			began = time.Now()
		}
		if _, err := s.cleanOne(v, pace); err != nil && !errors.Is(err, ErrDamaged) {
			return err
		}
		if err := s.segs.stock(); err != nil && !errors.Is(err, ErrNoSpace) {
			return err
		}
	}
	return nil
}

// freeDead frees segments of which nothing is live, once there are cold ones.
func (s *Store) freeDead() error {
	for s.segs.colds() > 0 {
		v, ok := s.pick(nil, func(v victim) bool { return v.live == 0 })
		if !ok {
			return nil
		}
		if _, err := s.cleanOne(v, nil); err != nil && !errors.Is(err, ErrDamaged) {
			return err
		}
	}
	return nil
}

// victim is a segment that could be cleaned.
type victim struct {
	id   uint64
	cold bool
	live float64 // part of its bytes
	age  float64 // how long it has been as it is, in bytes of log
}

// score is what cleaning is worth, by cost and benefit: Rosenblum and Ousterhout,
// "The Design and Implementation of a Log-Structured File System", section 3.5.
// Not quite the age, for the hot log can only be cleaned from its old end, and is so long
// that what lies there is old: of the powers from 0 to 1 this copies least in
// BenchmarkHotCold.
func (v victim) score() float64 { return (1 - v.live) * math.Pow(v.age, 0.55) / (1 + v.live) }

// byScore prefers what it is worth most to clean, byCost what costs least.
func byScore(a, b victim) bool { return a.score() > b.score() }
func byCost(a, b victim) bool  { return a.live < b.live }

// hotMost is how many segments the hot log may have, all of them ahead of the
// checkpoint, while others are cleaned.
const hotMost = 4

// hotAhead returns how many segments the hot log has if none of them can be cleaned
// because the checkpoint has not passed it; 0 if one can.
func (s *Store) hotAhead() int {
	s.checkpointing.Lock()
	done := s.ckpt.pos.seg
	s.checkpointing.Unlock()
	ids := s.segs.ids()
	if ids[0] < done {
		return 0
	}
	return len(ids)
}

// liveBytes returns what is live in each segment, in bytes of the segment: of one whose
// data is compressed, less than the index counts.
func (s *Store) liveBytes() liveBytes {
	live := s.x.live()
	s.segs.mu.Lock()
	defer s.segs.mu.Unlock()
	for _, r := range s.segs.cold {
		if seg := s.segs.byID[r.id]; seg != nil {
			if saved := seg.saved.Load(); saved > 0 {
				live[r.id] = int64(float64(live[r.id]) * float64(s.segs.size) / float64(uint64(s.segs.size)+saved))
			}
		}
	}
	return live
}

// victims returns the segments that could be cleaned: the oldest hot one, for
// the hot log must stay in one piece, and all cold ones.
func (s *Store) victims() []victim {
	live, size := s.liveBytes(), float64(s.segs.size)
	now := float64(s.logBytes())
	s.checkpointing.Lock()
	done := s.ckpt.pos.seg
	s.checkpointing.Unlock()
	var vs []victim
	s.segs.mu.Lock()
	defer s.segs.mu.Unlock()
	if id := s.segs.order[0]; len(s.segs.order) > 1 && id < done && !s.cleaner.bad[id] {
		vs = append(vs, victim{id: id, live: min(float64(live[id])/size, 1), age: now - float64(s.segs.byID[id].hdr.before)})
	}
	for _, r := range s.segs.cold {
		if s.cleaner.headOf(r.id) != nil || s.cleaner.bad[r.id] {
			continue
		}
		vs = append(vs, victim{id: r.id, cold: true, live: min(float64(live[r.id])/size, 1), age: now - float64(s.segs.byID[r.id].hdr.before)})
	}
	return vs
}

// pick returns the best of the segments that are good.
func (s *Store) pick(better func(a, b victim) bool, good ...func(victim) bool) (best victim, ok bool) {
	s.cleaner.mu.Lock()
	defer s.cleaner.mu.Unlock()
	for _, v := range s.victims() {
		if slices.ContainsFunc(good, func(g func(victim) bool) bool { return !g(v) }) {
			continue
		}
		if !ok || better != nil && better(v, best) {
			best, ok = v, true
		}
	}
	return best, ok
}

// cleanOne copies what is live in a segment, and frees it. One that somebody has
// freed meanwhile is freed already. rest, which may be nil, is called now and then.
func (s *Store) cleanOne(v victim, rest func()) (copied int64, err error) {
	s.cleaner.mu.Lock()
	defer s.cleaner.mu.Unlock()
	if err := s.usable(); err != nil {
		return 0, err
	}
	if !slices.ContainsFunc(s.victims(), func(now victim) bool { return now.id == v.id }) {
		return 0, nil
	}
	m := &mover{s: s, id: v.id, dead: s.x.liveIn(v.id) == 0, rest: rest}
	if most := s.segs.allowed(); most == 0 || most >= sortedLeast {
		m.sorts, m.learns = true, !v.cold || s.cleaner.warm[v.id]
	}
	if m.sorts && !v.cold {
		s.cleaner.heat.next(len(s.segs.ids()))
	}
	if err := m.run(v); err != nil {
		if errors.Is(err, ErrDamaged) {
			s.cleaner.bad[v.id] = true
			s.o.Log.Error("a segment cannot be cleaned", "store", s.dir, "err", err)
		}
		return m.copied, err
	}
	s.checkpointing.Lock()
	defer s.checkpointing.Unlock()
	return m.copied, s.freeLocked(v)
}

// freeLocked takes a segment of which nothing is live out of the log. Both
// cleaner.mu and checkpointing are held. The database may point into it still: what
// replay brings, and the copies that the list makes known, see to that.
func (s *Store) freeLocked(v victim) error {
	if n := s.x.liveIn(v.id); n != 0 && !plantNoCAS {
		return fmt.Errorf("%s: %d bytes of it are still live", segName(v.id), n)
	}
	refs, oldest := s.coldNow(), uint64(0)
	if v.cold {
		refs = slices.DeleteFunc(refs, func(r coldRef) bool { return r.id == v.id })
	} else {
		ids := s.segs.ids()
		if ids[0] > v.id {
			return nil // all of it died meanwhile, and it was trimmed
		}
		if len(ids) < 2 || ids[0] != v.id {
			return fmt.Errorf("%s: it is not the oldest segment of the log", segName(v.id))
		}
		oldest = ids[1]
	}
	if err := s.logCold(refs, oldest); err != nil {
		return err
	}
	delete(s.cleaner.footers, v.id)
	delete(s.cleaner.warm, v.id)
	if v.cold {
		s.segs.retireCold(v.id)
	} else {
		s.segs.retire(oldest)
	}
	s.o.Log.Debug("cleaned", "store", s.dir, "segment", v.id, "cold", v.cold, "live", v.live)
	return s.segs.drop()
}

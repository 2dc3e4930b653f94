package deltalog

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// moveBytes is how much is copied before it is synced and the index told: what
// the cleaner holds in memory at most, but for one frame.
const moveBytes = 4 << 20

// moveAtOnce is how many pointers are moved while appends wait.
const moveAtOnce = 64

// move is a record of which there is a copy now.
type move struct {
	table    table
	key      []byte // but for file data
	layer    LayerID
	ino      Ino
	off, end uint64 // of file data
	lsn      LSN    // of the copy, of file data
	from, to loc
}

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
func (v victim) score() float64 { return (1 - v.live) * math.Pow(v.age, 0.7) / (1 + v.live) }

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
	m := &mover{s: s, id: v.id, rest: rest}
	if most := s.segs.allowed(); most == 0 || most >= sortedLeast {
		m.sorts, m.learns = true, !v.cold
	}
	if m.learns {
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
	if v.cold {
		s.segs.retireCold(v.id)
	} else {
		s.segs.retire(oldest)
	}
	s.o.Log.Debug("cleaned", "store", s.dir, "segment", v.id, "cold", v.cold, "live", v.live)
	return s.segs.drop()
}

// mover copies what is live in one segment.
type mover struct {
	s      *Store
	id     uint64
	sorts  bool // copies go to one of two heads
	learns bool // from what is dead, for it is a hot one
	parts  []part
	moves  []move
	copied int64
	buf    int64 // bytes copied, or to be, and not synced
	rest   func()
	packed []byte // of compress
}

// part is a range of file data that is to be copied.
type part struct {
	f    frame // that it is of, as offset and length say
	data []byte
	from loc
}

func (m *mover) run(v victim) error {
	seg, err := m.s.segs.acquire(v.id)
	if errors.Is(err, errSegmentGone) {
		return nil // all of it died meanwhile, and it was trimmed
	}
	if err != nil {
		return err
	}
	defer m.s.segs.release(seg)
	if v.cold {
		refs := m.s.segs.coldRefs()
		i := slices.IndexFunc(refs, func(r coldRef) bool { return r.id == v.id })
		if i < 0 {
			return fmt.Errorf("%s: %w", segName(v.id), errSegmentGone)
		}
		err = scanCold(seg.f, &seg.hdr, segHeaderSize, int64(refs[i].end), m.frame)
	} else {
		end, ok := m.s.segs.endOf(v.id)
		if !ok {
			return nil // trimmed
		}
		sc := newScanner(seg.f, &seg.hdr, end)
		for err == nil {
			var b *logBatch
			if b, err = sc.batch(); err != nil {
				break
			}
			for i := range b.frames {
				if err = m.frame(&b.frames[i], b.locs[i]); err != nil {
					break
				}
			}
		}
		if err == io.EOF {
			err = nil
		}
	}
	if err == nil {
		err = m.flush()
	}
	if errors.Is(err, errFrame) || errors.Is(err, errTruncated) {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, segName(v.id), err)
	}
	return err
}

// frame copies a frame of the victim, or what is live of it.
func (m *mover) frame(f *frame, at loc) error {
	switch {
	case f.typ.tombstone():
		hides, err := m.s.hides(f, m.id)
		if err != nil || !hides {
			return err
		}
		_, err = m.put(f, nil)
		return err
	case f.typ == frameData:
		return m.data(f, at)
	case !f.typ.record():
		return nil
	}
	mv := move{from: at}
	mv.table, mv.key = keyOfFrame(f)
	val, _, err := m.s.x.lookup(mv.table, mv.key)
	if err != nil {
		return err
	}
	if val == nil || valuePointer(val) != at {
		m.died(f)
		return nil
	}
	if mv.to, err = m.put(f, nil); err != nil {
		return err
	}
	return m.moved(mv)
}

// keyOfFrame returns where the index has the record of a frame that is neither
// file data nor a tombstone.
func keyOfFrame(f *frame) (table, []byte) {
	switch f.typ {
	case frameEntry:
		return tableEntry, keyOfEntry(f.layer, f.ino, f.offset, f.payload[:f.length])
	case frameOrigin:
		return tableOrigin, keyOfIno(f.layer, f.ino)
	case frameLayer:
		return tableLayer, keyOfLayer(f.layer)
	}
	return tableInode, keyOfIno(f.layer, f.ino)
}

// data keeps the ranges of a DATA frame that files still show, to be copied.
func (m *mover) data(f *frame, at loc) error {
	var parts []extent
	err := m.s.x.extents(f.layer, f.ino, int64(f.offset), int64(f.length), func(e extent) bool {
		if e.seg == at.seg && e.frameOff == at.off && e.lsn == f.lsn {
			if n := len(parts); n > 0 && parts[n-1].end() == e.off {
				parts[n-1].length += e.length
			} else {
				parts = append(parts, e)
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		m.died(f)
		return nil
	}
	data, err := f.data(nil)
	if err != nil {
		return err
	}
	most := uint64(MaxData)
	if m.s.o.Cleaner.Compress {
		most = joinPacked
	}
	for _, whole := range parts {
		for off := whole.off; off < whole.end(); off += most {
			e, _ := whole.clip(off, off+most)
			p := part{f: *f, data: bytes.Clone(data[e.off-f.offset:][:e.length]), from: at}
			p.f.offset, p.f.length, p.f.payload = e.off, e.length, nil
			m.parts = append(m.parts, p)
		}
		m.buf += int64(whole.length)
	}
	if m.buf < moveBytes {
		return nil
	}
	return m.flush()
}

// died tells what is known of a frame that is dead.
func (m *mover) died(f *frame) {
	if m.learns {
		m.s.cleaner.heat.died(f)
	}
}

// joinMost is how much data of a file is put into one frame when what lies side by
// side in the file is moved; joinPacked, if it is to be compressed, for that is read and
// expanded as a whole.
const (
	joinMost   = 256 << 10
	joinPacked = 64 << 10
)

// writeParts copies the ranges that were kept, by file and offset: those that touch
// become one frame. Its LSN is the highest of theirs, for nothing that was written
// between has changed any of them, or that would not be live.
func (m *mover) writeParts() error {
	slices.SortFunc(m.parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.f.layer, b.f.layer), cmp.Compare(a.f.ino, b.f.ino), cmp.Compare(a.f.offset, b.f.offset))
	})
	most := int(min(joinMost, m.s.segs.size/8))
	if m.s.o.Cleaner.Compress {
		most = min(most, joinPacked)
	}
	for len(m.parts) > 0 {
		n, whole := 1, m.parts[0].f
		for ; n < len(m.parts); n++ {
			f := &m.parts[n].f
			if f.layer != whole.layer || f.ino != whole.ino || f.offset != whole.offset+uint64(whole.length) ||
				int(whole.length+f.length) > most || m.head(f) != m.head(&whole) || regionOf(f.offset) != regionOf(whole.offset) {
				break
			}
			whole.length, whole.lsn = whole.length+f.length, max(whole.lsn, f.lsn)
		}
		if err := m.join(&whole, m.parts[:n]); err != nil {
			return err
		}
		m.parts = m.parts[n:]
	}
	m.parts = nil
	return nil
}

// join copies ranges that touch as one frame with the header f.
func (m *mover) join(f *frame, parts []part) error {
	data := parts[0].data
	if len(parts) > 1 {
		data = make([]byte, 0, f.length)
		for i := range parts {
			data = append(data, parts[i].data...)
		}
	}
	to, err := m.put(f, data)
	for i := range parts {
		p := &parts[i].f
		m.moves = append(m.moves, move{table: tableExtent, layer: p.layer, ino: p.ino,
			off: p.offset, end: p.offset + uint64(p.length), lsn: f.lsn, from: parts[i].from, to: to})
	}
	return err
}

// put copies a frame into the cold head, beginning one if need be.
func (m *mover) put(f *frame, data []byte) (loc, error) {
	s := m.s
	packed := m.compress(data)
	space := frameHeaderSize + pad8(max(int(f.size), tableSize(len(data))+len(data)))
	if packed != nil {
		space = frameHeaderSize + pad8(len(packed))
	}
	k, err := m.headFor(f, space)
	if err != nil {
		return loc{}, err
	}
	to := s.cleaner.heads[k].put(f, data, packed)
	m.copied += int64(to.size)
	s.cleaner.copied.Add(uint64(to.size))
	return to, nil
}

// sortedLeast is how many segments a log must be allowed for two heads to be worth the
// one that is half empty.
const sortedLeast = 32

// head tells where a copy of a frame is to go.
func (m *mover) head(f *frame) int {
	if m.sorts && m.s.cleaner.heat.hot(f) {
		return headWarm
	}
	return headCold
}

// headFor returns the head that takes space bytes of a copy of a frame, beginning it if
// need be. When segments are few, one head has to do.
func (m *mover) headFor(f *frame, space int) (int, error) {
	s := m.s
	k := m.head(f)
	heads := &s.cleaner.heads
	if heads[k] != nil && heads[k].fits(space, s.segs.size) {
		return k, nil
	}
	other := heads[1-k] != nil && heads[1-k].fits(space, s.segs.size)
	if free, limited := s.segs.free(); limited && free < reservedSegments && other {
		return 1 - k, nil
	}
	if heads[k] != nil {
		if err := m.commit(); err != nil {
			return 0, err
		}
		if err := s.sealCold(k); err != nil {
			return 0, err
		}
	}
	return k, s.beginCold(k)
}

// compress returns data compressed if that is wanted and saves an eighth or more. The
// result is valid until the next call.
func (m *mover) compress(data []byte) []byte {
	if !m.s.o.Cleaner.Compress || len(data) < packLeast || len(data) > joinPacked {
		return nil
	}
	m.packed = packer().EncodeAll(data, m.packed[:0])
	if len(m.packed) > len(data)-len(data)/8 {
		return nil
	}
	return m.packed
}

func (m *mover) moved(mv move) error {
	m.moves = append(m.moves, mv)
	if m.buf += int64(mv.to.size); m.buf < moveBytes {
		return nil
	}
	return m.flush()
}

// flush copies what was kept and commits it.
func (m *mover) flush() error {
	if err := m.writeParts(); err != nil {
		return err
	}
	if err := m.commit(); err != nil {
		return err
	}
	m.buf = 0
	if m.rest != nil {
		m.rest()
	}
	return nil
}

// commit makes the copies durable and then tells the index. A record that has
// changed since it was copied stays where it is now.
func (m *mover) commit() error {
	s := m.s
	for k := range s.cleaner.heads {
		if err := s.flushCold(k); err != nil {
			return err
		}
	}
	if s.cleaner.copying != nil {
		s.cleaner.copying()
	}
	for moves := m.moves; len(moves) > 0; {
		n := min(len(moves), moveAtOnce)
		if err := s.relocate(moves[:n]); err != nil {
			return err
		}
		moves = moves[n:]
	}
	m.moves = m.moves[:0]
	return nil
}

func (s *Store) relocate(moves []move) error {
	s.appending.Lock()
	defer s.appending.Unlock()
	for i := range moves {
		if err := s.x.relocate(&moves[i]); err != nil {
			return s.sync.poison(fmt.Errorf("index: %w", err))
		}
	}
	return nil
}

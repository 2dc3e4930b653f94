package deltalog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
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

// mover copies what is live in one segment.
type mover struct {
	s      *Store
	id     uint64
	salt   uint32
	dead   bool // nothing in it is live: there is no need to ask of each record, nor to read file data
	sorts  bool // copies go to one of two heads
	learns bool // from what is dead: it was written, or moved, as hot
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
	var end int64
	if v.cold {
		refs := m.s.segs.coldRefs()
		i := slices.IndexFunc(refs, func(r coldRef) bool { return r.id == v.id })
		if i < 0 {
			return fmt.Errorf("%s: %w", segName(v.id), errSegmentGone)
		}
		end = int64(refs[i].end)
	} else {
		var ok bool
		if end, ok = m.s.segs.endOf(v.id); !ok {
			return nil // trimmed
		}
	}
	// Frame by frame: what is copied is verified, and dead data need not be what it was.
	sc := scanner{r: seg.f, id: v.id, salt: seg.hdr.salt, pos: segHeaderSize, end: end}
	m.salt = sc.salt
	for err == nil && sc.pos < end {
		var f frame
		var at loc
		if f, at, err = sc.next(m.dead); err != nil {
			break
		}
		if err = f.isIn(v.cold); err == nil && f.typ != frameData {
			err = f.checkPayload(sc.salt)
		}
		if err == nil {
			err = m.frame(&f, at)
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
	var val []byte
	var err error
	if !m.dead {
		if val, _, err = m.s.x.lookup(mv.table, mv.key); err != nil {
			return err
		}
	}
	if val == nil || valuePointer(val) != at {
		if m.learns {
			m.s.cleaner.heat.died(f)
		}
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
	if m.dead {
		if m.learns {
			m.s.cleaner.heat.overwritten(f, f.offset, f.offset+uint64(f.length))
		}
		return nil
	}
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
	if m.learns {
		dead := f.offset
		for _, e := range parts {
			m.s.cleaner.heat.overwritten(f, dead, e.off)
			dead = e.end()
		}
		m.s.cleaner.heat.overwritten(f, dead, f.offset+uint64(f.length))
	}
	if len(parts) == 0 {
		return nil
	}
	if err := f.checkPayload(m.salt); err != nil {
		return err
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
		most := m.cutToRoom(most)
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

// cutToRoom fits the next range to what is left in the segment that it goes to, so that the end of that is not
// left empty: it cuts the range in two if need be, and returns how much of the file, most at most, a frame may have.
func (m *mover) cutToRoom(most int) int {
	p := m.parts[0]
	h := m.s.cleaner.heads[m.head(&p.f)]
	if h == nil || m.s.o.Cleaner.Compress { // how much room compressed data take is not known
		return most
	}
	room := h.room(m.s.segs.size)
	switch n := int(p.f.length); {
	case n <= room:
		return min(most, room)
	case room == 0:
		return most
	}
	rest := p
	rest.f.offset, rest.f.length, rest.data = p.f.offset+uint64(room), p.f.length-uint32(room), p.data[room:]
	p.f.length, p.data = uint32(room), p.data[:room]
	m.parts = slices.Insert(m.parts, 1, rest)
	m.parts[0] = p
	return room
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
	size := int(f.size)
	switch {
	case packed != nil:
		size = len(packed)
	case data != nil: // a part of what the frame had, or more
		size = tableSize(len(data)) + len(data)
	}
	k, err := m.headFor(f, frameHeaderSize+pad8(size))
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

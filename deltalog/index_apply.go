package deltalog

import (
	"fmt"
	"math"
	"slices"
)

// apply enters a frame that lies at at. Frames must come in the order of the
// log. The payload is copied.
//
// Replay may apply a frame again over a database that knows it, and later ones,
// already (a checkpoint that was cut short). Records are whole states, so the
// newest is what stays once replay has caught up; extents carry their LSNs, and
// an older one never takes a range from a newer.
func (x *index) apply(f *frame, at loc) error {
	if f.ino > x.maxIno && f.ino&Born != 0 {
		x.mu.Lock()
		x.maxIno = f.ino
		x.mu.Unlock()
	}
	switch f.typ {
	case frameInode:
		x.put(tableInode, keyOfIno(f.layer, f.ino), pointerValue(at, f.payload), f.lsn)
	case frameOrigin:
		x.put(tableOrigin, keyOfIno(f.layer, f.ino), pointerValue(at, f.payload), f.lsn)
	case frameLayer:
		x.put(tableLayer, keyOfLayer(f.layer), pointerValue(at, f.payload), f.lsn)
		return x.loadLayers()
	case frameLayerGone:
		if plantKeepDropped {
			return nil
		}
		x.put(tableLayer, keyOfLayer(f.layer), nil, f.lsn)
		return x.loadLayers()
	case frameEntry, frameEntryGone:
		return x.applyEntry(f, at)
	case frameData:
		return x.applyData(f, at)
	case frameTruncate:
		return x.cutFile(f.layer, f.ino, f.offset, f.lsn)
	case frameDrop:
		x.put(tableInode, keyOfIno(f.layer, f.ino), nil, f.lsn)
		return x.cutFile(f.layer, f.ino, 0, f.lsn)
	}
	return nil
}

func (x *index) applyEntry(f *frame, at loc) error {
	n := int64(f.length)
	if n == 0 || n > MaxName || n > int64(len(f.payload)) {
		return fmt.Errorf("%w: name of %d bytes in a frame with %d", ErrDamaged, n, len(f.payload))
	}
	key := keyOfEntry(f.layer, f.ino, f.offset, f.payload[:n])
	var val []byte
	if f.typ == frameEntry {
		val = pointerValue(at, f.payload[n:])
	}
	x.put(tableEntry, key, val, f.lsn)
	return nil
}

// put enters a pair; a nil value says that the key is gone.
func (x *index) put(t table, key, val []byte, lsn LSN) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if it, ok := x.mem.get(t, key); ok && it.lsn > lsn {
		return
	}
	x.mem.set(t, item{key: key, val: val, lsn: lsn})
}

// applyData enters a range of file data, region by region.
func (x *index) applyData(f *frame, at loc) error {
	if f.length == 0 {
		return nil
	}
	if f.length > MaxData || f.offset > math.MaxInt64-uint64(f.length) {
		return fmt.Errorf("%w: data frame of %d bytes at offset %d", ErrDamaged, f.length, f.offset)
	}
	whole := extent{off: f.offset, length: f.length, frameOff: at.off, seg: at.seg, lsn: f.lsn}
	for r := regionOf(whole.off); r < whole.end(); r += regionSize {
		e, _ := whole.clip(r, r+regionSize)
		if err := x.insertExtent(f.layer, f.ino, e); err != nil {
			return err
		}
	}
	return nil
}

// insertExtent rewrites the chunks that e, which lies in one region, meets.
func (x *index) insertExtent(l LayerID, ino Ino, e extent) error {
	chunks, err := x.chunks(l, ino, e.off, e.end())
	if err != nil {
		return err
	}
	start := regionOf(e.off)
	if len(chunks) > 0 {
		if first := keyTail(chunks[0].key); first <= e.off {
			start = first
		}
	}
	var old []extent
	for _, c := range chunks {
		old = appendChunk(old, c.val)
	}
	es := insert(make([]extent, 0, len(old)+2), old, e)
	grown := e.off >= es[len(es)-1].off
	x.replaceChunks(l, ino, start, chunks, pack(es, grown))
	return nil
}

// chunks returns the chunks that hold extents of [from, to), which lies in one
// region. The first may begin before from.
func (x *index) chunks(l LayerID, ino Ino, from, to uint64) ([]pair, error) {
	first, err := x.floor(tableExtent, keyOfExtent(l, ino, regionOf(from)), keyOfExtent(l, ino, from))
	if err != nil {
		return nil, err
	}
	lo := from
	if first.val != nil {
		lo = keyTail(first.key)
	}
	var cs []pair
	err = x.each(tableExtent, keyOfExtent(l, ino, lo), keyOfExtent(l, ino, to), func(p pair) bool {
		cs = append(cs, p)
		return true
	})
	return cs, err
}

// replaceChunks puts new chunks in the place of old ones. The first begins at
// start, the others at their first extents.
func (x *index) replaceChunks(l LayerID, ino Ino, start uint64, old []pair, chunks [][]extent) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := make(map[uint64]bool, len(chunks))
	for i, es := range chunks {
		if i > 0 {
			start = es[0].off
		}
		now[start] = true
		x.setChunkLocked(keyOfExtent(l, ino, start), es)
	}
	for _, c := range old {
		if !now[keyTail(c.key)] {
			x.setChunkLocked(c.key, nil)
			x.moved++
		}
	}
}

func (x *index) setChunkLocked(key []byte, es []extent) {
	var newest LSN
	for _, e := range es {
		newest = max(newest, e.lsn)
	}
	x.mem.set(tableExtent, item{key: key, val: encodeChunk(es), lsn: newest})
}

// cutFile ends a file's extents at length.
func (x *index) cutFile(l LayerID, ino Ino, length uint64, lsn LSN) error {
	lo := length
	if lo > maxFile || plantNoTruncate {
		return nil
	}
	first, err := x.floor(tableExtent, keyOfExtent(l, ino, regionOf(lo)), keyOfExtent(l, ino, lo))
	if err != nil {
		return err
	}
	if first.val != nil {
		lo = keyTail(first.key)
	}
	return x.each(tableExtent, keyOfExtent(l, ino, lo), prefixEnd(keyOfIno(l, ino)), func(p pair) bool {
		es := appendChunk(nil, p.val)
		left := cut(make([]extent, 0, len(es)), es, length, lsn)
		if !slices.Equal(left, es) {
			x.mu.Lock()
			x.setChunkLocked(p.key, left)
			x.mu.Unlock()
		}
		return true
	})
}

// relocate moves the pointer of a record from one frame to a copy of it, if the
// index still has it there. It runs as apply does: one at a time.
func (x *index) relocate(m *move) error {
	if m.table == tableExtent {
		return x.relocateData(m)
	}
	val, lsn, err := x.lookup(m.table, m.key)
	if err != nil || val == nil || valuePointer(val) != m.from && !plantNoCAS {
		return err
	}
	x.put(m.table, m.key, pointerValue(m.to, valueRecord(val)), lsn)
	return nil
}

// relocateData does so for what is left of a range of file data.
func (x *index) relocateData(m *move) error {
	for at := m.off; at < m.end; at = min(regionOf(at)+regionSize, m.end) {
		chunks, err := x.chunks(m.layer, m.ino, at, min(regionOf(at)+regionSize, m.end))
		if err != nil {
			return err
		}
		for _, c := range chunks {
			es := appendChunk(nil, c.val)
			moved := false
			for i := range es {
				e := &es[i]
				if e.seg == m.from.seg && e.frameOff == m.from.off && e.off >= m.off && e.end() <= m.end {
					e.seg, e.frameOff, moved = m.to.seg, m.to.off, true
				}
			}
			if moved {
				x.mu.Lock()
				x.setChunkLocked(c.key, es)
				x.mu.Unlock()
			}
		}
	}
	return nil
}

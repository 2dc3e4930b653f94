package deltalog

import (
	"bytes"
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
		if f.typ == frameInode { // there cannot be one yet
			x.setLocked(tableInode, item{key: keyOfIno(f.layer, f.ino), val: pointerValue(at, f.payload), lsn: f.lsn}, nil)
		}
		x.mu.Unlock()
		if f.typ == frameInode {
			return nil
		}
	}
	switch f.typ {
	case frameInode:
		return x.put(tableInode, keyOfIno(f.layer, f.ino), pointerValue(at, f.payload), f.lsn)
	case frameOrigin:
		return x.put(tableOrigin, keyOfIno(f.layer, f.ino), pointerValue(at, f.payload), f.lsn)
	case frameLayer:
		if err := x.put(tableLayer, keyOfLayer(f.layer), pointerValue(at, f.payload), f.lsn); err != nil {
			return err
		}
		return x.loadLayers()
	case frameLayerGone:
		if plantKeepDropped {
			return nil
		}
		if err := x.put(tableLayer, keyOfLayer(f.layer), nil, f.lsn); err != nil {
			return err
		}
		return x.loadLayers()
	case frameEntry, frameEntryGone:
		return x.applyEntry(f, at)
	case frameData:
		return x.applyData(f, at)
	case frameTruncate:
		if f.layer == noLayer {
			return x.put(tableOrigin, keyOfIno(noLayer, f.ino), nil, f.lsn)
		}
		return x.cutFile(f.layer, f.ino, f.offset, f.lsn)
	case frameDrop:
		if err := x.put(tableInode, keyOfIno(f.layer, f.ino), nil, f.lsn); err != nil {
			return err
		}
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
	return x.put(tableEntry, key, val, f.lsn)
}

// put enters a pair; a nil value says that the key is gone.
func (x *index) put(t table, key, val []byte, lsn LSN) error {
	old, _, err := x.lookup(t, key) // the same on whatever level it is when this goes on
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if it, ok := x.mem.get(t, key); !ok || it.lsn <= lsn {
		x.setLocked(t, item{key: key, val: val, lsn: lsn}, old)
	}
	return nil
}

// setLocked enters a pair in the place of the value old, nil if there is none, and
// counts what is live.
func (x *index) setLocked(t table, it item, old []byte) {
	now := it.val
	if t == tableExtent { // most of a chunk stays as it was
		old, now = differ(old, now)
	}
	if len(old) > 0 {
		x.alive.subValue(t, old)
	}
	if len(now) > 0 {
		x.alive.addValue(t, now)
	}
	if it.val != nil && (t == tableInode || t == tableOrigin) {
		x.inos.add(keyIno(it.key)) // before anybody can look for it
	}
	x.mem.set(t, it)
	if t == tableExtent {
		x.changes++
	}
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

// differ leaves out of two chunks the extents at both ends that they have in common.
func differ(a, b []byte) (_, _ []byte) {
	same := func(x, y []byte) bool { return string(x[:extentSize]) == string(y[:extentSize]) }
	for len(a) > 0 && len(b) > 0 && same(a, b) {
		a, b = a[extentSize:], b[extentSize:]
	}
	for len(a) > 0 && len(b) > 0 && same(a[len(a)-extentSize:], b[len(b)-extentSize:]) {
		a, b = a[:len(a)-extentSize], b[:len(b)-extentSize]
	}
	return a, b
}

// insertExtent rewrites the chunks that e, which lies in one region, meets.
func (x *index) insertExtent(l LayerID, ino Ino, e extent) error {
	if a := x.last.Swap(nil); a != nil {
		x.near, a = a, x.near
		arounds.Put(a)
	}
	chunks, err := x.near.whole(x, l, ino, e.off, e.end())
	if err != nil {
		return err
	}
	start := regionOf(e.off)
	if len(chunks) > 0 {
		if first := keyTail(chunks[0].key); first <= e.off {
			start = first
		}
	}
	old := x.scratch[0][:0]
	for _, c := range chunks {
		old = appendChunk(old, c.val)
	}
	es := insert(x.scratch[1][:0], old, e)
	x.scratch[0], x.scratch[1] = old, es
	grown := e.off >= es[len(es)-1].off
	x.replaceChunks(l, ino, start, chunks, pack(es, grown), x.near.upTo)
	return nil
}

// replaceChunks puts new chunks in the place of old ones. The first begins at
// start, the others at their first extents. What was old is not to be used any more. upTo is as of item, for the last.
func (x *index) replaceChunks(l LayerID, ino Ino, start uint64, old []pair, chunks [][]extent, upTo uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, es := range chunks {
		if i > 0 {
			start = es[0].off
		}
		var was []byte
		if i := slices.IndexFunc(old, func(c pair) bool { return keyTail(c.key) == start }); i >= 0 {
			was = old[i].val
			old[i] = old[len(old)-1]
			old = old[:len(old)-1]
		}
		end := upTo
		if i+1 < len(chunks) {
			end = chunks[i+1][0].off
		}
		end = min(end, regionOf(start)+regionSize) // what is behind comes and goes without a look at this one
		x.setChunkLocked(keyOfExtent(l, ino, start), es, was, end)
	}
	for _, c := range old {
		x.setChunkLocked(bytes.Clone(c.key), nil, c.val, 0)
	}
}

// setChunkLocked puts a chunk in the place of the value old.
func (x *index) setChunkLocked(key []byte, es []extent, old []byte, upTo uint64) {
	var newest LSN
	for _, e := range es {
		newest = max(newest, e.lsn)
	}
	x.setLocked(tableExtent, item{key, encodeChunk(es), newest, upTo}, old)
}

// cutFile ends a file's extents at length.
func (x *index) cutFile(l LayerID, ino Ino, length uint64, lsn LSN) error {
	if length > maxFile || plantNoTruncate {
		return nil
	}
	cutChunk := func(p pair) bool {
		es := appendChunk(nil, p.val)
		left := cut(make([]extent, 0, len(es)), es, length, lsn)
		if !slices.Equal(left, es) {
			x.mu.Lock()
			x.setChunkLocked(bytes.Clone(p.key), left, p.val, 0)
			x.mu.Unlock()
		}
		return true
	}
	ps, next, err := x.near.chunks(x, l, ino, length, math.MaxUint64, pageFirst)
	if err != nil {
		return err
	}
	for _, p := range ps {
		cutChunk(p)
	}
	return x.each(tableExtent, next, prefixEnd(keyOfIno(l, ino)), cutChunk)
}

// relocate moves the pointer of a record from one frame to a copy of it, if the
// index still has it there. It runs as apply does: one at a time.
func (x *index) relocate(m *move) error {
	if m.table == tableExtent {
		return x.repointData(m.layer, m.ino, m.off, m.end, m.to, m.lsn, func(e extent) bool {
			return e.seg == m.from.seg && e.frameOff == m.from.off
		})
	}
	val, lsn, err := x.lookup(m.table, m.key)
	if err != nil || val == nil || valuePointer(val) != m.from && !plantNoCAS {
		return err
	}
	return x.put(m.table, m.key, pointerValue(m.to, valueRecord(val)), lsn)
}

// redo moves the pointers of what a frame of a cold segment is a copy of, or of
// what that is a copy of, as relocate has done in an earlier process. What is
// newer than the copy, or not there, stays so: nothing was written between an original
// and its copy, or there would be none.
func (x *index) redo(f *frame, at loc) error {
	switch {
	case plantNoRedo || f.typ.tombstone() || !f.typ.record():
		return nil
	case f.typ == frameData:
		return x.repointData(f.layer, f.ino, f.offset, f.offset+uint64(f.length), at, f.lsn, func(e extent) bool {
			return e.lsn <= f.lsn
		})
	}
	t, key := keyOfFrame(f)
	val, lsn, err := x.lookup(t, key)
	if err != nil || val == nil || lsn != f.lsn {
		return err
	}
	return x.put(t, key, pointerValue(at, valueRecord(val)), lsn)
}

// repointData lets those extents in [off, end) of a file that are meant point to the
// frame at to, which has LSN lsn.
func (x *index) repointData(l LayerID, ino Ino, off, end uint64, to loc, lsn LSN, meant func(extent) bool) error {
	for at := off; at < end; at = min(regionOf(at)+regionSize, end) {
		limit := min(regionOf(at)+regionSize, end)
		chunks, _, err := x.near.chunks(x, l, ino, at, limit, math.MaxInt)
		if err != nil {
			return err
		}
		var es []extent
		moved := false
		for _, c := range chunks {
			for i := range chunkLen(c.val) {
				e := chunkAt(c.val, i)
				in, ok := e.clip(at, limit)
				if !ok || !meant(e) {
					es = push(es, e)
					continue
				}
				if before, ok := e.clip(0, in.off); ok {
					es = push(es, before)
				}
				moved = true
				es = push(es, extent{in.off, in.length, to.off, to.seg, lsn})
				if after, ok := e.clip(in.end(), math.MaxUint64); ok {
					es = push(es, after)
				}
			}
		}
		if moved {
			x.replaceChunks(l, ino, keyTail(chunks[0].key), chunks, pack(es, false), x.near.upTo)
		}
	}
	return nil
}

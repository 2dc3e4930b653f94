package deltalog

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// extent is a range of a file whose bytes lie in one DATA frame. Where in the
// frame follows from the file offset in the frame's header, so an extent can be
// cut anywhere without knowing the frame.
type extent struct {
	off      uint64 // of the first byte in the file
	length   uint32 // bytes, never 0
	frameOff uint32 // of the frame in its segment
	seg      uint64
	lsn      LSN // of the frame
}

func (e extent) end() uint64 { return e.off + uint64(e.length) }

// sameFrame tells whether two extents come from one frame.
func (e extent) sameFrame(o extent) bool {
	return e.seg == o.seg && e.frameOff == o.frameOff && e.lsn == o.lsn
}

// clip returns the part of e within [from, to), and whether there is any.
func (e extent) clip(from, to uint64) (extent, bool) {
	from, to = max(e.off, from), min(e.end(), to)
	if from >= to {
		return extent{}, false
	}
	e.off, e.length = from, uint32(to-from)
	return e, true
}

const (
	extentSize   = 32
	regionSize   = 4 << 20       // bytes of a file whose extents may share a chunk
	chunkMax     = 4 << 10       // bytes of a chunk's value, trailer included
	chunkExtents = 31            // that are put into one: to change one of them all are written
	maxFile      = math.MaxInt64 // no extent ends behind it
)

// A chunk is the value of one key of the extent table: extents in ascending
// order that do not overlap. The first chunk of a region begins at the region's
// first byte, the others where they were split off; an empty chunk has no key.

func regionOf(off uint64) uint64 { return off &^ (regionSize - 1) }

func chunkLen(v []byte) int { return len(v) / extentSize }

func chunkAt(v []byte, i int) extent {
	v = v[i*extentSize:][:extentSize]
	return extent{
		off:      binary.LittleEndian.Uint64(v),
		length:   binary.LittleEndian.Uint32(v[8:]),
		frameOff: binary.LittleEndian.Uint32(v[12:]),
		seg:      binary.LittleEndian.Uint64(v[16:]),
		lsn:      LSN(binary.LittleEndian.Uint64(v[24:])),
	}
}

// chunkEnd is chunkAt(v, i).end().
func chunkEnd(v []byte, i int) uint64 {
	v = v[i*extentSize:][:extentSize]
	return binary.LittleEndian.Uint64(v) + uint64(binary.LittleEndian.Uint32(v[8:]))
}

func appendExtent(v []byte, e extent) []byte {
	v = binary.LittleEndian.AppendUint64(v, e.off)
	v = binary.LittleEndian.AppendUint32(v, e.length)
	v = binary.LittleEndian.AppendUint32(v, e.frameOff)
	v = binary.LittleEndian.AppendUint64(v, e.seg)
	return binary.LittleEndian.AppendUint64(v, uint64(e.lsn))
}

// encodeChunk returns the value of a chunk, nil for an empty one.
func encodeChunk(es []extent) []byte {
	if len(es) == 0 {
		return nil
	}
	v := make([]byte, 0, len(es)*extentSize)
	for _, e := range es {
		v = appendExtent(v, e)
	}
	return v
}

func appendChunk(es []extent, v []byte) []extent {
	for i := range chunkLen(v) {
		es = append(es, chunkAt(v, i))
	}
	return es
}

// packChunk appends to dst the form in which the database holds the chunk v, which begins
// at start and whose newest extent has LSN newest: a third of the bytes. What extents have
// in common with the one before is what most of them have in common with it.
func packChunk(dst []byte, start uint64, v []byte, newest LSN) []byte {
	pos, seg, lsn := start, uint64(0), newest
	for i := range chunkLen(v) {
		e := chunkAt(v, i)
		dst = binary.AppendUvarint(dst, e.off-pos)
		dst = binary.AppendUvarint(dst, uint64(e.length))
		dst = binary.AppendVarint(dst, int64(e.seg-seg))
		dst = binary.AppendUvarint(dst, uint64(bits.RotateLeft32(e.frameOff, -3))) // frames begin at multiples of 8
		dst = binary.AppendVarint(dst, int64(e.lsn-lsn))
		pos, seg, lsn = e.end(), e.seg, e.lsn
	}
	return dst
}

// unpackChunk appends to dst the chunk that packChunk has packed.
func unpackChunk(dst []byte, start uint64, packed []byte, newest LSN) ([]byte, error) {
	return unpackPart(dst, start, packed, newest, 0, math.MaxUint64)
}

// unpackPart appends to dst those extents of it that hold something of [from, to).
func unpackPart(dst []byte, start uint64, packed []byte, newest LSN, from, to uint64) ([]byte, error) {
	e := extent{off: start, lsn: newest} // as if it ended there
	for len(packed) > 0 {
		var f [5]uint64
		for i := range f {
			n, size := uint64(0), 1
			if len(packed) > 0 && packed[0] < 0x80 { // as most are
				n = uint64(packed[0])
			} else if n, size = binary.Uvarint(packed); size <= 0 {
				return nil, badChunk(start)
			}
			f[i], packed = n, packed[size:]
		}
		if f[1] > math.MaxUint32 || f[3] > math.MaxUint32 {
			return nil, badChunk(start)
		}
		e.off = e.end() + f[0]
		e.length = uint32(f[1])
		e.seg += unzigzag(f[2])
		e.frameOff = bits.RotateLeft32(uint32(f[3]), 3)
		e.lsn += LSN(unzigzag(f[4]))
		switch {
		case e.end() <= from:
			continue
		case e.off >= to:
			return dst, nil
		case len(dst) > chunkMax:
			return nil, badChunk(start)
		}
		dst = appendExtent(dst, e)
	}
	return dst, nil
}

func unzigzag(n uint64) uint64 { return n>>1 ^ -(n & 1) }

func badChunk(start uint64) error {
	return indexBad("the chunk at %d is not packed as chunks are", start)
}

// checkChunk tells whether v can be the chunk that begins at start.
func checkChunk(start uint64, v []byte) error {
	if len(v) == 0 || len(v)%extentSize != 0 || len(v) > chunkMax-trailerSize {
		return indexBad("chunk of %d bytes", len(v))
	}
	if start > maxFile {
		return indexBad("chunk at offset %d", start)
	}
	pos, limit := start, regionOf(start)+regionSize
	for i := range chunkLen(v) {
		e := chunkAt(v, i)
		if e.length == 0 || e.off < pos || e.off >= limit || e.end() > limit {
			return indexBad("extent [%d,+%d) out of place in the chunk at %d", e.off, e.length, start)
		}
		pos = e.end()
	}
	return nil
}

// insert puts n into es, ascending extents of one region, where it wins over
// what is not newer and yields to what is. It appends the result to dst.
func insert(dst, es []extent, n extent) []extent {
	pos, end := n.off, n.end() // [pos, end) of n is not placed yet
	place := func(to uint64) {
		if c, ok := n.clip(pos, to); ok {
			dst = push(dst, c)
		}
		pos = max(pos, to)
	}
	for _, e := range es {
		if e.lsn > n.lsn || e.end() <= n.off || e.off >= n.end() {
			place(min(e.off, end))
			dst = push(dst, e)
			pos = max(pos, min(e.end(), end))
			continue
		}
		if c, ok := e.clip(0, n.off); ok {
			dst = push(dst, c)
		}
		if c, ok := e.clip(n.end(), math.MaxUint64); ok {
			place(end)
			dst = push(dst, c)
		}
	}
	place(end)
	return dst
}

// push appends e, as a longer last extent if the two are one range of one
// frame: replay may have cut what is one again.
func push(es []extent, e extent) []extent {
	if n := len(es); n > 0 && es[n-1].end() == e.off && es[n-1].sameFrame(e) {
		es[n-1].length += e.length
		return es
	}
	return append(es, e)
}

// cut appends to dst what is left of es when nothing that is not newer than
// lsn stays at or behind length.
func cut(dst, es []extent, length uint64, lsn LSN) []extent {
	for _, e := range es {
		if e.lsn <= lsn {
			var ok bool
			if e, ok = e.clip(0, length); !ok {
				continue
			}
		}
		dst = append(dst, e)
	}
	return dst
}

// pack divides the extents of neighbouring chunks into chunks that are small
// enough. A file that grows leaves full chunks behind; others are halved.
func pack(es []extent, grown bool) [][]extent {
	if len(es) <= chunkExtents {
		return [][]extent{es}
	}
	per := chunkExtents
	if !grown {
		n := 1 + (len(es)-1)/chunkExtents
		per = 1 + (len(es)-1)/n
	}
	var out [][]extent
	for len(es) > 0 {
		n := min(per, len(es))
		out = append(out, es[:n])
		es = es[n:]
	}
	return out
}

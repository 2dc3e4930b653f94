package deltalog

import (
	"encoding/binary"
	"hash/crc32"
)

// Values have two forms. In memory a value is what doc.go shows, without the
// trailer, and extents have their full size; the LSN is kept beside it. In the database
// the trailer follows, and chunks are packed. Those of the first databases are not,
// which their trailer tells.
const packed = 1

// pointerValue returns the value of a metadata record: where its frame is, and
// what it says.
func pointerValue(at loc, record []byte) []byte {
	v := make([]byte, 0, pointerSize+len(record))
	v = binary.LittleEndian.AppendUint64(v, at.seg)
	v = binary.LittleEndian.AppendUint32(v, at.off)
	v = binary.LittleEndian.AppendUint32(v, at.size)
	return append(v, record...)
}

// valuePointer and valueRecord take such a value apart.
func valuePointer(v []byte) loc {
	return loc{
		seg:  binary.LittleEndian.Uint64(v),
		off:  binary.LittleEndian.Uint32(v[8:]),
		size: binary.LittleEndian.Uint32(v[12:]),
	}
}

func valueRecord(v []byte) []byte { return v[pointerSize:] }

// pairCRC is the checksum of a pair: over the table, the key, the value as it is stored, and in
// which form, and its LSN. It is also what the bucket's sum is made of.
func pairCRC(t table, key, val []byte, lsn LSN, form uint32) uint32 {
	var head [1]byte
	head[0] = byte(t) | byte(form)<<7
	var tail [8]byte
	binary.LittleEndian.PutUint64(tail[:], uint64(lsn))
	c := crc32.Update(0, castagnoli, head[:])
	c = crc32.Update(c, castagnoli, key)
	c = crc32.Update(c, castagnoli, val)
	return crc32.Update(c, castagnoli, tail[:])
}

// appendStored appends the stored form of a value to dst.
func appendStored(dst []byte, t table, key, val []byte, lsn LSN) []byte {
	at, form := len(dst), uint32(0)
	if t == tableExtent {
		dst, form = packChunk(dst, keyTail(key), val, lsn), packed
	} else {
		dst = append(dst, val...)
	}
	crc := pairCRC(t, key, dst[at:], lsn, form)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(lsn))
	dst = binary.LittleEndian.AppendUint32(dst, crc)
	return binary.LittleEndian.AppendUint32(dst, form)
}

// verified returns the parts of a stored pair whose checksum is right.
func verified(t table, key, stored []byte) (val []byte, lsn LSN, form uint32, err error) {
	if err := checkKey(t, key); err != nil {
		return nil, 0, 0, err
	}
	n := len(stored) - trailerSize
	if n < 0 {
		return nil, 0, 0, indexBad("%s value of %d bytes", t, len(stored))
	}
	val, trailer := stored[:n], stored[n:]
	lsn = LSN(binary.LittleEndian.Uint64(trailer))
	form = binary.LittleEndian.Uint32(trailer[12:])
	if form > packed || form == packed && t != tableExtent || binary.LittleEndian.Uint32(trailer[8:]) != pairCRC(t, key, val, lsn, form) {
		return nil, 0, 0, indexBad("checksum of a value in bucket %s is wrong", t)
	}
	return val, lsn, form, nil
}

// openStored verifies a stored pair. It returns the value, in buf if there is room, and
// its LSN. What it returns has the size that its table asks for.
func openStored(buf []byte, t table, key, stored []byte) ([]byte, LSN, error) {
	val, lsn, form, err := verified(t, key, stored)
	if err != nil {
		return nil, 0, err
	}
	if form == packed {
		if val, err = unpackChunk(buf[:0], keyTail(key), val, lsn); err != nil {
			return nil, 0, err
		}
	} else {
		val = append(buf[:0], val...)
	}
	return val, lsn, checkValue(t, key, val)
}

// storedCRC is the checksum in a stored value, which must be verified before.
func storedCRC(stored []byte) uint32 {
	return binary.LittleEndian.Uint32(stored[len(stored)-8:])
}

// checkValue tells whether val has the shape that t asks for.
func checkValue(t table, key, val []byte) error {
	if t == tableExtent {
		return checkChunk(keyTail(key), val)
	}
	if len(val) < pointerSize {
		return indexBad("%s value of %d bytes", t, len(val))
	}
	return nil
}

// eachLive calls fn with the live bytes that a value stands for, by segment.
func eachLive(t table, val []byte, fn func(seg uint64, bytes int64)) {
	if t != tableExtent {
		at := valuePointer(val)
		fn(at.seg, int64(at.size))
		return
	}
	for i := range chunkLen(val) {
		e := chunkAt(val, i)
		fn(e.seg, int64(e.length))
	}
}

// liveBytes counts live bytes by segment. Segments without any are absent.
type liveBytes map[uint64]int64

func (b liveBytes) add(seg uint64, n int64) {
	if b[seg] += n; b[seg] == 0 {
		delete(b, seg)
	}
}

func (b liveBytes) addValue(t table, val []byte) { eachLive(t, val, b.add) }

func (b liveBytes) subValue(t table, val []byte) {
	eachLive(t, val, func(seg uint64, n int64) { b.add(seg, -n) })
}

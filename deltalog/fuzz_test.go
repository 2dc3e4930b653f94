package deltalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"testing"
)

const fuzzSalt = 0x1badcafe

// mend gives the frames in p right checksums, LSNs and COMMITs, so that a
// fuzzer gets past them.
func mend(p []byte) {
	lsn, chain, headers, frames := LSN(1), uint32(0), uint32(fuzzSalt), uint32(0)
	for off := 0; off+frameHeaderSize <= len(p); {
		h := p[off:]
		var f frame
		h[2], h[3] = 0, 0
		binary.LittleEndian.PutUint64(h[8:], uint64(lsn))
		parseFrameHeader(h, &f)
		if f.check() != nil || f.space() > len(h) {
			return
		}
		payload := h[frameHeaderSize:][:f.size]
		if f.typ == frameCommit {
			binary.LittleEndian.PutUint32(payload, headers)
			chain = nextChain(chain, headers, lsn)
			binary.LittleEndian.PutUint32(payload[4:], chain)
			binary.LittleEndian.PutUint32(payload[16:], frames)
			binary.LittleEndian.PutUint32(payload[20:], f.size-commitFixed)
		}
		table := 0
		if f.flags&flagTable != 0 {
			table = tableSize(int(f.length))
		}
		binary.LittleEndian.PutUint32(h[40:], sumPayload(payload, table, fuzzSalt))
		binary.LittleEndian.PutUint32(h[44:], saltedSum(fuzzSalt, h[:44]))
		headers, frames = crc32.Update(headers, castagnoli, h[:frameHeaderSize]), frames+1
		if f.typ == frameCommit {
			lsn, headers, frames = lsn+1, fuzzSalt, 0
		}
		off += f.space()
	}
}

// fuzzBatches are batches with all types of frames.
func fuzzBatches() []byte {
	return encodeBatches([]func(b *Batch){
		func(b *Batch) {
			b.Inode(1, 5, &Inode{Mode: TypeSymlink, Nlink: 1, Target: "to"})
			b.Entry(1, 1, 9, "name", Entry{Ino: 5, Type: TypeSymlink})
			b.EntryGone(1, 1, 9, "gone")
			b.Origin(5, Origin{Parent: 1, Name: "of the base"})
			b.Tag([]byte("tag"))
		},
		func(b *Batch) {
			b.Data(1, 6, 100, []byte("data"))
			b.Truncate(1, 6, 50)
			b.Drop(1, 7)
			b.Layer(Layer{ID: 2, Parent: 1, View: 9, Name: "fork"})
		},
		func(b *Batch) { b.trim(3) },
		func(b *Batch) { b.seal([]sealEntry{{sealKey{1, 5}, 1}, {sealKey{1, 6}, 2}}) },
	})
}

// encodeBatches returns the bytes of batches at the start of a segment.
func encodeBatches(fill []func(b *Batch)) (all []byte) {
	chain := uint32(0)
	for i, fn := range fill {
		var b Batch
		fn(&b)
		var p []byte
		p, chain = finished(&b, fuzzSalt, chain, LSN(i+1), LSN(i), Born)
		all = append(all, p...)
	}
	return all
}

// FuzzSegment reads any bytes as the batches of a segment. What is accepted has
// right checksums, lies inside the segment, and what its records say is written
// back as the same bytes.
func FuzzSegment(f *testing.F) {
	all := fuzzBatches()
	f.Add(all, false)
	f.Add(all, true)
	f.Add(all[:len(all)-100], true)
	f.Add(encodeBatches([]func(b *Batch){func(b *Batch) { b.Data(1, 6, 1<<20, make([]byte, blockSize+1)) }}), true)
	f.Fuzz(func(t *testing.T, p []byte, mended bool) {
		p = bytes.Clone(p[:len(p)&^7])
		if mended {
			mend(p)
		}
		seg := append(make([]byte, segHeaderSize), p...)
		h := &segHeader{id: 1, salt: fuzzSalt, first: 1}
		end, err := scanSegment(bytes.NewReader(seg), h, int64(len(seg)), func(b *logBatch) error {
			for i := range b.frames {
				reencode(t, &b.frames[i])
			}
			return nil
		})
		if err != nil && !errors.Is(err, errFrame) {
			t.Fatalf("scan: %v", err)
		}
		if end < segHeaderSize || end > int64(len(seg)) {
			t.Fatalf("scan ends at %d of %d", end, len(seg))
		}
		last, _, err := lookAhead(bytes.NewReader(seg), h, segHeaderSize, int64(len(seg)), 1)
		if err != nil || last > int64(len(seg)) {
			t.Fatalf("look-ahead: %d of %d, %v", last, len(seg), err)
		}
	})
}

// reencode decodes the payload of an accepted frame and encodes it again.
func reencode(t *testing.T, f *frame) {
	var again []byte
	var err error
	switch f.typ {
	case frameInode:
		var i Inode
		if i, err = decodeInode(f.payload); err == nil {
			again = appendInode(nil, &i)
		}
	case frameEntry:
		var name string
		var e Entry
		if name, e, err = decodeEntryFrame(f); err == nil {
			var b Batch
			b.Entry(f.layer, f.ino, f.offset, name, e)
			again = b.buf[frameHeaderSize:][:f.size]
		}
	case frameOrigin:
		var o Origin
		if o, err = decodeOrigin(f.payload); err == nil {
			again = appendOrigin(nil, o)
		}
	case frameLayer:
		var l Layer
		if l, err = decodeLayer(f.layer, f.payload); err == nil {
			again = appendLayer(nil, l)
		}
	case frameSeal:
		var entries []sealEntry
		if entries, err = decodeSeal(f.payload); err == nil {
			var b Batch
			b.seal(entries)
			again = b.buf[frameHeaderSize:][:f.size]
		}
	default:
		return
	}
	if err == nil && !bytes.Equal(again, f.payload) {
		t.Fatalf("%v %x is written back as %x", f.typ, f.payload, again)
	}
}

// FuzzHeaders reads any bytes as the superblock of a store, and as the header
// of a segment. What is accepted is written back as the same bytes.
func FuzzHeaders(f *testing.F) {
	sb := &superblock{version: formatVersion, id: StoreID{1, 2}, segment: minSegment, labels: map[string]string{"base": "/a b\n"}}
	f.Add(sb.encode(), true)
	f.Add(encodeSegHeader(&segHeader{kind: kindHot, id: 2, salt: 3, prev: 1, prevEnd: 1024, first: 4, next: Born}), true)
	f.Fuzz(func(t *testing.T, p []byte, mended bool) {
		super, seg := bytes.Clone(p), bytes.Clone(p)
		if mended {
			super = mendSuper(super)
			if len(seg) >= segHeaderSize {
				binary.LittleEndian.PutUint32(seg[508:], saltedSum(0, seg[:508]))
			}
		}
		if s, err := decodeSuper(super); err == nil && !bytes.Equal(s.encode(), super) {
			t.Fatalf("superblock %q is written back as %q", super, s.encode())
		}
		if h, err := decodeSegHeader(seg, 0); err == nil && !bytes.Equal(encodeSegHeader(&h), seg[:segHeaderSize]) {
			t.Fatalf("segment header %x is written back as %x", seg[:segHeaderSize], encodeSegHeader(&h))
		}
	})
}

// mendSuper gives a superblock a right last line.
func mendSuper(p []byte) []byte {
	i := bytes.LastIndex(p, []byte("crc "))
	if i < 0 {
		return p
	}
	var b bytes.Buffer
	b.Write(p[:i])
	io.WriteString(&b, "crc ")
	sum := crc32.Checksum(p[:i], castagnoli)
	for shift := 28; shift >= 0; shift -= 4 {
		b.WriteByte("0123456789abcdef"[sum>>shift&15])
	}
	b.WriteByte('\n')
	return b.Bytes()
}

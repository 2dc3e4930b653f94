package deltalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"deltafs/deltalog/disk"
)

// keptBuffer is the largest buffer that Reset keeps for the next use.
const keptBuffer = 4 << 20

// worthHolding is from how many bytes on data is written from where it is: less is copied
// faster than it is written as a piece of its own.
const worthHolding = 64 << 10

// Batch collects the changes of one operation. It is not for concurrent use.
// Everything given to it is copied at once, but for [Batch.DataNoCopy]. After Append it can
// be Reset and used again. A change beyond a limit of this package makes Append fail.
type Batch struct {
	buf    []byte // frames, complete but for LSNs and checksums; then the COMMIT
	held   []byte // of one DATA frame: its data, which is not in buf
	heldAt int    // where in buf it belongs
	sums   []byte // of held: see DataNoCopy; nil: not known
	starts []int  // where the frames begin, counted with what is held: see at
	tag    []byte
	data   bool   // holds file data
	inner  bool   // of the store itself: may write to frozen layers
	salt   uint32 // payload checksums were computed with it; 0: not yet
	err    error  // the first limit that was broken
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	if cap(b.buf) > keptBuffer {
		b.buf = nil
	}
	b.buf, b.starts, b.tag = b.buf[:0], b.starts[:0], b.tag[:0]
	b.held, b.heldAt, b.sums = nil, 0, nil
	b.data, b.inner, b.salt, b.err = false, false, 0, nil
}

// Inode writes the whole record of an inode.
func (b *Batch) Inode(l LayerID, ino Ino, r *Inode) {
	if len(r.Target) > MaxTarget {
		b.fail("symlink target of %d bytes", len(r.Target))
		return
	}
	b.begin(&frame{typ: frameInode, ino: ino, layer: l})
	b.buf = appendInode(b.buf, r)
	b.end()
}

// Entry sets what a directory holds for a name: an inode, or a whiteout.
func (b *Batch) Entry(l LayerID, dir Ino, cookie uint64, name string, e Entry) {
	if !b.nameOK(name) {
		return
	}
	b.begin(&frame{typ: frameEntry, ino: dir, offset: cookie, layer: l, length: uint32(len(name))})
	b.buf = append(b.buf, name...)
	b.buf = appendEntryValue(b.buf, e)
	b.end()
}

// EntryGone removes the layer's entry or whiteout of a name. What a layer below
// holds for it shows then: see Store.RemoveEntry.
func (b *Batch) EntryGone(l LayerID, dir Ino, cookie uint64, name string) {
	if !b.nameOK(name) {
		return
	}
	b.begin(&frame{typ: frameEntryGone, ino: dir, offset: cookie, layer: l, length: uint32(len(name))})
	b.buf = append(b.buf, name...)
	b.end()
}

// Data writes p, at most MaxData bytes, at off of a file. The inode's Size is
// the caller's to set.
func (b *Batch) Data(l LayerID, ino Ino, off int64, p []byte) { b.write(l, ino, off, p, false) }

// DataNoCopy is Data of bytes that the caller leaves as they are until Append has returned:
// much of it is written to the log from where it is. Sums are those of p ([AppendSum]) if they
// are known, for example since p was summed while it arrived, or nil; what is read is verified by
// them, so data that they do not belong to is damaged data.
func (b *Batch) DataNoCopy(l LayerID, ino Ino, off int64, p, sums []byte) {
	hold := len(p) >= worthHolding && b.held == nil
	b.write(l, ino, off, p, hold)
	if hold && len(sums) == 4*blocks(len(p)) {
		b.sums = sums
	}
}

func (b *Batch) write(l LayerID, ino Ino, off int64, p []byte, hold bool) {
	if len(p) == 0 {
		return
	}
	if len(p) > MaxData || off < 0 || off > math.MaxInt64-int64(len(p)) {
		b.fail("%d bytes of data at offset %d", len(p), off)
		return
	}
	f := frame{typ: frameData, ino: ino, offset: uint64(off), layer: l, length: uint32(len(p))}
	table := tableSize(len(p))
	if table > 0 {
		f.flags = flagTable
	}
	// With the record of the inode and the COMMIT, so that nothing moves again.
	room := frameHeaderSize + table + 1<<10
	if !hold {
		room += len(p)
	}
	b.buf = slices.Grow(b.buf, room)
	b.begin(&f)
	b.buf = append(b.buf, zeros[:table]...) // filled by sum
	if hold {
		b.held, b.heldAt = p, len(b.buf)
	} else {
		b.buf = append(b.buf, p...)
	}
	b.end()
	b.data = true
}

// Truncate drops the data at and beyond length.
func (b *Batch) Truncate(l LayerID, ino Ino, length uint64) {
	b.begin(&frame{typ: frameTruncate, ino: ino, offset: length, layer: l})
	b.end()
}

// Drop removes the layer's record and all data of an inode; its origin stays.
// What a layer below holds shows then: see Store.RemoveInode.
func (b *Batch) Drop(l LayerID, ino Ino) {
	b.begin(&frame{typ: frameDrop, ino: ino, layer: l})
	b.end()
}

// Origin records where in the base an object lies, for all layers.
func (b *Batch) Origin(ino Ino, o Origin) {
	if len(o.Name) > MaxName {
		b.fail("name of %d bytes", len(o.Name))
		return
	}
	b.begin(&frame{typ: frameOrigin, ino: ino, layer: noLayer})
	b.buf = appendOrigin(b.buf, o)
	b.end()
}

// OriginGone forgets where in the base an object lies: it is a TRUNCATE of layer 0.
func (b *Batch) OriginGone(ino Ino) { b.Truncate(noLayer, ino, 0) }

// Layer writes the record of a layer.
func (b *Batch) Layer(r Layer) {
	if len(r.Name) > MaxName {
		b.fail("layer name of %d bytes", len(r.Name))
		return
	}
	b.begin(&frame{typ: frameLayer, layer: r.ID})
	b.buf = appendLayer(b.buf, r)
	b.end()
}

// layerGone says that there is no such layer any more, nor anything in it.
func (b *Batch) layerGone(id LayerID) {
	b.begin(&frame{typ: frameLayerGone, layer: id})
	b.end()
}

// Tag puts up to MaxTag bytes of the caller's into the COMMIT of the batch.
func (b *Batch) Tag(tag []byte) {
	if len(tag) > MaxTag {
		b.fail("tag of %d bytes", len(tag))
		return
	}
	b.tag = append(b.tag[:0], tag...)
}

func (b *Batch) trim(oldest uint64) {
	b.begin(&frame{typ: frameTrim})
	b.buf = binary.LittleEndian.AppendUint64(b.buf, oldest)
	b.end()
}

func (b *Batch) cold(refs []coldRef) {
	b.begin(&frame{typ: frameCold})
	b.buf = appendCold(b.buf, refs)
	b.end()
}

func (b *Batch) seal(entries []sealEntry) {
	b.begin(&frame{typ: frameSeal})
	b.buf = appendSeal(b.buf, entries)
	b.end()
}

// zeros is the longest CRC table there is, and any padding.
var zeros [(MaxData/blockSize + 1) * 4]byte

var errLimit = errors.New("beyond a limit")

func (b *Batch) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf("%w: %w: %s", ErrTooBig, errLimit, fmt.Sprintf(format, args...))
	}
}

func (b *Batch) nameOK(name string) bool {
	if len(name) == 0 || len(name) > MaxName {
		b.fail("name of %d bytes", len(name))
		return false
	}
	return true
}

// begin appends the header of f, without payload size, LSN and checksums; the
// caller appends the payload.
func (b *Batch) begin(f *frame) {
	b.starts = append(b.starts, b.size())
	var h [frameHeaderSize]byte
	putFrameHeader(h[:], f, 0)
	b.buf = append(b.buf, h[:]...)
	b.salt = 0
}

// size returns the bytes of what there is so far.
func (b *Batch) size() int { return len(b.buf) + len(b.held) }

// at returns the header of frame i, and in buf what is behind it.
func (b *Batch) at(i int) []byte {
	start := b.starts[i]
	if b.held != nil && start >= b.heldAt {
		start -= len(b.held)
	}
	return b.buf[start:]
}

// end closes the frame: size and padding.
func (b *Batch) end() {
	last := len(b.starts) - 1
	n := b.size() - b.starts[last] - frameHeaderSize
	binary.LittleEndian.PutUint32(b.at(last)[4:], uint32(n))
	b.buf = append(b.buf, zeros[:pad8(n)-n]...)
}

// empty tells whether Append would have nothing to write.
func (b *Batch) empty() bool { return len(b.starts) == 0 && len(b.tag) == 0 }

// framesLen returns the bytes of the frames, commitLen those of the COMMIT.
func (b *Batch) framesLen() int {
	if len(b.starts) == 0 {
		return 0
	}
	last := len(b.starts) - 1
	return b.starts[last] + frameHeaderSize + pad8(int(binary.LittleEndian.Uint32(b.at(last)[4:])))
}

func (b *Batch) commitLen() int { return frameHeaderSize + pad8(commitFixed+len(b.tag)) }

// space returns the bytes that the batch takes in the log.
func (b *Batch) space() int { return b.framesLen() + b.commitLen() }

// sum computes the payload checksums for a segment with this salt.
func (b *Batch) sum(salt uint32) {
	if b.salt == salt {
		return
	}
	for i := range b.starts {
		h := b.at(i)
		n := int(binary.LittleEndian.Uint32(h[4:]))
		table := 0
		if h[1]&flagTable != 0 {
			table = tableSize(int(binary.LittleEndian.Uint32(h[36:])))
		}
		payload, data := h[frameHeaderSize:], b.held
		if !b.holds(i) {
			payload, data = payload[:n], payload[table:n]
		}
		var crc uint32
		switch {
		case table == 0:
			crc = saltedSum(salt, data)
		case b.sums != nil && b.holds(i):
			crc = saltSums(payload[:table], b.sums, len(data), salt)
		default:
			crc = sumBlocks(payload[:table], data, salt)
		}
		binary.LittleEndian.PutUint32(h[40:], crc)
	}
	b.salt = salt
}

// holds tells whether the data of frame i is held.
func (b *Batch) holds(i int) bool {
	return b.held != nil && b.starts[i] < b.heldAt && (i+1 == len(b.starts) || b.starts[i+1] > b.heldAt)
}

// finish gives the batch its place in history and appends the COMMIT. It
// returns the chained CRC behind it; what is to be written are the parts then. next is the
// next inode number. Calling it again replaces what it did before.
func (b *Batch) finish(salt, chain uint32, lsn, synced LSN, next Ino) uint32 {
	b.sum(salt)
	b.buf = b.buf[:b.framesLen()-len(b.held)]
	headers := salt
	if plantIgnoreSalt {
		headers = 0
	}
	for i := range b.starts {
		h := b.at(i)[:frameHeaderSize]
		binary.LittleEndian.PutUint64(h[8:], uint64(lsn))
		binary.LittleEndian.PutUint32(h[44:], saltedSum(salt, h[:44]))
		headers = crc32.Update(headers, castagnoli, h)
	}
	c := commit{headers: headers, synced: synced, frames: uint32(len(b.starts)), tag: b.tag}
	c.chain = nextChain(chain, headers, lsn)
	start := len(b.buf)
	b.buf = append(b.buf, zeros[:frameHeaderSize]...)
	b.buf = appendCommit(b.buf, &c)
	payload := b.buf[start+frameHeaderSize:]
	f := frame{typ: frameCommit, lsn: lsn, ino: next, size: uint32(len(payload)), crc: saltedSum(salt, payload)}
	putFrameHeader(b.buf[start:], &f, salt)
	b.buf = append(b.buf, zeros[:pad8(len(payload))-len(payload)]...)
	return c.chain
}

// parts returns the bytes of a finished batch for the log, in order.
func (b *Batch) parts() [][]byte {
	if b.held == nil {
		return [][]byte{b.buf}
	}
	return [][]byte{b.buf[:b.heldAt], b.held, b.buf[b.heldAt:]}
}

// writeTo writes a finished batch.
func (b *Batch) writeTo(f disk.File, off int64) error {
	if b.held == nil {
		_, err := f.WriteAt(b.buf, off)
		return err
	}
	return f.WriteParts(b.parts(), off)
}

// frameAt decodes frame i of a finished batch into f. If its data is held, its payload is
// the CRC table alone.
func (b *Batch) frameAt(i int, f *frame) {
	h := b.at(i)
	parseFrameHeader(h, f)
	n := int(f.size)
	if b.holds(i) {
		n -= len(b.held)
	}
	f.payload = h[frameHeaderSize:][:n]
}

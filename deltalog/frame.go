package deltalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// frameType tells what a frame holds. The numbers are those of doc.go.
type frameType uint8

const (
	frameInode     frameType = 1
	frameEntry     frameType = 2
	frameEntryGone frameType = 3
	frameData      frameType = 4
	frameTruncate  frameType = 5
	frameDrop      frameType = 6
	frameOrigin    frameType = 7
	frameLayer     frameType = 8
	frameTrim      frameType = 9
	frameCommit    frameType = 10
	frameSeal      frameType = 11
	frameCold      frameType = 14
	frameLayerGone frameType = 15

	frameLast = frameLayerGone
)

var frameNames = [...]string{
	frameInode: "INODE", frameEntry: "ENTRY", frameEntryGone: "ENTRYGONE", frameData: "DATA",
	frameTruncate: "TRUNCATE", frameDrop: "DROP", frameOrigin: "ORIGIN", frameLayer: "LAYER",
	frameTrim: "TRIM", frameCommit: "COMMIT", frameSeal: "SEAL",
	frameCold: "COLD", frameLayerGone: "LAYERGONE",
}

func (t frameType) String() string {
	if int(t) < len(frameNames) && frameNames[t] != "" {
		return frameNames[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// record tells whether frames of this type hold state that the index keeps,
// unlike those that only structure the log.
func (t frameType) record() bool {
	return t >= frameInode && t <= frameLayer || t == frameLayerGone
}

// tombstone tells whether frames of this type say that something is gone: they
// leave nothing in the index, but must outlive what they hide.
func (t frameType) tombstone() bool {
	return t == frameEntryGone || t == frameTruncate || t == frameDrop || t == frameLayerGone
}

// Flags of frames.
const (
	flagCompressed = 1 // the payload is compressed, as a whole
	flagRelocated  = 2 // in a cold segment
	flagTable      = 4 // the payload begins with a CRC table
)

const (
	frameHeaderSize = 48
	blockSize       = 16 << 10 // bytes of file data per entry of a CRC table
	commitFixed     = 24       // bytes of a COMMIT payload without the tag
)

// frame is one frame, decoded.
type frame struct {
	typ     frameType
	flags   uint8
	lsn     LSN
	ino     Ino
	offset  uint64
	layer   LayerID
	length  uint32
	size    uint32 // bytes of payload
	crc     uint32 // of the payload, or of its CRC table
	payload []byte // part of the read or encode buffer, without padding
}

// loc is where a frame lies.
type loc struct {
	seg  uint64
	off  uint32
	size uint32 // header, payload and padding
}

// logPos is where a batch begins or would begin.
type logPos struct {
	seg uint64
	off uint32
}

// errFrame is in the chain of every error that means: these bytes are not a
// frame of this incarnation of the segment.
var (
	errFrame     = errors.New("not a valid frame")
	errNoFrame   = fmt.Errorf("%w: no frame begins here", errFrame)
	errHeaderSum = fmt.Errorf("%w: checksum of the header is wrong", errFrame)
)

func badFrame(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errFrame, fmt.Sprintf(format, args...))
}

// saltedSum is the CRC of p, seeded with the salt of a segment, so that old
// bytes of a recycled file do not validate.
func saltedSum(salt uint32, p []byte) uint32 {
	if plantIgnoreSalt {
		salt = 0
	}
	return crc32.Update(salt, castagnoli, p)
}

func pad8(n int) int { return (n + 7) &^ 7 }

// tableSize returns the bytes of the CRC table of n bytes of file data,
// padding included; 0 if data of this size has none.
func tableSize(n int) int {
	if n <= blockSize {
		return 0
	}
	return pad8(4 * blocks(n))
}

// blocks returns how many CRC blocks n bytes of file data have.
func blocks(n int) int { return (n + blockSize - 1) / blockSize }

// putFrameHeader writes the header of f with its CRC to p.
func putFrameHeader(p []byte, f *frame, salt uint32) {
	_ = p[:frameHeaderSize]
	p[0], p[1], p[2], p[3] = byte(f.typ), f.flags, 0, 0
	binary.LittleEndian.PutUint32(p[4:], f.size)
	binary.LittleEndian.PutUint64(p[8:], uint64(f.lsn))
	binary.LittleEndian.PutUint64(p[16:], uint64(f.ino))
	binary.LittleEndian.PutUint64(p[24:], f.offset)
	binary.LittleEndian.PutUint32(p[32:], uint32(f.layer))
	binary.LittleEndian.PutUint32(p[36:], f.length)
	binary.LittleEndian.PutUint32(p[40:], f.crc)
	binary.LittleEndian.PutUint32(p[44:], saltedSum(salt, p[:44]))
}

// parseFrameHeader takes a header apart and verifies nothing.
func parseFrameHeader(p []byte, f *frame) {
	_ = p[:frameHeaderSize]
	*f = frame{
		typ:    frameType(p[0]),
		flags:  p[1],
		size:   binary.LittleEndian.Uint32(p[4:]),
		lsn:    LSN(binary.LittleEndian.Uint64(p[8:])),
		ino:    Ino(binary.LittleEndian.Uint64(p[16:])),
		offset: binary.LittleEndian.Uint64(p[24:]),
		layer:  LayerID(binary.LittleEndian.Uint32(p[32:])),
		length: binary.LittleEndian.Uint32(p[36:]),
		crc:    binary.LittleEndian.Uint32(p[40:]),
	}
}

// frameLayerOf returns the layer in a frame's header.
func frameLayerOf(h []byte) LayerID { return LayerID(binary.LittleEndian.Uint32(h[32:])) }

// decodeFrameHeader verifies and decodes the first frameHeaderSize bytes of p.
// The payload size is then consistent with the type, but the payload itself is
// neither there nor verified.
func decodeFrameHeader(p []byte, salt uint32, f *frame) error {
	if len(p) < frameHeaderSize {
		return badFrame("%d bytes are too short for a header", len(p))
	}
	// Cheap checks first: most calls of the look-ahead end here.
	if p[0] == 0 || p[0] > byte(frameLast) || p[2] != 0 || p[3] != 0 {
		return errNoFrame
	}
	if binary.LittleEndian.Uint32(p[44:]) != saltedSum(salt, p[:44]) && !plantAcceptBadCRC {
		return errHeaderSum
	}
	parseFrameHeader(p, f)
	return f.check()
}

// check tells whether the header's fields fit each other and the limits.
func (f *frame) check() error {
	packed := f.flags&flagCompressed != 0
	if f.flags&^(flagTable|flagRelocated|flagCompressed) != 0 || packed && (f.typ != frameData || f.flags&flagRelocated == 0) || f.lsn == 0 || f.flags&flagRelocated != 0 && !f.typ.record() && f.typ != frameSeal {
		return badFrame("%s with flags %#x, LSN %d", f.typ, f.flags, f.lsn)
	}
	size, table, ok := int64(f.size), false, false
	switch f.typ {
	case frameInode:
		ok = inodeLength(int(f.size))
	case frameEntry:
		ok = f.length >= 1 && f.length <= MaxName && size == int64(f.length)+entryValueSize
	case frameEntryGone:
		ok = f.length >= 1 && f.length <= MaxName && size == int64(f.length)
	case frameData:
		ok = f.length >= 1 && f.length <= MaxData && f.offset <= math.MaxInt64-uint64(f.length)
		table = f.length > blockSize && !packed
		if packed {
			ok = ok && size > 0 && size < int64(f.length)
		} else {
			ok = ok && size == int64(f.length)+int64(tableSize(int(f.length)))
		}
	case frameTruncate, frameDrop, frameLayerGone:
		ok = size == 0
	case frameOrigin:
		ok = size >= originFixed && size <= originFixed+homeSize+MaxName
	case frameLayer:
		ok = size >= layerFixed && size <= layerFixed+MaxName
	case frameTrim:
		ok = size == 8
	case frameCold:
		ok = size%coldEntrySize == 0 && size <= math.MaxInt32
	case frameCommit:
		ok = size >= commitFixed && size <= commitFixed+MaxTag
	case frameSeal:
		ok = size%sealEntrySize == 0 && size <= math.MaxInt32
	default:
		ok = size <= math.MaxInt32 // reserved: kept in step, but not understood
	}
	if !ok || table != (f.flags&flagTable != 0) {
		return badFrame("%s with %d bytes of payload, length %d, flags %#x", f.typ, f.size, f.length, f.flags)
	}
	return nil
}

// space returns the bytes of the whole frame, padding included.
func (f *frame) space() int { return frameHeaderSize + pad8(int(f.size)) }

// data returns the file data of a DATA frame whose payload is verified: a part of it,
// or if it is compressed a part of buf if that is large enough.
func (f *frame) data(buf []byte) ([]byte, error) {
	if f.flags&flagCompressed == 0 {
		return f.payload[tableSize(int(f.length)):], nil
	}
	return unpack(buf, f.payload, int(f.length))
}

// checkPayload verifies all of the payload.
func (f *frame) checkPayload(salt uint32) error {
	if plantAcceptBadCRC {
		return nil
	}
	if f.flags&flagTable == 0 {
		if saltedSum(salt, f.payload) != f.crc {
			return badFrame("checksum of the payload of a %s frame is wrong", f.typ)
		}
		return nil
	}
	n := tableSize(int(f.length))
	if err := checkTable(f.payload[:n], f, salt); err != nil {
		return err
	}
	data := f.payload[n:]
	for i := range blocks(len(data)) {
		if err := checkBlock(f.payload[:n], i, data[i*blockSize:min((i+1)*blockSize, len(data))], salt); err != nil {
			return err
		}
	}
	return nil
}

// checkTable verifies the CRC table of a DATA frame.
func checkTable(table []byte, f *frame, salt uint32) error {
	if saltedSum(salt, table) != f.crc && !plantAcceptBadCRC {
		return badFrame("checksum of a CRC table is wrong")
	}
	return nil
}

// checkBlock verifies block i of a DATA frame by its table.
func checkBlock(table []byte, i int, block []byte, salt uint32) error {
	if binary.LittleEndian.Uint32(table[4*i:]) != saltedSum(salt, block) && !plantAcceptBadCRC {
		return badFrame("checksum of file data is wrong")
	}
	return nil
}

// sumPayload computes the payload's CRC, and fills the CRC table if there is
// one: its bytes are the first of the payload.
func sumPayload(payload []byte, table int, salt uint32) uint32 {
	if table == 0 {
		return saltedSum(salt, payload)
	}
	return sumBlocks(payload[:table], payload[table:], salt)
}

// sumBlocks fills the CRC table of data, and computes its CRC. It goes from the end of the data, which came last and is in the
// processor's cache, to the beginning, which is what is written next.
func sumBlocks(table, data []byte, salt uint32) uint32 {
	clear(table[4*blocks(len(data)):])
	for i := blocks(len(data)) - 1; i >= 0; i-- {
		block := data[i*blockSize : min((i+1)*blockSize, len(data))]
		binary.LittleEndian.PutUint32(table[4*i:], saltedSum(salt, block))
	}
	return saltedSum(salt, table)
}

// SumBlock is how many bytes of file data have one checksum.
const SumBlock = blockSize

// AppendSum appends the checksum, CRC-32C, of a block of file data to those of the blocks before it, for
// [Batch.DataNoCopy]. The blocks begin with the data, and have SumBlock bytes each, but for the last.
func AppendSum(sums, block []byte) []byte {
	return binary.LittleEndian.AppendUint32(sums, crc32.Checksum(block, castagnoli))
}

// saltSums fills the CRC table of n bytes of data by the sums of its blocks, and computes its CRC.
func saltSums(table, sums []byte, n int, salt uint32) uint32 {
	clear(table[len(sums):])
	differs := saltIn(blockSize, salt)
	for i := range blocks(n) {
		if rest := n - i*blockSize; rest < blockSize {
			differs = saltIn(rest, salt)
		}
		binary.LittleEndian.PutUint32(table[4*i:], binary.LittleEndian.Uint32(sums[4*i:])^differs)
	}
	return saltedSum(salt, table)
}

// saltIn is in what a salted sum of n bytes, at most a block, differs from one without salt. That is the same for any n bytes,
// since a CRC is linear.
func saltIn(n int, salt uint32) uint32 {
	return saltedSum(salt, zeroPages[:n]) ^ saltedSum(0, zeroPages[:n])
}

// commit is the payload of a COMMIT frame.
type commit struct {
	headers uint32 // CRC of the headers of the batch
	chain   uint32
	synced  LSN
	frames  uint32
	tag     []byte
}

func appendCommit(p []byte, c *commit) []byte {
	p = binary.LittleEndian.AppendUint32(p, c.headers)
	p = binary.LittleEndian.AppendUint32(p, c.chain)
	p = binary.LittleEndian.AppendUint64(p, uint64(c.synced))
	p = binary.LittleEndian.AppendUint32(p, c.frames)
	p = binary.LittleEndian.AppendUint32(p, uint32(len(c.tag)))
	return append(p, c.tag...)
}

// decodeCommit decodes a payload of a size that frame.check has let pass.
func decodeCommit(p []byte) (commit, error) {
	if len(p) < commitFixed {
		return commit{}, badFrame("COMMIT of %d bytes", len(p))
	}
	c := commit{
		headers: binary.LittleEndian.Uint32(p),
		chain:   binary.LittleEndian.Uint32(p[4:]),
		synced:  LSN(binary.LittleEndian.Uint64(p[8:])),
		frames:  binary.LittleEndian.Uint32(p[16:]),
		tag:     p[commitFixed:],
	}
	if n := binary.LittleEndian.Uint32(p[20:]); int64(n) != int64(len(c.tag)) || n > MaxTag {
		return commit{}, badFrame("COMMIT with a tag of %d bytes in %d", n, len(c.tag))
	}
	return c, nil
}

// nextChain is the chained CRC behind a batch.
func nextChain(chain, headers uint32, lsn LSN) uint32 {
	var p [16]byte
	binary.LittleEndian.PutUint32(p[0:], chain)
	binary.LittleEndian.PutUint32(p[4:], headers)
	binary.LittleEndian.PutUint64(p[8:], uint64(lsn))
	return crc32.Checksum(p[:], castagnoli)
}

package deltalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	segHeaderSize = 512
	segMagic      = "DFSSEG1\n"
	formatVersion = 1

	kindHot  = 1 // user operations
	kindCold = 2 // what the cleaner has moved

	minSegment = 64 << 10 // Create refuses less
	maxSegment = 64 << 20
)

// Where a store keeps its files.
const (
	logDir    = "log"
	asideDir  = "aside"
	indexFile = "index.db"
	segSuffix = ".seg"
	tmpSuffix = ".tmp"
)

func segName(id uint64) string { return fmt.Sprintf("%s/%016x%s", logDir, id, segSuffix) }

// parseSegName returns the id of a segment's file name within the log directory.
func parseSegName(name string) (uint64, bool) {
	hex, ok := strings.CutSuffix(name, segSuffix)
	if !ok || len(hex) != 16 || strings.ToLower(hex) != hex {
		return 0, false
	}
	id, err := strconv.ParseUint(hex, 16, 64)
	return id, err == nil && id != 0
}

// segHeader is the header of a segment. See doc.go.
type segHeader struct {
	kind    uint32
	store   StoreID
	id      uint64
	salt    uint32
	chain   uint32 // before the first batch
	prev    uint64 // 0 for the first segment of a store
	prevEnd uint64
	first   LSN // of the first batch
	next    Ino
	created int64
	before  uint64 // bytes of log before this segment
	oldest  uint64 // id of the oldest segment of the log when this one was begun
}

var (
	errUnbegun    = errors.New("segment was never begun")
	errSegHeader  = errors.New("segment header is damaged")
	errSegVersion = fmt.Errorf("%w: segment header", ErrVersion)
)

func encodeSegHeader(h *segHeader) []byte {
	p := make([]byte, segHeaderSize)
	le := binary.LittleEndian
	copy(p, segMagic)
	le.PutUint32(p[8:], formatVersion)
	le.PutUint32(p[12:], h.kind)
	copy(p[16:], h.store[:])
	le.PutUint64(p[32:], h.id)
	le.PutUint32(p[40:], h.salt)
	le.PutUint32(p[44:], h.chain)
	le.PutUint64(p[48:], h.prev)
	le.PutUint64(p[56:], h.prevEnd)
	le.PutUint64(p[64:], uint64(h.first))
	le.PutUint64(p[72:], uint64(h.next))
	le.PutUint64(p[80:], uint64(h.created))
	le.PutUint64(p[88:], h.before)
	le.PutUint64(p[96:], h.oldest)
	le.PutUint32(p[508:], saltedSum(0, p[:508]))
	return p
}

// decodeSegHeader decodes the header of a segment that should have this id.
// errUnbegun: the segment holds nothing yet. Id 0 takes any.
func decodeSegHeader(p []byte, id uint64) (segHeader, error) {
	if len(p) < segHeaderSize {
		return segHeader{}, fmt.Errorf("%w: %d bytes", errSegHeader, len(p))
	}
	p = p[:segHeaderSize]
	if allZero(p) {
		return segHeader{}, errUnbegun
	}
	le := binary.LittleEndian
	if string(p[:8]) != segMagic || le.Uint32(p[508:]) != saltedSum(0, p[:508]) {
		return segHeader{}, errSegHeader
	}
	if v := le.Uint32(p[8:]); v != formatVersion {
		return segHeader{}, fmt.Errorf("%w %d", errSegVersion, v)
	}
	h := segHeader{
		kind: le.Uint32(p[12:]), store: StoreID(p[16:32]), id: le.Uint64(p[32:]),
		salt: le.Uint32(p[40:]), chain: le.Uint32(p[44:]),
		prev: le.Uint64(p[48:]), prevEnd: le.Uint64(p[56:]),
		first: LSN(le.Uint64(p[64:])), next: Ino(le.Uint64(p[72:])),
		created: int64(le.Uint64(p[80:])), before: le.Uint64(p[88:]), oldest: le.Uint64(p[96:]),
	}
	if id != 0 && h.id != id {
		return segHeader{}, errUnbegun
	}
	if h.salt == 0 || h.first == 0 || h.prev >= h.id || !allZero(p[104:508]) {
		return segHeader{}, fmt.Errorf("%w: fields out of range", errSegHeader)
	}
	return h, nil
}

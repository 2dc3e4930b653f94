package deltalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Sizes of records on disk, without their variable part.
const (
	inodeSize      = 160
	inodeLeast     = 8
	entryValueSize = 16 // of an ENTRY payload behind the name
	originFixed    = 16
	homeSize       = 32 // of a pinned ORIGIN, between the fixed part and the name
	layerFixed     = 32
	sealEntrySize  = 24
)

const (
	kindEntry    = 1
	kindWhiteout = 2
	kindGone     = 3

	originPinned = 1
	originHome   = 2
)

// errRecord is in the chain of every error that means: the checksums are right
// but the record makes no sense.
var errRecord = errors.New("not a valid record")

func badRecord(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errRecord, fmt.Sprintf(format, args...))
}

func allZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// appendInode leaves out zeros at the end: most inodes have no use for the last fields.
func appendInode(p []byte, r *Inode) []byte {
	start := len(p)
	le := binary.LittleEndian
	for _, v := range [...]uint32{r.Mode, r.Flags, r.Nlink, 0, r.UID, r.GID, r.RdevMajor, r.RdevMinor} {
		p = le.AppendUint32(p, v)
	}
	for _, v := range [...]uint64{
		r.Size, r.LowerLen, uint64(r.Atime), uint64(r.Mtime), uint64(r.Ctime),
		uint64(r.Parent), r.Verifier,
		r.Base.Ino, r.Base.Size, uint64(r.Base.Mtime), uint64(r.Base.Ctime),
		r.Below, 0, 0, 0, 0,
	} {
		p = le.AppendUint64(p, v)
	}
	if r.Target == "" {
		for len(p) >= start+inodeLeast+8 && allZero(p[len(p)-8:]) {
			p = p[:len(p)-8]
		}
	}
	return append(p, r.Target...)
}

// decodeInode decodes an inode record. The target is copied.
func decodeInode(p []byte) (Inode, error) {
	if !inodeLength(len(p)) {
		return Inode{}, badRecord("inode record of %d bytes", len(p))
	}
	if len(p) < inodeSize {
		var whole [inodeSize]byte
		copy(whole[:], p)
		p = whole[:]
	}
	if !allZero(p[12:16]) || !allZero(p[128:inodeSize]) {
		return Inode{}, badRecord("inode record with reserved bytes in use")
	}
	le := binary.LittleEndian
	return Inode{
		Mode: le.Uint32(p), Flags: le.Uint32(p[4:]), Nlink: le.Uint32(p[8:]),
		UID: le.Uint32(p[16:]), GID: le.Uint32(p[20:]),
		RdevMajor: le.Uint32(p[24:]), RdevMinor: le.Uint32(p[28:]),
		Size: le.Uint64(p[32:]), LowerLen: le.Uint64(p[40:]),
		Atime: int64(le.Uint64(p[48:])), Mtime: int64(le.Uint64(p[56:])), Ctime: int64(le.Uint64(p[64:])),
		Parent: Ino(le.Uint64(p[72:])), Verifier: le.Uint64(p[80:]),
		Base: Fingerprint{
			Ino: le.Uint64(p[88:]), Size: le.Uint64(p[96:]),
			Mtime: int64(le.Uint64(p[104:])), Ctime: int64(le.Uint64(p[112:])),
		},
		Below:  le.Uint64(p[120:]),
		Target: string(p[inodeSize:]),
	}, nil
}

// inodeLength tells whether an inode record can have n bytes.
func inodeLength(n int) bool {
	return n >= inodeLeast && n <= inodeSize+MaxTarget && (n >= inodeSize || n%8 == 0)
}

// appendEntryValue appends what an ENTRY payload holds behind the name.
func appendEntryValue(p []byte, e Entry) []byte {
	kind := byte(kindEntry)
	switch {
	case e.gone:
		kind = kindGone
	case e.Whiteout:
		kind = kindWhiteout
	}
	p = binary.LittleEndian.AppendUint64(p, uint64(e.Ino))
	return append(p, byte(e.Type>>12), kind, 0, 0, 0, 0, 0, 0)
}

func decodeEntryValue(p []byte) (Entry, error) {
	if len(p) != entryValueSize {
		return Entry{}, badRecord("entry of %d bytes", len(p))
	}
	e := Entry{
		Ino:      Ino(binary.LittleEndian.Uint64(p)),
		Type:     uint32(p[8]) << 12,
		Whiteout: p[9] == kindWhiteout,
		gone:     p[9] == kindGone,
	}
	if p[8] > TypeMask>>12 || p[9] < kindEntry || p[9] > kindGone || !allZero(p[10:]) {
		return Entry{}, badRecord("entry of type %d, kind %d", p[8], p[9])
	}
	return e, nil
}

// decodeEntryFrame decodes an ENTRY frame. The name is copied.
func decodeEntryFrame(f *frame) (string, Entry, error) {
	if f.length > MaxName || int64(len(f.payload)) != int64(f.length)+entryValueSize {
		return "", Entry{}, badRecord("ENTRY with %d bytes, %d of them name", len(f.payload), f.length)
	}
	e, err := decodeEntryValue(f.payload[f.length:])
	return string(f.payload[:f.length]), e, err
}

func appendOrigin(p []byte, o Origin) []byte {
	var flags uint32
	if o.Pinned {
		flags = originPinned
	}
	if o.Home != (Home{}) {
		flags |= originHome
	}
	p = binary.LittleEndian.AppendUint64(p, uint64(o.Parent))
	p = binary.LittleEndian.AppendUint32(p, flags)
	p = binary.LittleEndian.AppendUint32(p, o.Home.Gen)
	if flags&originHome != 0 {
		p = binary.LittleEndian.AppendUint64(p, uint64(o.Home.Parent))
		p = append(p, o.Home.Depth)
		p = append(p, o.Home.Ancestors[:]...)
		p = append(p, 0)
	}
	return append(p, o.Name...)
}

// decodeOrigin decodes an origin. The name is copied; it is empty for the root.
func decodeOrigin(p []byte) (Origin, error) {
	if len(p) < originFixed {
		return Origin{}, badRecord("origin of %d bytes", len(p))
	}
	flags, gen := binary.LittleEndian.Uint32(p[8:]), binary.LittleEndian.Uint32(p[12:])
	o := Origin{Parent: Ino(binary.LittleEndian.Uint64(p)), Pinned: flags&originPinned != 0}
	name := p[originFixed:]
	if flags&originHome != 0 {
		if len(name) < homeSize || name[homeSize-1] != 0 {
			return Origin{}, badRecord("origin of %d bytes", len(p))
		}
		o.Home = Home{Gen: gen, Parent: Ino(binary.LittleEndian.Uint64(name)), Depth: name[8], Ancestors: [22]byte(name[9:31])}
		name = name[homeSize:]
	}
	if flags&^(originPinned|originHome) != 0 || flags&originHome == 0 && gen != 0 || len(name) > MaxName {
		return Origin{}, badRecord("origin with flags %#x, name of %d bytes", flags, len(name))
	}
	o.Name = string(name)
	return o, nil
}

func appendLayer(p []byte, l Layer) []byte {
	p = binary.LittleEndian.AppendUint32(p, uint32(l.Parent))
	p = binary.LittleEndian.AppendUint32(p, l.Flags)
	p = binary.LittleEndian.AppendUint64(p, l.View)
	p = binary.LittleEndian.AppendUint64(p, uint64(l.Created))
	p = binary.LittleEndian.AppendUint32(p, uint32(l.highest))
	p = binary.LittleEndian.AppendUint32(p, 0)
	return append(p, l.Name...)
}

// decodeLayer decodes the record of layer id. The name is copied.
func decodeLayer(id LayerID, p []byte) (Layer, error) {
	if len(p) < layerFixed || len(p) > layerFixed+MaxName {
		return Layer{}, badRecord("layer record of %d bytes", len(p))
	}
	flags, parent := binary.LittleEndian.Uint32(p[4:]), LayerID(binary.LittleEndian.Uint32(p))
	if flags&^(LayerFrozen|LayerAuto) != 0 || !allZero(p[28:layerFixed]) {
		return Layer{}, badRecord("layer record with flags %#x", flags)
	}
	if id.stacked() != (parent != 0) || parent >= id {
		return Layer{}, badRecord("layer %d over layer %d", id, parent)
	}
	return Layer{
		ID:      id,
		Parent:  parent,
		Flags:   flags,
		View:    binary.LittleEndian.Uint64(p[8:]),
		Created: int64(binary.LittleEndian.Uint64(p[16:])),
		Name:    string(p[layerFixed:]),
		highest: LayerID(binary.LittleEndian.Uint32(p[24:])),
	}, nil
}

// sealKey is what a SEAL footer lists: an inode of a layer.
type sealKey struct {
	layer LayerID
	ino   Ino
}

// sealEntry is one line of a SEAL footer.
type sealEntry struct {
	sealKey
	lowest LSN
}

func appendSeal(p []byte, entries []sealEntry) []byte {
	for _, e := range entries {
		p = binary.LittleEndian.AppendUint32(p, uint32(e.layer))
		p = binary.LittleEndian.AppendUint32(p, 0)
		p = binary.LittleEndian.AppendUint64(p, uint64(e.ino))
		p = binary.LittleEndian.AppendUint64(p, uint64(e.lowest))
	}
	return p
}

func decodeSeal(p []byte) ([]sealEntry, error) {
	if len(p)%sealEntrySize != 0 || len(p) > math.MaxInt32 {
		return nil, badRecord("SEAL footer of %d bytes", len(p))
	}
	out := make([]sealEntry, 0, len(p)/sealEntrySize)
	for ; len(p) > 0; p = p[sealEntrySize:] {
		e := sealEntry{
			sealKey: sealKey{LayerID(binary.LittleEndian.Uint32(p)), Ino(binary.LittleEndian.Uint64(p[8:]))},
			lowest:  LSN(binary.LittleEndian.Uint64(p[16:])),
		}
		if !allZero(p[4:8]) || (len(out) > 0 && !out[len(out)-1].sealKey.less(e.sealKey)) {
			return nil, badRecord("SEAL footer out of order")
		}
		out = append(out, e)
	}
	return out, nil
}

// coldRef is what a COLD frame says of a cold segment that is part of the log.
type coldRef struct {
	id   uint64
	end  uint32 // everything before this is durable
	seal uint32 // where the SEAL is that ends it; 0: there is none
}

const coldEntrySize = 16

func appendCold(p []byte, refs []coldRef) []byte {
	for _, r := range refs {
		p = binary.LittleEndian.AppendUint64(p, r.id)
		p = binary.LittleEndian.AppendUint32(p, r.end)
		p = binary.LittleEndian.AppendUint32(p, r.seal)
	}
	return p
}

// decodeCold decodes a payload of a size that frame.check has let pass, for
// segments of size bytes.
func decodeCold(p []byte, size int64) ([]coldRef, error) {
	refs := make([]coldRef, 0, len(p)/coldEntrySize)
	for ; len(p) >= coldEntrySize; p = p[coldEntrySize:] {
		r := coldRef{binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint32(p[8:]), binary.LittleEndian.Uint32(p[12:])}
		if r.id == 0 || len(refs) > 0 && refs[len(refs)-1].id >= r.id || r.end < segHeaderSize || int64(r.end) > size ||
			r.end%8 != 0 || r.seal != 0 && (r.seal < segHeaderSize || r.seal >= r.end || r.seal%8 != 0) {
			return nil, badRecord("COLD list with segment %d up to %d, footer at %d", r.id, r.end, r.seal)
		}
		refs = append(refs, r)
	}
	return refs, nil
}

func (k sealKey) less(o sealKey) bool {
	if k.layer != o.layer {
		return k.layer < o.layer
	}
	return k.ino < o.ino
}

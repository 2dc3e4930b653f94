package deltalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// table is one bucket of the index. The number is part of every checksum, so a
// pair that strays into another bucket is found.
type table uint8

const (
	tableInode table = iota
	tableEntry
	tableOrigin
	tableExtent
	tableLayer
	tables    // number of tables that hold pairs of the log
	tableMeta = tables
)

var tableNames = [...]string{"inode", "entry", "origin", "extent", "layer", "meta"}

func (t table) String() string { return tableNames[t] }

// errIndexBad is in the chain of every error that means: what the index says
// cannot be trusted. The log is whole; the way out is to rebuild the index.
var errIndexBad = errors.New("index is damaged")

func indexBad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errIndexBad, fmt.Sprintf(format, args...))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	inoKeySize    = 4 + 8          // layer, inode: inodes, origins; prefix of entries and extents
	entryKeySize  = inoKeySize + 8 // and cookie; the name follows
	extentKeySize = inoKeySize + 8 // and the start of the chunk
	layerKeySize  = 4
	pointerSize   = 16
	trailerSize   = 16
)

// keyOfIno is the key of an inode or an origin, and what the keys of its entries
// and extents begin with.
func keyOfIno(l LayerID, ino Ino) []byte {
	k := make([]byte, 0, entryKeySize)
	k = binary.BigEndian.AppendUint32(k, uint32(l))
	return binary.BigEndian.AppendUint64(k, uint64(ino))
}

func keyOfExtent(l LayerID, ino Ino, start uint64) []byte {
	return binary.BigEndian.AppendUint64(keyOfIno(l, ino), start)
}

func keyOfEntry(l LayerID, dir Ino, cookie uint64, name []byte) []byte {
	k := make([]byte, 0, entryKeySize+len(name))
	k = binary.BigEndian.AppendUint32(k, uint32(l))
	k = binary.BigEndian.AppendUint64(k, uint64(dir))
	k = binary.BigEndian.AppendUint64(k, cookie)
	return append(k, name...)
}

func keyOfLayer(l LayerID) []byte { return binary.BigEndian.AppendUint32(nil, uint32(l)) }

func keyLayer(k []byte) LayerID { return LayerID(binary.BigEndian.Uint32(k)) }
func keyIno(k []byte) Ino       { return Ino(binary.BigEndian.Uint64(k[4:])) }
func keyTail(k []byte) uint64   { return binary.BigEndian.Uint64(k[inoKeySize:]) }
func keyName(k []byte) string   { return string(k[entryKeySize:]) }
func sameIno(a, b []byte) bool  { return bytes.Equal(a[:inoKeySize], b[:inoKeySize]) }

// prefixEnd returns the first key behind all keys that begin with prefix, or nil
// if there is none.
func prefixEnd(prefix []byte) []byte {
	k := bytes.Clone(prefix)
	for i := len(k) - 1; i >= 0; i-- {
		k[i]++
		if k[i] != 0 {
			return k[:i+1]
		}
	}
	return nil
}

// checkKey tells whether k can be a key of t; everything that takes keys apart
// relies on it.
func checkKey(t table, k []byte) error {
	ok := false
	switch t {
	case tableInode, tableOrigin:
		ok = len(k) == inoKeySize
	case tableEntry:
		ok = len(k) > entryKeySize && len(k) <= entryKeySize+MaxName
	case tableExtent:
		ok = len(k) == extentKeySize
	case tableLayer:
		ok = len(k) == layerKeySize
	}
	if !ok {
		return indexBad("%s key of %d bytes", t, len(k))
	}
	return nil
}

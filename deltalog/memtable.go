package deltalog

import (
	"bytes"
	"encoding/binary"

	"github.com/tidwall/btree"
)

// item is a pair of the memtable. Keys and values are never changed once they
// are in: readers keep them without a lock.
type item struct {
	key []byte
	val []byte // nil: the key is gone
	lsn LSN
	// upTo is for chunks of extents: no other one of the file begins between the offset in the key and this one. 0: not known.
	upTo uint64
}

// entry is an item as a tree holds it: with the first bytes of its key beside that, so that most keys are told apart
// without a look at the memory of each.
type entry struct {
	tail, ino uint64 // bytes 12 to 19, 4 to 11,
	layer     uint32 // and 0 to 3 of the key; zeros where it has none
	key       []byte
	v         *value // nil: this is only what is looked for
}

type value struct {
	val  []byte
	lsn  LSN
	upTo uint64
}

func entryOf(key []byte, v *value) entry {
	head := key
	if len(head) < entryKeySize {
		var padded [entryKeySize]byte
		copy(padded[:], key)
		head = padded[:]
	}
	return entry{
		layer: binary.BigEndian.Uint32(head), ino: binary.BigEndian.Uint64(head[layerKeySize:]), tail: binary.BigEndian.Uint64(head[inoKeySize:]),
		key: key, v: v,
	}
}

func (e entry) item() item { return item{e.key, e.v.val, e.v.lsn, e.v.upTo} }

// lessEntry is the order of the keys, byte by byte.
func lessEntry(a, b entry) bool {
	switch {
	case a.layer != b.layer:
		return a.layer < b.layer
	case a.ino != b.ino:
		return a.ino < b.ino
	case a.tail != b.tail:
		return a.tail < b.tail
	}
	return bytes.Compare(a.key, b.key) < 0
}

// memtable holds what the log says and the database does not yet. It is not
// for concurrent use; the index guards it until it is frozen.
type memtable struct {
	trees [tables]*btree.BTreeG[entry]
	keys  int
	bytes int64 // of keys and values
}

func newMemtable() *memtable {
	m := &memtable{}
	for t := range m.trees {
		m.trees[t] = btree.NewBTreeGOptions(lessEntry, btree.Options{NoLocks: true})
	}
	return m
}

func (m *memtable) set(t table, it item) {
	old, replaced := m.trees[t].Set(entryOf(it.key, &value{it.val, it.lsn, it.upTo}))
	if !replaced {
		m.keys++
		m.bytes += int64(len(it.key))
	} else {
		m.bytes -= int64(len(old.v.val))
	}
	m.bytes += int64(len(it.val))
}

func (m *memtable) get(t table, key []byte) (item, bool) {
	e, ok := m.trees[t].Get(entryOf(key, nil))
	if !ok {
		return item{}, false
	}
	return e.item(), true
}

// floor returns the last item in [lo, hi].
func (m *memtable) floor(t table, lo, hi []byte) (it item, ok bool) {
	m.trees[t].Descend(entryOf(hi, nil), func(e entry) bool {
		if ok = bytes.Compare(e.key, lo) >= 0; ok {
			it = e.item()
		}
		return false
	})
	return it, ok
}

// any tells whether there is an item in [from, to).
func (m *memtable) any(t table, from, to []byte) (found bool) {
	m.ascend(t, from, func(it item) bool {
		found = bytes.Compare(it.key, to) < 0
		return false
	})
	return found
}

// ascend calls fn for the items from a key on, in order, until it returns false.
func (m *memtable) ascend(t table, from []byte, fn func(item) bool) {
	m.trees[t].Ascend(entryOf(from, nil), func(e entry) bool { return fn(e.item()) })
}

// page appends the first items in [from, to), max at most, to dst. A nil to is
// the end of the table. next is the key of the first item left out, or nil; then, if none is, that of the first one from to on.
func (m *memtable) page(dst []item, t table, from, to []byte, max int) (items []item, next, then []byte) {
	m.ascend(t, from, func(x item) bool {
		if to != nil && bytes.Compare(x.key, to) >= 0 {
			then = x.key
			return false
		}
		if max == 0 {
			next = x.key
			return false
		}
		max--
		dst = append(dst, x)
		return true
	})
	return dst, next, then
}

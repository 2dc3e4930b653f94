package deltalog

import (
	"bytes"

	"github.com/tidwall/btree"
)

// item is a pair of the memtable. Keys and values are never changed once they
// are in: readers keep them without a lock.
type item struct {
	key []byte
	val []byte // nil: the key is gone
	lsn LSN
}

// memtable holds what the log says and the database does not yet. It is not
// for concurrent use; the index guards it until it is frozen.
type memtable struct {
	trees [tables]*btree.BTreeG[item]
	keys  int
	bytes int64 // of keys and values
}

func newMemtable() *memtable {
	m := &memtable{}
	less := func(a, b item) bool { return bytes.Compare(a.key, b.key) < 0 }
	for t := range m.trees {
		m.trees[t] = btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
	}
	return m
}

func (m *memtable) set(t table, it item) {
	old, replaced := m.trees[t].Set(it)
	if !replaced {
		m.keys++
		m.bytes += int64(len(it.key))
	}
	m.bytes += int64(len(it.val)) - int64(len(old.val))
}

func (m *memtable) get(t table, key []byte) (item, bool) {
	return m.trees[t].Get(item{key: key})
}

// floor returns the last item in [lo, hi].
func (m *memtable) floor(t table, lo, hi []byte) (it item, ok bool) {
	m.trees[t].Descend(item{key: hi}, func(x item) bool {
		it, ok = x, bytes.Compare(x.key, lo) >= 0
		return false
	})
	return it, ok
}

// page appends the first items in [from, to), max at most, to dst. A nil to is
// the end of the table. next is the key of the first item left out, or nil.
func (m *memtable) page(dst []item, t table, from, to []byte, max int) (items []item, next []byte) {
	m.trees[t].Ascend(item{key: from}, func(x item) bool {
		if to != nil && bytes.Compare(x.key, to) >= 0 {
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
	return dst, next
}

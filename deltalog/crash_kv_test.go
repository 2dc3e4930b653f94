package deltalog

import (
	"bytes"
	"errors"

	"github.com/tidwall/btree"

	"deltafs/deltalog/simdisk"
)

// crashKV is an index database that takes part in the crashes of a simulated
// disk: each committed transaction is a mark in the disk's trace, and a crash
// there leaves exactly the transactions whose marks are behind it. That is what
// bbolt promises, whose own durability is not tested here.
type crashKV struct {
	d    *simdisk.Disk
	base *memSnapshot // what was there at first
	at   *memSnapshot // committed last; nil: there is no database
	fail error        // of every update, if not nil
}

func newCrashKV(d *simdisk.Disk, at *memSnapshot) *crashKV { return &crashKV{d: d, base: at, at: at} }

// sum tells the snapshots of one history apart.
func (s *memSnapshot) sum() uint64 {
	if s == nil {
		return 0
	}
	return uint64(s.id)
}

// memSnapshot is the database after a transaction. It is never changed.
type memSnapshot struct {
	trees [tables + 1]*btree.BTreeG[memPair]
	id    int // for messages
}

type memPair struct{ key, val []byte }

func emptySnapshot() *memSnapshot {
	s := &memSnapshot{}
	less := func(a, b memPair) bool { return bytes.Compare(a.key, b.key) < 0 }
	for t := range s.trees {
		s.trees[t] = btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
	}
	return s
}

func (k *crashKV) open(string) (kv, error) {
	if k.at == nil {
		k.at = emptySnapshot()
	}
	return k, nil
}

func (k *crashKV) view(fn func(tx kvTx) error) error { return fn(memTx{k.at}) }

func (k *crashKV) update(fn func(tx kvTx) error) error {
	if k.fail != nil {
		return k.fail
	}
	next := &memSnapshot{id: k.at.id + 1}
	for t := range next.trees {
		next.trees[t] = k.at.trees[t].Copy()
	}
	if err := fn(memTx{next}); err != nil {
		return err
	}
	k.at = next
	k.d.Mark(markIndex{next})
	return nil
}

func (k *crashKV) size() (int64, error) { return 0, nil }
func (k *crashKV) written() uint64      { return 0 }
func (k *crashKV) close() error         { return nil }

type memTx struct{ s *memSnapshot }

func (t memTx) get(b table, key []byte) []byte {
	p, _ := t.s.trees[b].Get(memPair{key: key})
	return p.val
}

func (t memTx) put(b table, key, val []byte) error {
	if len(key) == 0 {
		return errors.New("empty key")
	}
	t.s.trees[b].Set(memPair{bytes.Clone(key), bytes.Clone(val)})
	return nil
}

func (t memTx) del(b table, key []byte) error {
	t.s.trees[b].Delete(memPair{key: key})
	return nil
}

func (t memTx) cursor(b table) kvCursor { return &memCursor{tree: t.s.trees[b]} }

type memCursor struct {
	tree *btree.BTreeG[memPair]
	at   []byte
}

func (c *memCursor) seek(key []byte) (k, v []byte) {
	c.tree.Ascend(memPair{key: key}, func(p memPair) bool { k, v = p.key, p.val; return false })
	c.at = k
	return k, v
}

func (c *memCursor) next() (k, v []byte) {
	if c.at == nil {
		return nil, nil
	}
	return c.seek(append(bytes.Clone(c.at), 0))
}

func (c *memCursor) floor(key []byte) (k, v []byte) {
	c.tree.Descend(memPair{key: key}, func(p memPair) bool { k, v = p.key, p.val; return false })
	c.at = k
	return k, v
}

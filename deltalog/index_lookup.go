package deltalog

import (
	"bytes"
	"errors"
)

// Reading goes through the levels from the newest on, without a lock that holds
// them together: the database cannot be read under mu. A reader notes gen, reads
// the database, and then looks whether gen has moved. If not, no level has come
// or gone, and memtables seen now fit what was read. If so it tries again; that
// happens twice a checkpoint.

// errMoved makes a reader begin again.
var errMoved = errors.New("the levels of the index have moved")

// lookup returns the value of a key without its trailer, and its LSN; nil if
// there is none. The value must not be changed.
func (x *index) lookup(t table, key []byte) (val []byte, lsn LSN, err error) {
	for {
		x.mu.RLock()
		gen := x.gen
		it, ok := x.recentLocked(t, key)
		x.mu.RUnlock()
		if ok {
			return it.val, it.lsn, nil
		}
		err = x.db.view(func(tx kvTx) error {
			stored := tx.get(t, key)
			if stored == nil {
				val, lsn = nil, 0
				return nil
			}
			var err error
			val, lsn, err = openStored(nil, t, key, stored)
			return err
		})
		if err != nil || x.still(gen) {
			return val, lsn, err
		}
	}
}

func (x *index) recentLocked(t table, key []byte) (item, bool) {
	it, ok := x.mem.get(t, key)
	if !ok && x.frozen != nil {
		it, ok = x.frozen.get(t, key)
	}
	return it, ok
}

func (x *index) still(gen uint64) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.gen == gen
}

// recentFloorLocked returns the last item of the memtables in [lo, hi], gone or not.
func (x *index) recentFloorLocked(t table, lo, hi []byte) (item, bool) {
	it, ok := x.mem.floor(t, lo, hi)
	if x.frozen == nil {
		return it, ok
	}
	f, fok := x.frozen.floor(t, lo, hi)
	if !ok || fok && bytes.Compare(f.key, it.key) > 0 {
		return f, fok
	}
	return it, ok
}

// keyBefore returns the key before k among the keys of k's length.
func keyBefore(k []byte) []byte {
	p := bytes.Clone(k)
	for i := len(p) - 1; i >= 0; i-- {
		p[i]--
		if p[i] != 0xff {
			break
		}
	}
	return p
}

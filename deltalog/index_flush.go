package deltalog

import (
	"bytes"
	"errors"
	"maps"

	"deltafs/deltalog/disk"
)

// flushBytes is what one transaction of a checkpoint writes at most, in bytes
// of keys and values: it bounds how much of the database is dirty in memory,
// and how long its writer is busy.
const flushBytes = 16 << 20

// freeze begins a checkpoint: what the memtable holds is everything from the
// last checkpoint up to lsn, and pos is where the next batch will begin. It must
// not run while apply does. If a frozen memtable is still there (its flush
// failed, or was never called) nothing happens; flush it, and freeze again.
func (x *index) freeze(lsn LSN, pos logPos) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.frozen != nil {
		return
	}
	x.frozen, x.mem = x.mem, newMemtable()
	x.asOf = checkpoint{lsn: lsn, pos: pos, maxIno: x.maxIno, valid: true}
	x.then = maps.Clone(x.alive)
	x.gen++
}

// flush writes the frozen memtable into the database and makes its checkpoint
// the valid one; nothing happens if there is none. All batches up to the LSN
// given to freeze must be durable in the log before: the index must never know
// what the log may lose.
//
// After an error every later flush returns it: a database whose write or sync
// failed is in no known state. The store goes on without, and the next open
// verifies or rebuilds it. But a full disk is only that: the transaction has not
// happened, and the next flush tries again.
func (x *index) flush() error {
	x.flushing.Lock()
	defer x.flushing.Unlock()
	x.mu.RLock()
	f := flusher{frozen: x.frozen, from: x.done, to: x.asOf, sums: x.sums, live: x.then, id: x.id, txBytes: x.txBytes}
	failed := x.failed
	x.mu.RUnlock()
	if failed != nil || f.frozen == nil {
		return failed
	}
	if plantCkptEarly {
		early := f.to
		early.pending = true
		x.db.update(func(tx kvTx) error { return putMeta(tx, checkpointKey, early.encode(f.id)) })
		f.begun = true
	}
	for !f.finished {
		if err := x.db.update(f.write); err != nil {
			if !errors.Is(err, disk.ErrNoSpace) {
				x.mu.Lock()
				x.failed = err
				x.mu.Unlock()
			}
			return err
		}
		x.sums = f.sums
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.frozen, x.done = nil, f.to
	x.gen++
	x.flushed.Add(1)
	return nil
}

// setClosed writes into the checkpoint whether the log ends there for certain. It is
// taken back before anything is written to a log that goes on.
func (x *index) setClosed(closed bool) error {
	x.flushing.Lock()
	defer x.flushing.Unlock()
	x.mu.RLock()
	c, failed := x.done, x.failed
	x.mu.RUnlock()
	if failed != nil || c.closed == closed {
		return failed
	}
	c.closed = closed
	err := x.db.update(func(tx kvTx) error { return putMeta(tx, checkpointKey, c.encode(x.id)) })
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case err == nil:
		x.done = c
	case !errors.Is(err, disk.ErrNoSpace):
		x.failed = err
	}
	return err
}

// flusher writes a frozen memtable, one transaction after the other.
type flusher struct {
	frozen   *memtable
	from, to checkpoint
	id       StoreID
	txBytes  int
	sums     bucketSums
	live     liveBytes // when frozen was

	buf      []byte
	table    table  // where the next transaction begins
	next     []byte // key there; nil: the table's first
	begun    bool
	finished bool
}

var errFull = errors.New("transaction is full")

// write is one transaction. The last one says that the checkpoint is done.
func (f *flusher) write(tx kvTx) error {
	err := f.writePairs(tx)
	if err != nil && err != errFull {
		return err
	}
	f.finished = err == nil
	if err := f.sums.put(tx); err != nil {
		return err
	}
	if f.finished {
		if err := putMeta(tx, liveKey, f.live.encode()); err != nil {
			return err
		}
		return putMeta(tx, checkpointKey, f.to.encode(f.id))
	}
	if f.begun {
		return nil
	}
	f.begun = true
	from := f.from
	from.pending = true
	return putMeta(tx, checkpointKey, from.encode(f.id))
}

// writePairs writes pairs in key order, table by table, and returns errFull
// when there is more than a transaction may hold.
func (f *flusher) writePairs(tx kvTx) error {
	room, wrote := f.txBytes, false
	for ; f.table < tables; f.table, f.next = f.table+1, nil {
		var err error
		f.frozen.ascend(f.table, f.next, func(it item) bool {
			if room -= len(it.key) + len(it.val) + trailerSize; room < 0 && wrote {
				f.next, err = it.key, errFull
				return false
			}
			wrote = true
			err = f.writePair(tx, it)
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// writePair replaces a pair of the database and keeps the counters in step.
func (f *flusher) writePair(tx kvTx, it item) error {
	t := f.table
	if stored := tx.get(t, it.key); stored != nil {
		if _, _, _, err := verified(t, it.key, stored); err != nil {
			return err
		}
		f.sums.sub(t, storedCRC(stored))
		if it.val == nil {
			return tx.del(t, it.key)
		}
	}
	if it.val == nil {
		return nil
	}
	f.buf = appendStored(f.buf[:0], t, it.key, it.val, it.lsn)
	stored := bytes.Clone(f.buf) // the database keeps it up to the end of the transaction
	f.sums.add(t, storedCRC(stored))
	return tx.put(t, it.key, stored)
}

// addLevel adds to live what the keys of m, a level newer than the database,
// change of it. Keys in seen are of a newer level still; m's keys join them.
func (x *index) addLevel(live liveBytes, m, seen *memtable) error {
	for t := range tables {
		for from, more := []byte{}, true; more; {
			x.mu.RLock()
			items, next, _ := m.page(nil, t, from, nil, pageMost)
			x.mu.RUnlock()
			err := x.db.view(func(tx kvTx) error {
				for _, it := range items {
					if _, ok := seen.get(t, it.key); ok {
						continue
					}
					seen.set(t, item{key: it.key})
					if stored := tx.get(t, it.key); stored != nil {
						old, _, err := openStored(nil, t, it.key, stored)
						if err != nil {
							return err
						}
						live.subValue(t, old)
					}
					if it.val != nil {
						live.addValue(t, it.val)
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			from, more = bytes.Clone(next), next != nil
		}
	}
	return nil
}

package deltalog

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
)

// openIndex opens the index in db and verifies all of it: the shape and the
// checksum of each pair, each bucket's count and sum, and the live counters. An
// error that is errIndexBad means that the index must be rebuilt from the log.
// db is not closed on error.
func openIndex(db kv, id StoreID) (*index, error) {
	x := newIndex(db, id)
	err := db.view(func(tx kvTx) error {
		if err := x.readMeta(tx); err != nil {
			return err
		}
		x.inos = newInoFilter(x.sums[tableInode].count + x.sums[tableOrigin].count)
		sums, live, highest, err := survey(tx, x.inos)
		if err != nil {
			return err
		}
		x.maxIno = max(x.maxIno, highest) // the checkpoint that was begun may have brought more
		for t := range tables {
			if sums[t] != x.sums[t] {
				return indexBad("bucket %s holds %d pairs of sum %x, not %d of %x",
					t, sums[t].count, sums[t].sum, x.sums[t].count, x.sums[t].sum)
			}
		}
		if !x.done.pending && !maps.Equal(live, x.alive) {
			return indexBad("live bytes are counted wrong")
		}
		x.alive = live
		return nil
	})
	if err != nil {
		return nil, err
	}
	return x, x.loadLayers()
}

func (x *index) readMeta(tx kvTx) error {
	sums, err := readSums(tx)
	if err != nil {
		return err
	}
	x.sums = sums
	v, err := getMeta(tx, checkpointKey)
	if err != nil {
		return err
	}
	if v != nil {
		if x.done, err = decodeCheckpoint(v, x.id); err != nil {
			return err
		}
		x.maxIno = x.done.maxIno
	}
	if v, err = getMeta(tx, liveKey); err != nil {
		return err
	}
	x.alive, err = decodeLive(v)
	return err
}

// survey reads all pairs and returns what the sums and the live counters should be,
// and the highest born number that has a record. Inodes go into the filter.
func survey(tx kvTx, inos *inoFilter) (sums bucketSums, live liveBytes, highest Ino, err error) {
	live = liveBytes{}
	for t := range tables {
		var last, v []byte
		c := tx.cursor(t)
		for k, stored := c.seek(nil); k != nil; k, stored = c.next() {
			if last != nil && bytes.Compare(last, k) >= 0 {
				return sums, nil, 0, indexBad("keys of bucket %s are out of order", t)
			}
			if v, _, err = openStored(v, t, k, stored); err != nil {
				return sums, nil, 0, err
			}
			if t == tableInode && keyIno(k)&Born != 0 {
				highest = max(highest, keyIno(k))
			}
			if t == tableInode || t == tableOrigin {
				inos.add(keyIno(k))
			}
			last = append(last[:0], k...)
			sums.add(t, storedCRC(stored))
			live.addValue(t, v)
		}
	}
	return sums, live, highest, nil
}

// recount counts the live bytes anew, from every pair that there is: for fsck. They
// equal live unless something is applied meanwhile.
func (x *index) recount() (liveBytes, error) {
	x.flushing.Lock() // the database holds still
	defer x.flushing.Unlock()
	var live liveBytes
	err := x.db.view(func(tx kvTx) (err error) {
		_, live, _, err = survey(tx, x.inos)
		return err
	})
	if err != nil {
		return nil, err
	}
	x.mu.RLock()
	levels := []*memtable{x.mem}
	if x.frozen != nil {
		levels = append(levels, x.frozen)
	}
	x.mu.RUnlock()
	seen := newMemtable()
	for _, m := range levels {
		if err := x.addLevel(live, m, seen); err != nil {
			return nil, err
		}
	}
	return live, nil
}

// indexPlace says where a store's index is and how it may be used.
type indexPlace struct {
	dir      string
	id       StoreID
	readOnly bool
	open     func(dir string) (kv, error) // nil: bbolt, in dir/index.db
}

// openIndex opens the index of a store. One that is damaged, or belongs to
// another store, is thrown away, and an empty one opened: its position is not
// ok, so the caller replays the whole log. bad says why; it is nil otherwise.
// With readOnly nothing is changed, and what is missing or bad is replaced by an
// index in memory.
func (p indexPlace) openIndex() (x *index, bad, err error) {
	db, err := p.openKV()
	if err == nil {
		x, err = openIndex(db, p.id)
		if err == nil {
			return x, nil, nil
		}
		err = errors.Join(err, db.close())
	}
	if p.readOnly && (errors.Is(err, errIndexBad) || errors.Is(err, fs.ErrNotExist)) {
		return newIndex(emptyKV{}, p.id), err, nil
	}
	if !errors.Is(err, errIndexBad) {
		return nil, nil, err
	}
	x, rerr := p.newIndex()
	if rerr != nil {
		return nil, nil, errors.Join(err, rerr)
	}
	return x, err, nil
}

// newIndex removes the index of a store and opens an empty one.
func (p indexPlace) newIndex() (*index, error) {
	if p.open == nil {
		if err := removeBolt(p.dir); err != nil {
			return nil, err
		}
	}
	db, err := p.openKV()
	if err != nil {
		return nil, err
	}
	if p.open != nil {
		if err := db.update(wipe); err != nil {
			return nil, errors.Join(err, db.close())
		}
	}
	return newIndex(db, p.id), nil
}

func (p indexPlace) openKV() (kv, error) {
	if p.open != nil {
		return p.open(p.dir)
	}
	return openBolt(p.dir, p.readOnly)
}

// wipe removes every pair.
func wipe(tx kvTx) error {
	for t := range tables + 1 {
		var keys [][]byte
		c := tx.cursor(t)
		for k, _ := c.seek(nil); k != nil; k, _ = c.next() {
			keys = append(keys, bytes.Clone(k))
		}
		for _, k := range keys {
			if err := tx.del(t, k); err != nil {
				return err
			}
		}
	}
	return nil
}

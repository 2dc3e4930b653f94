package deltalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync"
)

// around is a look for the chunks of a file around a place, and the memory that it needs:
// what it has found is good until it is used for another look.
type around struct {
	x            *index
	lo, hi, to   []byte
	behind       []byte // the least key greater than hi: there the page begins
	n            int
	gen, changes uint64 // before
	flushed      uint64 // then
	part         bool   // of a chunk only what is in [from, to) is wanted
	try          func(kvTx) error

	floor               item // the last one of the memtables in [lo, hi], before; without a key there is none
	last                pair // in [lo, hi]; without a value there is none
	recent, mid, old    []pair
	recentNext, oldNext []byte
	frozen              *memtable
	all                 bool   // what was found is all that there is
	upTo                uint64 // as of item, for the last that was found, or for one that began where lo does; 0 if more may be behind

	keys  [4][extentKeySize + 1]byte // that lo, hi, behind, and to lie in
	mem   arena
	found []pair
	es    []extent
}

// arounds keeps the memory of looks that have ended.
var arounds = sync.Pool{New: func() any { return new(around) }}

// chunks returns, as of one moment, chunks that hold extents of [from, to), about n of
// those that begin behind from, and the key of the next, nil if these are all. The first
// may begin before from, in the same region: it is the last one up to from, if that holds any. It goes
// down into the database once. What it returns is good until the next look.
func (a *around) chunks(x *index, l LayerID, ino Ino, from, to uint64, n int) ([]pair, []byte, error) {
	a.x, a.n, a.all = x, n, false
	a.keys = aroundKeys(l, ino, from, to)
	a.lo, a.hi, a.behind, a.to = a.keys[0][:extentKeySize], a.keys[1][:extentKeySize], a.keys[2][:], a.keys[3][:extentKeySize]
	if a.try == nil {
		a.try = a.look
	}
	a.mem.reset()
	if found, err := a.kept(l, ino, from, to); found || err != nil {
		return a.found, nil, err
	}
	for {
		a.mem.reset()
		a.last, a.frozen, a.recent, a.mid, a.old = pair{}, nil, a.recent[:0], a.mid[:0], a.old[:0]
		x.mu.RLock()
		a.gen, a.changes, a.flushed = x.gen, x.changes, x.flushed.Load()
		a.floor, _ = x.recentFloorLocked(tableExtent, a.lo, a.hi)
		x.mu.RUnlock()
		if it := a.floor; it.val != nil && it.upTo >= to {
			a.found, a.upTo, a.all = append(a.found[:0], it), it.upTo, true
			return a.found, nil, nil
		}
		a.upTo = math.MaxUint64
		err := x.db.view(a.try)
		if err == nil {
			ps, next := a.page()
			if next != nil {
				a.upTo = 0
			}
			a.all = next == nil && !a.part
			return ps, next, nil
		}
		if !errors.Is(err, errMoved) {
			return nil, nil, err
		}
	}
}

// aroundKeys are lo, hi, behind, and to of a look, each with a byte more, which only behind has.
func aroundKeys(l LayerID, ino Ino, from, to uint64) (keys [4][extentKeySize + 1]byte) {
	for i, off := range [...]uint64{regionOf(from), from, from, to} {
		k := &keys[i]
		binary.BigEndian.PutUint32(k[:], uint32(l))
		binary.BigEndian.PutUint64(k[layerKeySize:], uint64(ino))
		binary.BigEndian.PutUint64(k[inoKeySize:], off)
	}
	return keys
}

// whole returns all chunks that hold extents of [from, to). If the last look was for that, and nothing has changed since, it
// is not taken again. It is for whoever applies.
func (a *around) whole(x *index, l LayerID, ino Ino, from, to uint64) ([]pair, error) {
	if a.all && a.x == x && a.keys == aroundKeys(l, ino, from, to) {
		x.mu.RLock()
		same := a.gen == x.gen && a.changes == x.changes
		x.mu.RUnlock()
		if same {
			a.all = false // the caller takes what was found apart
			return a.found, nil
		}
	}
	ps, _, err := a.chunks(x, l, ino, from, to, math.MaxInt)
	a.all = false
	return ps, err
}

// kept finds what is asked for in a chunk of the database that is kept, if no memtable has anything there.
func (a *around) kept(l LayerID, ino Ino, from, to uint64) (bool, error) {
	x := a.x
	flushed := x.flushed.Load()
	k := x.kept.get(flushed, l, ino, from, to)
	if k == nil {
		return false, nil
	}
	key := a.mem.keep(k.key(a.mem.room(extentKeySize)))
	x.mu.RLock()
	only := x.flushed.Load() == flushed && !x.mem.any(tableExtent, key, a.to) && (x.frozen == nil || !x.frozen.any(tableExtent, key, a.to))
	a.gen, a.changes = x.gen, x.changes
	x.mu.RUnlock()
	if !only {
		return false, nil
	}
	v, err := k.unpack(a.mem.room(chunkMax+extentSize), from, to, a.part)
	a.found = append(a.found[:0], pair{key: key, val: a.mem.keep(v), lsn: k.lsn})
	a.upTo, a.all = k.upTo, !a.part
	return err == nil, err
}

func (a *around) look(tx kvTx) error {
	c := tx.cursor(tableExtent)
	hi := a.hi
	k, stored := c.floor(hi)
	goesOn := k != nil // behind the cursor
	for again := false; ; again = true {
		if k != nil && bytes.Compare(k, a.lo) < 0 {
			k = nil
		}
		gone, err := a.recently(hi, k, again)
		if err != nil {
			return err
		}
		if gone == nil {
			break
		}
		hi = keyBefore(gone) // down over it
		k, stored = c.floor(hi)
		goesOn = false
	}
	var err error
	var keep *keptChunk
	if a.last.val == nil && k != nil {
		if a.last, err = openPair(&a.mem, tableExtent, k, stored); err != nil {
			return err
		}
		if goesOn && a.part { // what is written next is in the memtable then
			keep = keptOf(k, stored)
		}
	}
	if goesOn {
		k, stored = c.next()
	} else {
		k, stored = c.seek(a.behind)
	}
	if keep != nil {
		if k != nil && sameIno(k, a.to) {
			keep.upTo = min(keep.upTo, keyTail(k))
		}
		a.x.kept.put(a.flushed, keep, keyTail(a.hi))
	}
	var then []byte
	a.old, a.oldNext, then, err = pageAt(&a.mem, a.old, c, k, stored, tableExtent, a.to, a.n)
	a.limit(then)
	return err
}

// limit takes a key at or behind to into account: there, if it is of the same file, another chunk may begin.
func (a *around) limit(then []byte) {
	if then != nil && sameIno(then, a.to) {
		a.upTo = min(a.upTo, keyTail(then))
	}
}

// recently looks into the memtables: for the last pair up to hi, which in the database is
// k, and for the page. If that pair is gone its key is returned, and again is true for
// what is before it: what was seen then must be so still.
func (a *around) recently(hi, k []byte, again bool) (gone []byte, err error) {
	x := a.x
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.gen != a.gen || again && x.changes != a.changes {
		return nil, errMoved
	}
	it, ok := a.floor, a.floor.key != nil
	if again || x.changes != a.changes {
		it, ok = x.recentFloorLocked(tableExtent, a.lo, hi)
	}
	if !ok || k != nil && bytes.Compare(k, it.key) > 0 {
		it = item{}
	} else if it.val == nil {
		return it.key, nil
	}
	a.last = it
	var then []byte
	a.recent, a.recentNext, then = x.mem.page(a.recent[:0], tableExtent, a.behind, a.to, a.n)
	a.limit(then)
	a.frozen = x.frozen
	return nil, nil
}

// page is what was found, newer before older.
func (a *around) page() ([]pair, []byte) {
	ps := a.found[:0]
	if a.last.val != nil {
		ps = append(ps, a.last)
	}
	old, oldNext := a.old, a.oldNext
	if a.frozen != nil {
		var midNext, then []byte
		a.mid, midNext, then = a.frozen.page(a.mid, tableExtent, a.behind, a.to, a.n)
		a.limit(then)
		a.frozen = nil // it may be large
		old, oldNext = shadow(nil, a.mid, midNext, old, oldNext, 0)
	}
	ps, next := shadow(ps, a.recent, a.recentNext, old, oldNext, 0)
	a.found = there(ps)
	return a.found, next
}

// arena is memory for what is copied out of the database, all of which is given up at once.
type arena struct{ buf []byte }

// arenaSize is for several chunks; most looks find one, of some hundred bytes.
const arenaSize = 8 << 10

func (a *arena) reset() { a.buf = a.buf[:0] }

// room returns room for n bytes: nothing else gets it if what was appended to it is kept.
func (a *arena) room(n int) []byte {
	if cap(a.buf)-len(a.buf) < n { // what lies in the old one stays there
		a.buf = make([]byte, 0, max(n, arenaSize))
	}
	return a.buf[len(a.buf):]
}

// keep takes what was appended to the last room, which must not be appended to any more.
func (a *arena) keep(p []byte) []byte {
	a.buf = a.buf[:len(a.buf)+len(p)]
	return slices.Clip(p)
}

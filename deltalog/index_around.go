package deltalog

import (
	"bytes"
	"errors"
	"slices"
)

// around returns, as of one moment, the last pair in [lo, hi], if there is one, and then
// those in (hi, to), about n of them; and where the next page begins, which is behind hi,
// nil if this is the last. It goes down into the database once.
func (x *index) around(t table, lo, hi, to []byte, n int) ([]pair, []byte, error) {
	a := around{x: x, t: t, lo: lo, hi: hi, behind: append(slices.Clip(hi), 0), to: to, n: n}
	for {
		x.mu.RLock()
		a.gen, a.changes = x.gen, x.changes
		x.mu.RUnlock()
		err := x.db.view(a.look)
		if err == nil {
			ps, next := a.page()
			return ps, next, nil
		}
		if !errors.Is(err, errMoved) {
			return nil, nil, err
		}
	}
}

// around is one such look.
type around struct {
	x            *index
	t            table
	lo, hi       []byte
	behind, to   []byte // of the page: behind is the least key greater than hi
	n            int
	gen, changes uint64 // before

	last                pair // in [lo, hi]; without a value there is none
	recent, old         []pair
	recentNext, oldNext []byte
	frozen              *memtable
}

func (a *around) look(tx kvTx) error {
	c := tx.cursor(a.t)
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
	if a.last.val == nil && k != nil {
		if a.last, err = openPair(a.t, k, stored); err != nil {
			return err
		}
	}
	if goesOn {
		k, stored = c.next()
	} else {
		k, stored = c.seek(a.behind)
	}
	a.old, a.oldNext, err = pageAt(c, k, stored, a.t, a.to, a.n)
	return err
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
	it, ok := x.recentFloorLocked(a.t, a.lo, hi)
	if !ok || k != nil && bytes.Compare(k, it.key) > 0 {
		it = item{}
	} else if it.val == nil {
		return it.key, nil
	}
	a.last = it
	a.recent, a.recentNext = x.mem.page(a.recent[:0], a.t, a.behind, a.to, a.n)
	a.frozen = x.frozen
	return nil, nil
}

// page is what was found, newer before older.
func (a *around) page() ([]pair, []byte) {
	old, oldNext := a.old, a.oldNext
	if a.frozen != nil {
		mid, midNext := a.frozen.page(nil, a.t, a.behind, a.to, a.n)
		old, oldNext = shadow(mid, midNext, old, oldNext, 0)
	}
	ps, next := shadow(a.recent, a.recentNext, old, oldNext, 0)
	if ps = there(ps); a.last.val != nil {
		ps = slices.Insert(ps, 0, a.last)
	}
	return ps, next
}

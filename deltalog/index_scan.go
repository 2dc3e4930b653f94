package deltalog

import (
	"bytes"
	"errors"
	"slices"
)

// pair is a key with its value, without trailer. Neither may be changed.
type pair = item

// Bounds of a page: a listing copies this many pairs out of the database at a
// time, so that no callback runs in a transaction. Pages begin small, for
// callers that want a few pairs only.
const (
	pageFirst = 32
	pageMost  = 512
)

// each calls fn for the pairs in [from, to) in key order until it returns
// false; a nil to is the end of the table. fn may take its time and call the
// index: nothing is held. Pairs that change meanwhile are seen as they were or
// as they are, none twice.
func (x *index) each(t table, from, to []byte, fn func(pair) bool) error {
	for n := pageFirst; from != nil; n = min(2*n, pageMost) {
		ps, next, err := x.page(t, from, to, n)
		if err != nil {
			return err
		}
		for _, p := range ps {
			if !fn(p) {
				return nil
			}
		}
		from = next
	}
	return nil
}

// eachPrefix is each for the keys that begin with prefix.
func (x *index) eachPrefix(t table, prefix []byte, fn func(pair) bool) error {
	return x.each(t, prefix, prefixEnd(prefix), fn)
}

// page returns the first pairs in [from, to), as of one moment, about n of
// them; and where the next page begins, nil if this is the last. A page can be
// empty and not the last.
func (x *index) page(t table, from, to []byte, n int) ([]pair, []byte, error) {
	for {
		ps, next, err := x.tryPage(t, from, to, n)
		if !errors.Is(err, errMoved) {
			return ps, next, err
		}
	}
}

func (x *index) tryPage(t table, from, to []byte, n int) ([]pair, []byte, error) {
	x.mu.RLock()
	gen := x.gen
	x.mu.RUnlock()
	old, oldNext, err := x.storedPage(t, from, to, n)
	if err != nil {
		return nil, nil, err
	}
	x.mu.RLock()
	if x.gen != gen {
		x.mu.RUnlock()
		return nil, nil, errMoved
	}
	recent, recentNext, _ := x.mem.page(nil, t, from, to, n)
	frozen := x.frozen
	x.mu.RUnlock()
	if frozen != nil {
		mid, midNext, _ := frozen.page(nil, t, from, to, n)
		old, oldNext = shadow(nil, mid, midNext, old, oldNext, 0)
	}
	ps, next := shadow(nil, recent, recentNext, old, oldNext, 0)
	return there(ps), next, nil
}

// there removes the pairs that are gone.
func there(ps []pair) []pair {
	return slices.DeleteFunc(ps, func(p pair) bool { return p.val == nil })
}

// storedPage reads a page of the database and verifies it.
func (x *index) storedPage(t table, from, to []byte, n int) (ps []pair, next []byte, err error) {
	err = x.db.view(func(tx kvTx) error {
		c := tx.cursor(t)
		k, stored := c.seek(from)
		ps, next, _, err = pageAt(nil, nil, c, k, stored, t, to, n)
		return err
	})
	return ps, next, err
}

// pageAt reads the page that begins with the pair that the cursor is at into ps, which is empty. It is copied into mem, if
// there is one. then is as of memtable.page, and as long good as what the cursor shows.
func pageAt(mem *arena, ps []pair, c kvCursor, k, stored []byte, t table, to []byte, n int) (_ []pair, next, then []byte, err error) {
	for ; k != nil && (to == nil || bytes.Compare(k, to) < 0); k, stored = c.next() {
		if len(ps) == n {
			return ps, bytes.Clone(k), nil, nil
		}
		p, err := openPair(mem, t, k, stored)
		if err != nil {
			return nil, nil, nil, err
		}
		ps = append(ps, p)
	}
	return ps, nil, k, nil
}

// openPair verifies a stored pair and copies it, into mem if there is one.
func openPair(mem *arena, t table, k, stored []byte) (pair, error) {
	if mem == nil {
		v, lsn, err := openStored(nil, t, k, stored)
		return pair{key: bytes.Clone(k), val: v, lsn: lsn}, err
	}
	key := mem.keep(append(mem.room(len(k)), k...))
	v, lsn, err := openStored(mem.room(max(len(stored), chunkMax+extentSize)), t, k, stored)
	if err != nil {
		return pair{}, err
	}
	return pair{key: key, val: mem.keep(v), lsn: lsn}, nil
}

// shadow merges two pages that begin at the same key, and appends them to dst; where both have a key,
// the first wins. The result ends where either does. Keys are compared without
// their first skip bytes.
func shadow(dst, a []pair, aNext []byte, b []pair, bNext []byte, skip int) (ps []pair, next []byte) {
	next = aNext
	if next == nil || bNext != nil && bytes.Compare(bNext[skip:], next[skip:]) < 0 {
		next = bNext
	}
	ps = slices.Grow(dst, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		c := -1
		switch {
		case len(a) == 0:
			c = 1
		case len(b) > 0:
			c = bytes.Compare(a[0].key[skip:], b[0].key[skip:])
		}
		var p pair
		if c <= 0 {
			p, a = a[0], a[1:]
		} else {
			p = b[0]
		}
		if c >= 0 {
			b = b[1:]
		}
		if next != nil && bytes.Compare(p.key[skip:], next[skip:]) >= 0 {
			break
		}
		ps = append(ps, p)
	}
	return ps, next
}

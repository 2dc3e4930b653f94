package billyfs

import (
	"math"
	"sync/atomic"

	"deltafs/billyfs/coarse"
)

// eras counts changes: in the lower bits those that are under way, above them those that are over.
type eras struct{ n atomic.Uint64 }

const underWay = 1<<20 - 1

func (e *eras) begin() { e.n.Add(1) }
func (e *eras) end()   { e.n.Add(underWay) } // one less, and one more

// Stamp is a moment of a tree: see [Tree.Unchanged].
type Stamp struct {
	changes, moves, seen uint64
	left                 uint64 // see Renew
	// Until is when what was read may be believed no more, in nanoseconds since 1970; the
	// reader sets it, to the least Plus.Until.
	Until int64
}

// Forever is the Until of what does not depend on a base that others can change.
const Forever = math.MaxInt64

// Stamp returns the moment of now. It is to be taken before what it is to be a stamp of is read.
func (t *Tree) Stamp() Stamp {
	return Stamp{changes: t.changes.n.Load(), moves: t.base.moves.Load(), seen: t.base.seen.n.Load(), left: t.base.objs.left.Load()}
}

// Unchanged tells whether who reads again what was read after a stamp was taken would read the
// same: nothing was changed since, nor is just now, no change of the base was seen, and what the
// base said is still believed.
func (t *Tree) Unchanged(s Stamp) bool {
	return t.same(s) && holds(s.Until, t.lately())
}

// holds tells whether what is believed up to some time is believed now. What would be for longer than anything is, but for what has
// been said just now, which may be ahead of a clock that is late, was said before the clock was set back.
func holds(until, now int64) bool {
	return until == Forever || now < until && until-now <= trust+int64(coarse.Step)
}

// same is the part of Unchanged that is so for as long as nobody changes anything, or sees that it has changed.
func (t *Tree) same(s Stamp) bool {
	now := t.Stamp()
	quiet := (s.changes|s.seen)&underWay == 0 && s.moves&1 == 0
	return quiet && now.changes == s.changes && now.moves == s.moves && now.seen == s.seen
}

// again notes that the base says of an object that is not a directory what it said before, if it does.
func (o *object) again(st *stat) bool {
	old := o.st.Load()
	if old == nil || st.typ() == TypeDir || !old.same(st) || old.attr != st.attr {
		return false
	}
	old.at.Store(st.at.Load())
	return true
}

// note sets what is known of an object. What differs from before is a change.
func (b *base) note(o *object, st *stat) {
	old := o.st.Load()
	if old != nil && old.same(st) && old.attr == st.attr {
		o.st.Store(st)
		return
	}
	b.seen.begin()
	o.st.Store(st)
	b.seen.end()
}

// until returns up to when what is known of an object may be believed: 0 if it is not known.
func (b *base) until(ino Ino) int64 {
	o := b.known(ino)
	if o == nil {
		return 0
	}
	return b.untilOf(o.st.Load())
}

func (b *base) untilOf(st *stat) int64 {
	switch {
	case st == nil:
		return 0
	case b.immutable:
		return Forever
	}
	return st.at.Load() + trust
}

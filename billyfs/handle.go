package billyfs

import (
	"errors"
	"slices"

	"deltafs/deltalog"
)

// MaxAncestors is how many bytes of numbers of directories a handle can carry.
// Objects of the base in directories deeper than that are found through the
// origins of those directories, which Handle logs.
const MaxAncestors = 22

// Handle returns the identity of an object: a function of the object alone,
// the same bytes whatever name it was reached by, before and after its first
// change, a rename, a restart. It writes nothing but for two rare kinds of
// objects of the base, files with several names and what lies deeper than
// MaxAncestors: for those it logs where they are, and syncs that.
func (t *Tree) Handle(ino Ino) (Handle, error) {
	s, err := t.stateOf(ino)
	if err != nil {
		return Handle{}, err
	}
	if err := t.there("handle", ino, s); err != nil {
		return Handle{}, err
	}
	gen, err := t.generation(ino, s.rec)
	if err != nil {
		return Handle{}, err
	}
	h := Handle{Ino: ino, Gen: gen}
	if ino&deltalog.Born != 0 || ino == RootIno {
		return h, nil
	}
	home, err := t.home(ino)
	if err != nil {
		return Handle{}, err
	}
	if h.Parent = home.Parent; h.Parent == 0 {
		return h, t.logPlaces(ino)
	}
	if home.Depth == unfit {
		return h, t.logPlaces(h.Parent)
	}
	h.Depth, h.Ancestors = home.Depth, home.Ancestors
	return h, nil
}

// home returns what the handle of an object of the base is made of, the generation aside:
// no parent if its number is not that of a place, depth unfit if it lies too deep.
func (t *Tree) home(ino Ino) (deltalog.Home, error) {
	at, err := t.lies(ino)
	if err != nil || at.Pinned {
		return at.Home, err
	}
	var h deltalog.Home
	if n, err := t.base.number(place{at.Parent, at.Name}); err != nil || n != ino {
		return h, err
	}
	h.Parent = at.Parent
	return h, t.ancestors(&h)
}

// Resolve finds the object of a handle, also one of an earlier process. One
// that is gone, or whose number is another object's now, is Stale. It writes
// nothing.
func (t *Tree) Resolve(h Handle) (Ino, error) {
	s, err := t.stateOf(h.Ino)
	if err != nil {
		return 0, err
	}
	if err := t.there("resolve", h.Ino, s); err != nil {
		return 0, err
	}
	if s.rec == nil {
		return t.base.find(h)
	}
	gen, err := t.generation(h.Ino, s.rec)
	if err != nil {
		return 0, err
	}
	if gen != h.Gen {
		return 0, fail("resolve", h.Ino, Stale, nil)
	}
	return h.Ino, nil
}

// generation returns the generation of an object whose record is rec, nil if it
// has none. That of a changed object of the base is told from record and
// origin, so it stays whatever becomes of the base.
func (t *Tree) generation(ino Ino, rec *deltalog.Inode) (uint32, error) {
	if ino&deltalog.Born != 0 {
		return bornGen, nil
	}
	if rec == nil {
		return t.base.gen(ino)
	}
	at, err := t.lies(ino)
	if err != nil {
		return 0, err
	}
	return t.base.genRecorded(ino, at, rec.Mode&TypeMask, rec.Base), nil
}

// lowerPlace returns where in the base an object lies, or lay when it was
// changed first. It does not look at the base if it can do without.
func (t *Tree) lowerPlace(ino Ino) (place, error) {
	o, err := t.lies(ino)
	return place{o.Parent, o.Name}, err
}

// lies is lowerPlace with what a commit has left.
func (t *Tree) lies(ino Ino) (deltalog.Origin, error) {
	if o := t.base.known(ino); o != nil {
		at := deltalog.Origin{Parent: o.parent, Name: o.name, Pinned: o.pinned}
		if o.pinned {
			at.Home = *o.home
		}
		return at, nil
	}
	if at, ok, err := t.base.originOf(ino); ok || err != nil {
		return at, err
	}
	at, err := t.base.place(ino)
	return deltalog.Origin{Parent: at.parent, Name: at.name}, err
}

// ancestors fills in the low bytes of the numbers of h.Parent and the
// directories of the base above it, or that they are too many to fit. Those above a
// directory that a commit has moved are those that it had before.
func (t *Tree) ancestors(h *deltalog.Home) error {
	n := 0
	var low [MaxAncestors]byte // upwards
	var above deltalog.Home
	for at := h.Parent; at != RootIno; {
		if n > maxDepth {
			return fail("handle", h.Parent, Stale, nil)
		}
		if n < MaxAncestors {
			low[n] = byte(at)
		}
		n++
		p, err := t.lies(at)
		if err != nil {
			return err
		}
		if p.Pinned {
			above = p.Home
			break
		}
		at = p.Parent
	}
	if n+int(above.Depth) > MaxAncestors {
		h.Depth = unfit
		return nil
	}
	h.Depth = above.Depth + uint8(n)
	copy(h.Ancestors[:], above.Ancestors[:above.Depth])
	copy(h.Ancestors[above.Depth:], low[:n])
	slices.Reverse(h.Ancestors[above.Depth:h.Depth])
	return nil
}

// logPlaces makes the store know where an object of the base lies, and the
// directories above it: as one durable batch, if anything of it is new. A
// store that cannot take it must still be readable: then the handle is good
// for as long as this process knows the object.
func (t *Tree) logPlaces(ino Ino) error {
	t.stack.RLock()
	defer t.stack.RUnlock()
	var b deltalog.Batch
	missing := 0
	for at := ino; at != RootIno; {
		if missing > maxDepth {
			return fail("handle", ino, Stale, nil)
		}
		p, ok, err := t.base.originOf(at)
		if err != nil {
			return err
		}
		if !ok {
			if p, err = t.lies(at); err != nil {
				return err
			}
			b.Origin(at, p)
			missing++
		}
		at = p.Parent
	}
	if missing == 0 {
		return nil
	}
	lsn, err := t.store.Append(&b)
	if err == nil {
		err = t.store.Sync(lsn)
	}
	switch {
	case errors.Is(err, deltalog.ErrReadOnly), errors.Is(err, deltalog.ErrPoisoned), errors.Is(err, deltalog.ErrNoSpace),
		errors.Is(err, deltalog.ErrBusy):
		t.log.Debug("the place of an object could not be logged: its handle may not outlive this process",
			"object", inoName(ino), "err", err)
		return nil
	case err != nil:
		return fail("handle", ino, storeKind(err), err)
	}
	return nil
}

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
	if s.dead() || s.rec == nil && ino&deltalog.Born != 0 {
		return Handle{}, fail("handle", ino, Stale, nil)
	}
	gen, err := t.generation(ino, s.rec)
	if err != nil {
		return Handle{}, err
	}
	h := Handle{Ino: ino, Gen: gen}
	if ino&deltalog.Born != 0 || ino == RootIno {
		return h, nil
	}
	at, err := t.lowerPlace(ino)
	if err != nil {
		return Handle{}, err
	}
	if t.base.id.plain(at.parent, at.name) != ino {
		return h, t.logPlaces(ino)
	}
	h.Parent = at.parent
	fit, err := t.ancestors(&h)
	if err != nil {
		return Handle{}, err
	}
	if !fit {
		err = t.logPlaces(h.Parent)
	}
	return h, err
}

// Resolve finds the object of a handle, also one of an earlier process. One
// that is gone, or whose number is another object's now, is Stale. It writes
// nothing.
func (t *Tree) Resolve(h Handle) (Ino, error) {
	s, err := t.stateOf(h.Ino)
	if err != nil {
		return 0, err
	}
	if s.dead() || s.rec == nil && h.Ino&deltalog.Born != 0 {
		return 0, fail("resolve", h.Ino, Stale, nil)
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
	at, err := t.lowerPlace(ino)
	if err != nil {
		return 0, err
	}
	return t.base.genRecorded(ino, at, rec.Mode&TypeMask, rec.Base), nil
}

// lowerPlace returns where in the base an object lies, or lay when it was
// changed first. It does not look at the base if it can do without.
func (t *Tree) lowerPlace(ino Ino) (place, error) {
	if o := t.base.known(ino); o != nil {
		return o.place, nil
	}
	if at, ok, err := t.origin(ino); ok || err != nil {
		return at, err
	}
	return t.base.place(ino)
}

// ancestors fills in the low bytes of the numbers of h.Parent and the
// directories of the base above it, unless they are too many to fit.
func (t *Tree) ancestors(h *Handle) (fit bool, err error) {
	n := 0
	var low [MaxAncestors]byte // upwards
	for at := h.Parent; at != RootIno; n++ {
		if n > maxDepth {
			return false, fail("handle", h.Parent, Stale, nil)
		}
		if n < MaxAncestors {
			low[n] = byte(at)
		}
		p, err := t.lowerPlace(at)
		if err != nil {
			return false, err
		}
		at = p.parent
	}
	if n > MaxAncestors {
		return false, nil
	}
	h.Depth = uint8(n)
	copy(h.Ancestors[:], low[:n])
	slices.Reverse(h.Ancestors[:n])
	return true, nil
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
		p, ok, err := t.origin(at)
		if err != nil {
			return err
		}
		if !ok {
			if p, err = t.lowerPlace(at); err != nil {
				return err
			}
			b.Origin(at, deltalog.Origin{Parent: p.parent, Name: p.name})
			missing++
		}
		at = p.parent
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

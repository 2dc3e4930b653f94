package billyfs

import (
	"math"

	"deltafs/deltalog"
)

// dirSize is the size that new directories show, in bytes.
const dirSize = 4096

// dead says that the object is one of the base whose last name is gone.
func (s *state) dead() bool { return s.rec != nil && s.rec.Flags&deltalog.InodeDead != 0 }

// load returns what the layer says of n. With n.mu held it stays true.
func (t *Tree) load(n *node) (*state, error) {
	for {
		old, epoch, layer := n.state.Load(), t.epoch.Load(), t.live()
		if old != nil && old.epoch == epoch {
			return old, nil
		}
		rec, ok, err := t.store.Inode(layer, n.ino)
		if err != nil {
			return nil, fail("attr", n.ino, storeKind(err), err)
		}
		s := &state{layer: layer, epoch: epoch}
		if ok {
			s.rec = &rec
		}
		// If somebody was faster, theirs is as new or newer.
		n.state.CompareAndSwap(old, s)
	}
}

// untouched is the state of what the layer says nothing of.
var untouched state

// stateOf is load by number. It makes no node for what was never changed, which is most of what is looked at.
func (t *Tree) stateOf(ino Ino) (*state, error) {
	if t.store.Unrecorded(ino) {
		return &untouched, nil
	}
	n := t.nodes.get(ino)
	defer t.nodes.put(n)
	return t.load(n)
}

// mode returns type and permissions of an object, and Stale if it is gone.
func (t *Tree) mode(op string, ino Ino) (uint32, error) {
	s, err := t.stateOf(ino)
	if err != nil {
		return 0, err
	}
	if err := t.there(op, ino, s); err != nil {
		return 0, err
	}
	if s.rec != nil {
		return s.rec.Mode, nil
	}
	a, err := t.base.Attr(ino)
	return a.Mode, err
}

// Attr returns the attributes of an object. It takes no lock: what it returns
// was true at one moment during the call.
func (t *Tree) Attr(ino Ino) (Attr, error) {
	if ino&deltalog.Born == 0 && t.store.Unrecorded(ino) {
		return t.base.Attr(ino)
	}
	n := t.nodes.get(ino)
	defer t.nodes.put(n)
	s, err := t.load(n)
	if err != nil {
		return Attr{}, err
	}
	return t.attr(n, s)
}

// Changed returns the attributes of an object that the delta has changed, if they are at hand: it
// asks the base for nothing, and counts nothing.
func (t *Tree) Changed(ino Ino) (Attr, bool) {
	if t.store.Unrecorded(ino) {
		return Attr{}, false
	}
	n := t.nodes.get(ino)
	defer t.nodes.put(n)
	s, err := t.load(n)
	if err != nil || s.rec == nil || s.used == nil && s.rec.Mode&TypeMask == TypeRegular {
		return Attr{}, false
	}
	a, err := t.attr(n, s)
	return a, err == nil
}

// attr returns the attributes of n in state s.
func (t *Tree) attr(n *node, s *state) (Attr, error) {
	if err := t.there("attr", n.ino, s); err != nil {
		return Attr{}, err
	}
	if s.rec == nil {
		return t.base.Attr(n.ino)
	}
	gen, err := t.gen(n, s.rec)
	if err != nil {
		return Attr{}, err
	}
	used, err := t.used(n, s)
	if err != nil {
		return Attr{}, err
	}
	r := s.rec
	return Attr{
		Ino: n.ino, Gen: gen, Mode: r.Mode, Nlink: r.Nlink, UID: r.UID, GID: r.GID,
		RdevMajor: r.RdevMajor, RdevMinor: r.RdevMinor, Size: r.Size, Used: used,
		Atime: r.Atime, Mtime: r.Mtime, Ctime: r.Ctime,
	}, nil
}

// bornGen is the generation of all objects of the delta: their numbers are
// never reused, so it has nothing to tell apart.
const bornGen = 1

// gen returns the generation of an object with a record. That of an object of
// the base follows from what the store knows of it, so that it stays the same
// whatever becomes of the base.
func (t *Tree) gen(n *node, rec *deltalog.Inode) (uint32, error) {
	if n.ino&deltalog.Born != 0 {
		return bornGen, nil
	}
	const known = 1 << 32
	if g := n.gen.Load(); g&known != 0 {
		return uint32(g), nil
	}
	at, _, err := t.base.originOf(n.ino)
	if err != nil {
		return 0, err
	}
	g := t.base.genRecorded(n.ino, at, rec.Mode&TypeMask, rec.Base)
	n.gen.Store(known | uint64(g))
	return g, nil
}

// used returns the bytes that an object takes: for a file the layer's data,
// and for what still shows of the lower file its share of what that takes.
func (t *Tree) used(n *node, s *state) (uint64, error) {
	switch s.rec.Mode & TypeMask {
	case TypeDir:
		return s.rec.Size, nil
	case TypeRegular:
		u, err := t.usage(n, s)
		if err != nil {
			return 0, err
		}
		shown := s.rec.LowerLen - min(u.low, s.rec.LowerLen)
		return u.data + uint64(float64(shown)*u.density), nil
	}
	return 0, nil
}

// usage returns the counts of a regular file, and counts if nobody has yet:
// once for each time that a node is loaded, or its file truncated.
func (t *Tree) usage(n *node, s *state) (*usage, error) {
	if s.used != nil {
		return s.used, nil
	}
	u := &usage{density: 1}
	lower := int64(min(s.rec.LowerLen, math.MaxInt64))
	if s.rec.Size > 0 {
		var err error
		if u.low, err = t.dataBytes(n.ino, 0, lower); err != nil {
			return nil, err
		}
		above, err := t.dataBytes(n.ino, lower, int64(s.rec.Size)-lower)
		if err != nil {
			return nil, err
		}
		u.data = u.low + above
	}
	if lower > 0 {
		// A base that cannot be asked is taken as dense.
		if a, err := t.base.Attr(n.ino); err == nil && a.Size > 0 {
			u.density = float64(a.Used) / float64(a.Size)
		}
	}
	now := *s
	now.used = u
	n.state.CompareAndSwap(s, &now)
	return u, nil
}

// dataBytes counts the bytes that the layer holds of a range of a file.
func (t *Tree) dataBytes(ino Ino, off, n int64) (uint64, error) {
	if n <= 0 {
		return 0, nil
	}
	held, err := t.store.Held(t.live(), ino, off, n)
	if err != nil {
		return 0, fail("attr", ino, storeKind(err), err)
	}
	return uint64(held), nil
}

package billyfs

import (
	"sync"
	"sync/atomic"

	"deltafs/deltalog"
)

// Plus is what is known of an entry besides its name. Either can be missing: the object
// may just have gone.
type Plus struct {
	Attr      Attr
	Handle    Handle
	HasAttr   bool
	HasHandle bool
	// Until is up to when Attr, and that there is such an entry, may be believed, in nanoseconds
	// since 1970; 0: not longer than now.
	Until int64
}

// ReadDirPlus is ReadDir with attributes and identity of each entry, as Attr and Handle
// return them; *Plus is valid until fn returns. It costs less than to ask for each.
func (t *Tree) ReadDirPlus(dir Ino, cookie uint64, fn func(DirEntry, *Plus) bool) (eof bool, err error) {
	w := plusWalk{t: t, dir: dir, until: t.untilOf(dir)}
	return t.ReadDir(dir, cookie, func(e DirEntry) bool {
		if w.look(&e); !w.HasAttr { // it may have been forgotten since it was listed
			if _, err := t.Lookup(dir, e.Name); err == nil {
				w.look(&e)
			}
		}
		return fn(e, &w.Plus)
	})
}

// plusWalk keeps what entries of one directory have in common.
type plusWalk struct {
	t   *Tree
	dir Ino
	now int64 // when the first entry was looked at, or what was too old last
	// ahead is the cookie up to which what was too old was looked at anew.
	ahead uint64
	// until is up to when the listing may be believed.
	until int64
	Plus

	home  deltalog.Home // of the directory's entries
	known bool          // home is
}

func (w *plusWalk) look(e *DirEntry) {
	t, ino := w.t, e.Ino
	if ino != RootIno && t.untouched(ino) && w.lookBase(e) {
		return
	}
	n := t.nodes.get(ino)
	defer t.nodes.put(n)
	s, err := t.load(n)
	if err == nil && s.rec == nil && ino != RootIno && w.lookBase(e) {
		return
	}
	if err == nil {
		w.Attr, err = t.attr(n, s)
	}
	w.HasAttr, w.HasHandle = err == nil, false
	w.Until = 0
	if err == nil {
		w.Handle, err = t.Handle(ino)
		w.HasHandle = err == nil
	}
	switch {
	case err != nil:
	case s.rec != nil:
		w.Until = w.until
	default:
		w.Until = min(w.until, t.base.until(ino))
	}
}

// untilOf returns up to when a listing of a directory may be believed.
func (t *Tree) untilOf(dir Ino) int64 {
	if !t.inBase(dir) {
		return Forever
	}
	return t.base.until(dir)
}

// untouched tells that the layer says nothing of an object, as far as that is easily said. A node that is not used
// is one of a list, and one that is not there need not be made: to look is cheaper than to use.
func (t *Tree) untouched(ino Ino) bool {
	if t.store.Unrecorded(ino) {
		return true
	}
	if s := t.nodes.peek(ino); s != nil && s.epoch == t.epoch.Load() {
		return s.rec == nil
	}
	_, ok, err := t.store.Inode(t.live(), ino)
	return err == nil && !ok
}

// lookBase is look for an object of the base that is known, and was looked at lately, and
// that nothing is peculiar about; it is false for others.
func (w *plusWalk) lookBase(e *DirEntry) bool {
	b, ino := w.t.base, e.Ino
	o := b.known(ino)
	if o == nil || o.shared || o.pinned || o.parent != w.dir || b.pinned.Load() {
		return false
	}
	st := o.st.Load()
	if w.now == 0 {
		w.now = b.lately()
	}
	if st == nil || o.typ == TypeDir && !st.links {
		return false
	}
	if !b.immutable && !trusted(st.at, w.now) {
		if !w.lookAhead(e.Cookie) {
			return false
		}
		if st = o.st.Load(); st == nil || o.typ == TypeDir && !st.links || !trusted(st.at, w.now) {
			return false
		}
	}
	if !w.known {
		w.home = deltalog.Home{Parent: w.dir}
		if w.t.ancestors(&w.home) != nil || w.home.Depth == unfit {
			return false
		}
		w.known = true
	}
	w.Attr = st.attr
	w.Attr.Ino, w.Attr.Gen = ino, o.gen
	w.Handle = Handle{Ino: ino, Gen: o.gen, Parent: w.home.Parent, Depth: w.home.Depth, Ancestors: w.home.Ancestors}
	w.HasAttr, w.HasHandle = true, true
	w.Until = min(w.until, b.untilOf(st))
	return true
}

// Where the base is far away each look at an object waits, so those of a listing are looked at anew several at a time, and
// for the calls that come next, too.
const (
	lookers   = 8
	lookPart  = 16  // entries for each of them at a time
	lookAhead = 512 // entries
)

// lookAhead looks at what is too old of what the base lists from a cookie on, unless that was done already, or is little.
func (w *plusWalk) lookAhead(cookie uint64) bool {
	if cookie <= w.ahead {
		return false
	}
	b := w.t.base
	list, err := b.ReadDir(w.dir)
	if err != nil {
		return false
	}
	list = list[firstFrom(list, cookie):]
	list = list[:min(len(list), lookAhead)]
	if len(list) <= lookPart {
		return false
	}
	w.ahead = list[len(list)-1].Cookie
	var next atomic.Int64
	look := func() {
		for {
			to := int(next.Add(lookPart))
			from := to - lookPart
			if from >= len(list) {
				return
			}
			for i := range list[from:min(to, len(list))] {
				ino := list[from+i].Ino
				if o := b.known(ino); o != nil && !b.fresh(o.st.Load()) {
					_, _, _ = b.stat(ino, true) // what is wrong with it is seen by who asks for it
				}
			}
		}
	}
	var wg sync.WaitGroup
	for range min(lookers, (len(list)-1)/lookPart+1) - 1 {
		wg.Go(look)
	}
	look()
	wg.Wait()
	w.now = b.lately()
	return true
}

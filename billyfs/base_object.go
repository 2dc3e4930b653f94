package billyfs

import (
	"io/fs"
	"sync/atomic"
)

// object is what is known of an object of the base. All but st never changes:
// an object that is found elsewhere, or with another type, is a new one.
type object struct {
	place
	ino    Ino
	gen    uint32
	typ    uint32 // S_IFMT bits
	shared bool   // the number is that of the inode, not that of the place
	inode  uint64 // of a shared object: its inode number in the base
	st     atomic.Pointer[stat]
}

// known returns an object without asking anybody.
func (b *base) known(ino Ino) *object {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.objs[ino]
}

// object returns an object that is known, or that the store knows the place of.
func (b *base) object(ino Ino) (*object, error) { return b.objectAt(ino, 0) }

func (b *base) objectAt(ino Ino, depth int) (*object, error) {
	if o := b.known(ino); o != nil {
		return o, nil
	}
	at, ok, err := b.origin(ino)
	if err != nil {
		return nil, &Error{Op: "find", Path: inoName(ino), Kind: KindIO, Err: err}
	}
	if !ok || depth > maxDepth {
		return nil, staleIno("find", ino)
	}
	if _, err := b.objectAt(at.parent, depth+1); err != nil {
		return nil, err
	}
	return b.meet(ino, at)
}

// meet looks at a place where the object with number ino is said to lie, and
// enters it if it is so; else it is Stale.
func (b *base) meet(ino Ino, at place) (*object, error) {
	dir, err := b.path(at.parent)
	if err != nil {
		return nil, err
	}
	p := below(dir, at.name)
	fi, err := b.fs.Lstat(p)
	if err != nil {
		return nil, b.wrap("find", p, err, Stale)
	}
	st := b.newStat(nil, fi, 0)
	if b.id.plain(at.parent, at.name) == ino {
		// The store knows it by its place: it keeps that number even if it has
		// got more names in the base since.
		return b.enterAs(ino, at, false, st)
	}
	o, err := b.enter(at, st)
	if err == nil && o.ino != ino {
		err = staleIno("find", ino)
	}
	return o, err
}

// enter gives the object at a place its number and notes what is known of it.
func (b *base) enter(at place, st *stat) (*object, error) {
	plain := b.id.plain(at.parent, at.name)
	if st.typ() == TypeDir || !st.known {
		return b.enterAs(plain, at, false, st)
	}
	mount, err := b.mountOf(at.parent)
	if err != nil {
		return nil, err
	}
	// A file that is mounted on its own has one name, whatever its nlink.
	inode := b.id.shared(mount.mount, st.inode)
	if st.dev != mount.dev || !b.isShared(plain, inode, at, st.attr.Nlink > 1) {
		return b.enterAs(plain, at, false, st)
	}
	return b.enterAs(inode, at, true, st)
}

// isShared decides whether the file at a place is known by its inode or by its
// place. Normally that is whether it has several names. But a file that was
// met, or changed, keeps its number when names of it come or go in the base:
// else its changes would be lost from sight.
func (b *base) isShared(plain, inode Ino, at place, several bool) bool {
	other := inode
	if several {
		other = plain
	}
	o := b.known(other)
	keep := o != nil && o.place == at && o.shared != several
	if !keep {
		was, ok, err := b.origin(other)
		keep = err == nil && ok && was == at
	}
	return several != keep
}

// enterAs notes an object under a number. A number that belongs to another
// object already (hashes can collide) makes this one Stale: it cannot be
// reached, but neither can the other one be mistaken for it.
func (b *base) enterAs(ino Ino, at place, shared bool, st *stat) (*object, error) {
	typ := st.typ()
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.objs[ino]
	if old != nil {
		if old.shared != shared || !shared && old.place != at || shared && old.inode != st.inode {
			return nil, &Error{Op: "find", Path: at.name, Kind: Stale, Err: errCollision}
		}
		if old.typ == typ && old.place == at {
			old.st.Store(st)
			return old, nil
		}
	}
	o := &object{place: at, ino: ino, typ: typ, shared: shared}
	if shared {
		o.inode = st.inode
		o.gen = b.id.genShared(ino, st.inode, typ)
	} else {
		o.gen = b.id.genPlain(at.parent, at.name, typ)
	}
	o.st.Store(st)
	if old == nil && typ != TypeDir {
		b.makeRoomLocked()
		b.files++
	}
	b.objs[ino] = o
	return o, nil
}

// makeRoomLocked forgets some files when too many are known. Directories are
// kept: all below them is found through them.
func (b *base) makeRoomLocked() {
	if b.files < maxObjects {
		return
	}
	// A sixteenth at a time, in the map's order, which is as good as random.
	n := maxObjects / 16
	for ino, o := range b.objs {
		if n == 0 {
			return
		}
		if o.typ != TypeDir {
			delete(b.objs, ino)
			b.files--
			n--
		}
	}
}

// forget drops an object that turned out to be gone or to be another one.
func (b *base) forget(o *object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.objs[o.ino] != o || o.ino == RootIno {
		return
	}
	delete(b.objs, o.ino)
	if o.typ != TypeDir {
		b.files--
	}
}

// Lookup finds a name in a directory of the base.
func (b *base) Lookup(dir Ino, name string) (Ino, error) {
	at := place{dir, name}
	if o := b.known(b.id.plain(dir, name)); o != nil && o.place == at && b.fresh(o.st.Load()) {
		return o.ino, nil
	}
	d, err := b.object(dir)
	if err != nil {
		return 0, err
	}
	p, err := b.path(dir)
	if err != nil {
		return 0, err
	}
	if d.typ != TypeDir {
		return 0, &Error{Op: "lookup", Path: p, Kind: NotDir}
	}
	if !validName(name) {
		return 0, &Error{Op: "lookup", Path: below(p, name), Kind: NotExist}
	}
	if b.foldsCase() {
		if err := b.exactName(dir, name); err != nil {
			return 0, err
		}
	}
	p = below(p, name)
	fi, err := b.fs.Lstat(p)
	if err != nil {
		return 0, b.wrap("lookup", p, err, NotExist)
	}
	o, err := b.enter(at, b.newStat(nil, fi, 0))
	if err != nil {
		return 0, err
	}
	return o.ino, nil
}

// foldsCase tells whether the base finds a file by names that are not its own.
func (b *base) foldsCase() bool {
	f, ok := b.fs.(interface{ FoldsCase() bool })
	return ok && f.FoldsCase()
}

// exactName fails with NotExist unless the directory lists name byte by byte:
// otherwise a file would have one number for each spelling.
func (b *base) exactName(dir Ino, name string) error {
	list, err := b.ReadDir(dir)
	if err != nil {
		return err
	}
	if findEntry(list, b.cookie(name), name) == nil {
		return &Error{Op: "lookup", Path: name, Kind: NotExist, Err: fs.ErrNotExist}
	}
	return nil
}

package billyfs

import (
	"io/fs"
	"sync/atomic"

	"deltafs/deltalog"
)

// object is what is known of an object of the base. All but st and seen never changes:
// an object that is found elsewhere, or with another type, is a new one.
type object struct {
	place
	ino    Ino
	gen    uint32
	typ    uint32         // S_IFMT bits
	seen   uint32         // how many had been entered when it was looked up last; under the lock of its shard
	shared bool           // the number is that of the inode, not that of the place
	inode  uint64         // of a shared object: its inode number in the base
	pinned bool           // a commit has given it its number, and home
	home   *deltalog.Home // of a pinned one
	st     atomic.Pointer[stat]
}

// known returns an object without asking anybody.
func (b *base) known(ino Ino) *object {
	return b.objs.get(ino)
}

// object returns an object that is known, or that the store knows the place of.
func (b *base) object(ino Ino) (*object, error) { return b.objectAt(ino, 0) }

func (b *base) objectAt(ino Ino, depth int) (*object, error) {
	if o := b.known(ino); o != nil {
		return o, nil
	}
	at, ok, err := b.originOf(ino)
	if err != nil {
		return nil, &Error{Op: "find", Path: inoName(ino), Kind: KindIO, Err: err}
	}
	if !ok || depth > maxDepth {
		return nil, staleIno("find", ino)
	}
	if _, err := b.objectAt(at.Parent, depth+1); err != nil {
		return nil, err
	}
	return b.meet(ino, place{at.Parent, at.Name})
}

// meet looks at a place where the object with number ino is said to lie, and
// enters it if it is so; else it is Stale.
func (b *base) meet(ino Ino, at place) (o *object, err error) {
	err = b.at(at.parent, func(dir string, seq uint64) error {
		p := below(dir, at.name)
		fi, err := b.fs.Lstat(p)
		if err != nil {
			return b.wrap("find", p, err, Stale)
		}
		st := b.newStat(fi, 0)
		pin, err := b.pinOf(at)
		if err != nil {
			return err
		}
		if n, err := b.number(at); err != nil {
			return err
		} else if pin == 0 && n == ino {
			// The store knows it by its place: it keeps that number even if it has
			// got more names in the base since.
			o, err = b.enterAs(ino, at, false, st, seq)
			return err
		}
		if o, err = b.enterPin(at, pin, st, seq); err == nil && o.ino != ino {
			err = staleIno("find", ino)
		}
		return err
	})
	return o, err
}

// enter gives the object at a place its number and notes what is known of it. seq is of
// before it was looked at: errMoved if a commit has changed the base since.
func (b *base) enter(at place, st *stat, seq uint64) (*object, error) {
	pin, err := b.pinOf(at)
	if err != nil {
		return nil, err
	}
	return b.enterPin(at, pin, st, seq)
}

// enterPin is enter at a place of which it is known what it is pinned to; 0: to nothing.
func (b *base) enterPin(at place, pin Ino, st *stat, seq uint64) (*object, error) {
	if pin != 0 {
		return b.enterAs(pin, at, false, st, seq)
	}
	plain, err := b.number(at)
	if err != nil {
		return nil, err
	}
	if st.typ() == TypeDir || !st.known {
		return b.enterAs(plain, at, false, st, seq)
	}
	mount, err := b.mountOf(at.parent)
	if err != nil {
		return nil, err
	}
	// A file that is mounted on its own has one name, whatever its nlink.
	inode := b.id.shared(mount.mount, st.inode)
	if st.dev != mount.dev || !b.isShared(plain, inode, at, st) {
		return b.enterAs(plain, at, false, st, seq)
	}
	return b.enterAs(inode, at, true, st, seq)
}

// isShared decides whether the file at a place is known by its inode or by its
// place. Normally that is whether it has several names. But a file that was
// met, or changed, keeps its number when names of it come or go in the base:
// else its changes would be lost from sight. The last name that is left need not be the one
// that its number was met by; then it is still that file if it is what was recorded of it.
func (b *base) isShared(plain, inode Ino, at place, st *stat) bool {
	several, other := st.attr.Nlink > 1, inode
	if several {
		other = plain
	}
	keep := false
	if several || b.objs.shared.Load() > 0 { // most bases have no such files
		o := b.known(other)
		keep = o != nil && o.place == at && o.shared != several
	}
	if !keep {
		was, ok, err := b.originOf(other)
		keep = err == nil && ok && (was.Parent == at.parent && was.Name == at.name || !several && (was.Pinned || b.isRecorded(inode, st)))
	}
	return several != keep
}

// isRecorded tells whether a file is the one that the store has a record of under a number, but for its names.
func (b *base) isRecorded(ino Ino, st *stat) bool {
	if b.recorded == nil {
		return false
	}
	was, ok, err := b.recorded(ino)
	now := st.fingerprint()
	return err == nil && ok && was.Ino == now.Ino && was.Size == now.Size && was.Mtime == now.Mtime
}

// enterAs notes an object under a number. A number that belongs to another
// object already (hashes can collide) makes this one Stale: it cannot be
// reached, but neither can the other one be mistaken for it.
func (b *base) enterAs(ino Ino, at place, shared bool, st *stat, seq uint64) (*object, error) {
	typ := st.typ()
	var pin deltalog.Origin
	if b.pinned.Load() && !shared {
		if to, err := b.pinOf(at); err != nil {
			return nil, err
		} else if to == ino {
			if pin, _, err = b.originOf(ino); err != nil {
				return nil, err
			}
		}
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.moves.Load() != seq {
		return nil, errMoved
	}
	s := b.objs.shard(ino)
	s.mu.Lock()
	defer s.mu.Unlock()
	old := b.objs.getLocked(s, ino)
	if old != nil && old.pinned && shared { // by another of its names
		b.note(old, st)
		return old, nil
	}
	if old != nil {
		if !pin.Pinned && (old.shared != shared || !shared && old.place != at || shared && old.inode != st.inode) {
			return nil, &Error{Op: "find", Path: at.name, Kind: Stale, Err: errCollision}
		}
		if old.typ == typ && old.place == at && old.pinned == pin.Pinned {
			b.note(old, st)
			return old, nil
		}
	}
	o := &object{place: at, ino: ino, typ: typ, shared: shared}
	switch {
	case pin.Pinned:
		home := pin.Home // or all of pin would be garbage for each object that has none
		o.pinned, o.home, o.gen = true, &home, home.Gen
	case shared:
		o.inode = st.inode
		o.gen = b.id.genShared(ino, st.inode, typ)
	default:
		o.gen = b.id.genPlain(at.parent, at.name, typ)
	}
	o.st.Store(st)
	o.seen = b.objs.entered.Add(1)
	if old == nil && typ != TypeDir {
		b.objs.makeRoomLocked(s)
	}
	if old != nil {
		b.seen.begin()
		defer b.seen.end()
	}
	b.objs.setLocked(s, o)
	return o, nil
}

// forget drops an object that turned out to be gone or to be another one.
func (b *base) forget(o *object) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s := b.objs.shard(o.ino)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m[o.ino] != o || o.ino == RootIno {
		return
	}
	b.seen.begin()
	defer b.seen.end()
	b.objs.deleteLocked(s, o)
}

// Lookup finds a name in a directory of the base.
func (b *base) Lookup(dir Ino, name string) (Ino, error) {
	at := place{dir, name}
	n, err := b.pinOf(at)
	if err == nil && n == 0 {
		n, err = b.number(at)
	}
	if err != nil {
		return 0, err
	}
	if o := b.known(n); o != nil && o.place == at && b.fresh(o.st.Load()) {
		return o.ino, nil
	}
	d, err := b.object(dir)
	if err != nil {
		return 0, err
	}
	if d.typ != TypeDir {
		return 0, &Error{Op: "lookup", Path: inoName(dir), Kind: NotDir}
	}
	if !validName(name) || b.hides(name) {
		return 0, &Error{Op: "lookup", Path: name, Kind: NotExist}
	}
	if b.foldsCase() {
		if err := b.exactName(dir, name); err != nil {
			return 0, err
		}
	}
	var ino Ino
	err = b.at(dir, func(p string, seq uint64) error {
		fi, err := b.lstatIn(dir, p, name, seq)
		if err != nil {
			return b.wrap("lookup", below(p, name), err, NotExist)
		}
		o, err := b.enter(at, b.newStat(fi, 0), seq)
		if err == nil {
			ino = o.ino
		}
		return err
	})
	return ino, err
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

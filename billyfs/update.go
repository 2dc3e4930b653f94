package billyfs

import (
	"math"
	"sync"

	"deltafs/deltalog"
)

// update collects the changes of one operation on locked inodes. All of them
// go to the log in one batch, so that the operation happens or does not.
type update struct {
	lockSet
	op      string
	tag     []byte
	batch   *deltalog.Batch // nil once it is appended
	edits   []*edit
	origins map[Ino]bool // that this batch logs already
	names   []dentryKey  // whose meaning changes
	at      int64        // of its first edit; see now
	err     error        // of leave
}

// edit is an inode that an update changes.
type edit struct {
	n      *node
	before Attr
	rec    deltalog.Inode // as it will be
	used   *usage         // as it will be; nil: to be counted
	stamp  int64          // time of the change, later than all that the object has seen
	gone   bool           // its last name goes with this update
	inBase bool           // of one that is gone: the base has it
}

// begin starts an update of inodes that set has locked.
func (t *Tree) begin(op string, c Caller, set lockSet) *update {
	return &update{lockSet: set, op: op, tag: c.Tag, batch: batches.Get().(*deltalog.Batch)}
}

// now is when the update happens, once for all that it changes. What it stamps is locked, so no stamp is before that
// of an earlier update.
func (u *update) now() int64 {
	if u.at == 0 {
		u.at = u.t.now()
	}
	return u.at
}

// batches are empty ones with memory, so that a WRITE copies its data once and
// makes no room for it. One that an update has not come to append is dropped.
var batches = sync.Pool{New: func() any { return new(deltalog.Batch) }}

// check refuses a caller whose tag does not fit into a batch.
func (c Caller) check(op string, ino Ino) error {
	if len(c.Tag) > deltalog.MaxTag {
		return fail(op, ino, Invalid, nil)
	}
	return nil
}

// edit returns the edit of a locked inode. An object of the base that has no
// record gets one: this is copy-up, and it costs the same for every size.
func (u *update) edit(ino Ino) (*edit, error) {
	for _, e := range u.edits {
		if e.n.ino == ino {
			return e, nil
		}
	}
	n := u.node(ino)
	s, err := u.t.load(n)
	if err != nil {
		return nil, err
	}
	e := &edit{n: n}
	if e.before, err = u.t.attr(n, s); err != nil {
		return nil, err
	}
	if s.rec != nil {
		e.rec, e.used = *s.rec, s.used
		if s.layer != u.t.live() { // the record is one of a layer below now
			e.rec.Below = math.MaxUint64
		}
		if l := n.state.Load(); e.used == nil && l.rec == s.rec {
			e.used = l.used // attr has counted
		}
	} else if err := u.copyUp(e); err != nil {
		return nil, err
	}
	e.stamp = u.now()
	if e.stamp <= e.before.Ctime && e.before.Ctime < math.MaxInt64 {
		e.stamp = e.before.Ctime + 1
	}
	u.edits = append(u.edits, e)
	return e, nil
}

// copyUp makes the record of an object of the base, with the fingerprint that
// drift is found by, and logs where in the base it lies. No data is copied:
// the lower file shows through.
func (u *update) copyUp(e *edit) error {
	b, ino, a := u.t.base, e.n.ino, &e.before
	e.rec = deltalog.Inode{
		Mode: a.Mode, Flags: deltalog.InodeBase, Nlink: a.Nlink, UID: a.UID, GID: a.GID,
		RdevMajor: a.RdevMajor, RdevMinor: a.RdevMinor, Size: a.Size,
		Atime: a.Atime, Mtime: a.Mtime, Ctime: a.Ctime,
	}
	var err error
	if e.rec.Base, err = b.fingerprint(ino); err != nil {
		return err
	}
	switch a.Mode & TypeMask {
	case TypeRegular:
		e.rec.LowerLen = a.Size
	case TypeSymlink:
		if e.rec.Target, err = b.Readlink(ino); err != nil {
			return err
		}
	case TypeDir:
		if e.rec.Parent, err = u.t.parent(ino); err != nil {
			return err
		}
	}
	return u.origin(ino)
}

// origin logs where in the base an object lies, and the same of each directory
// above it, as far as that is not logged yet: so its number alone finds it
// again, whatever becomes of the names in the merged tree.
func (u *update) origin(ino Ino) error {
	if u.origins == nil {
		u.origins = make(map[Ino]bool)
	}
	for ino != u.t.Root() && !u.origins[ino] {
		o, ok, err := u.t.store.Origin(ino)
		if err != nil {
			return fail(u.op, ino, storeKind(err), err)
		}
		if !ok {
			p, err := u.t.base.place(ino)
			if err != nil {
				return err
			}
			o = deltalog.Origin{Parent: p.parent, Name: p.name}
			u.batch.Origin(ino, o)
		}
		u.origins[ino] = true
		ino = o.Parent
	}
	return nil
}

// changed moves the object's ctime forward.
func (e *edit) changed() { e.rec.Ctime = e.stamp }

// modified moves mtime and ctime forward: content or names have changed.
func (e *edit) modified() {
	e.rec.Mtime, e.rec.Ctime = e.stamp, e.stamp
	e.rec.Flags &^= deltalog.InodeTouched
}

// enter gives a name in a directory to an inode, whatever was there before.
func (u *update) enter(n *name, ino Ino, typ uint32) {
	u.names = append(u.names, dentryKey{n.dir, n.name})
	u.batch.Entry(u.t.live(), n.dir, u.t.base.cookie(n.name), n.name, deltalog.Entry{Ino: ino, Type: typ & TypeMask})
}

// leave takes a name out of a directory: what the base shows under it needs a
// whiteout, else nothing is left behind.
func (u *update) leave(n *name) {
	u.names = append(u.names, dentryKey{n.dir, n.name})
	cookie := u.t.base.cookie(n.name)
	if n.lower != 0 {
		u.batch.Entry(u.t.live(), n.dir, cookie, n.name, deltalog.Entry{Whiteout: true})
		return
	}
	if err := u.t.store.RemoveEntry(u.batch, u.t.live(), n.dir, cookie, n.name); err != nil && u.err == nil {
		u.err = failName(u.op, n.dir, n.name, storeKind(err), err)
	}
}

// unlink takes one name off an object's count. A directory has but one.
func (e *edit) unlink() {
	e.changed()
	if e.rec.Nlink > 0 {
		e.rec.Nlink--
	}
	e.gone = e.rec.Nlink == 0 || e.rec.Mode&TypeMask == TypeDir
}

// commit appends the batch and then shows the new states.
func (u *update) commit() (LSN, error) {
	l, err := u.t.live(), u.err
	for _, e := range u.edits {
		e.inBase = e.gone && u.t.inBase(e.n.ino)
		switch {
		case e.gone && !e.inBase:
			if rerr := u.t.store.RemoveInode(u.batch, l, e.n.ino); rerr != nil && err == nil {
				err = fail(u.op, e.n.ino, storeKind(rerr), rerr)
			}
		case e.gone:
			e.rec = deltalog.Inode{
				Mode: e.rec.Mode, Flags: e.rec.Flags&deltalog.InodeBase | deltalog.InodeDead,
				Base: e.rec.Base, Parent: e.rec.Parent, Ctime: e.rec.Ctime,
			}
			u.batch.Inode(l, e.n.ino, &e.rec)
			u.batch.Truncate(l, e.n.ino, 0)
		default:
			u.batch.Inode(l, e.n.ino, &e.rec)
		}
	}
	if err != nil {
		return 0, err
	}
	u.batch.Tag(u.tag)
	u.t.changes.begin()
	defer u.t.changes.end()
	lsn, err := u.t.store.Append(u.batch)
	u.batch.Reset()
	batches.Put(u.batch)
	u.batch = nil
	if err != nil {
		return 0, fail(u.op, u.edits[0].n.ino, storeKind(err), err)
	}
	for _, e := range u.edits {
		s := &state{rec: &e.rec, used: e.used, layer: l, epoch: u.t.epoch.Load()}
		if e.gone && !e.inBase {
			s.rec, s.used = nil, nil
		}
		e.n.state.Store(s)
	}
	for _, k := range u.names {
		u.t.dentries.drop(k)
	}
	return lsn, nil
}

// change is what the update did to e, once it is appended.
func (u *update) change(lsn LSN, e *edit) (Change, error) {
	s, err := u.t.load(e.n)
	if err != nil {
		return Change{}, err
	}
	after, err := u.t.attr(e.n, s)
	return Change{LSN: lsn, Before: e.before, After: after}, err
}

// unchanged is the Change of a call that succeeded without changing ino, which
// is locked. Its LSN covers all that the call can have seen.
func (u *update) unchanged(ino Ino) (Change, error) {
	n := u.node(ino)
	s, err := u.t.load(n)
	if err != nil {
		return Change{}, err
	}
	a, err := u.t.attr(n, s)
	return Change{LSN: u.t.store.LastLSN(), Before: a, After: a}, err
}

package billyfs

import (
	"errors"
	"math"
	"slices"

	"deltafs/deltalog"
)

// DiscardPaths gives up what was changed at and below some paths of the merged tree, durably, and
// what that cannot be given up without: the other names of what was moved, what is in a new
// directory. It returns the paths that were given up. What shows again, and the directories of
// names that do, get a new mtime and ctime, so that clients look again. It is one change:
// all of it happens or nothing. NotExist: nothing was changed there.
func (t *Tree) DiscardPaths(paths []string) ([]string, error) {
	const op = "discard"
	if err := t.changeable(op, paths[0]); err != nil {
		return nil, err
	}
	t.stack.Lock()
	d, err := t.planDiscard(paths)
	if err == nil && len(d.entries)+len(d.inodes) == 0 {
		err = &Error{Op: op, Path: paths[0], Kind: NotExist, Err: errors.New("nothing is changed there")}
	}
	var lsn LSN
	if err == nil {
		lsn, err = d.append()
	}
	t.stack.Unlock()
	if err != nil {
		return nil, err
	}
	for ino, ctime := range d.seen {
		at, terr := t.touch(op, ino, ctime)
		if k := KindOf(terr); k != 0 && k != Stale && k != NotExist {
			t.log.Warn("what was discarded has no new times", "object", inoName(ino), "err", terr)
		}
		lsn = max(lsn, at)
	}
	return d.paths, t.Sync(lsn)
}

// discarding is one DiscardPaths.
type discarding struct {
	*plan
	paths []string
	seen  map[Ino]int64 // what is to get new times, and the highest ctime that clients can know of it
	links map[Ino]int   // names that objects get, or lose
	subs  map[Ino]int   // the same of subdirectories
}

func (t *Tree) planDiscard(paths []string) (*discarding, error) {
	p, err := t.gatherPlan(t.live())
	if err != nil {
		return nil, err
	}
	p.undo = true
	p.choose(paths, nil)
	for p.chooseAbove() {
	}
	d := &discarding{plan: p, seen: map[Ino]int64{}, links: map[Ino]int{}, subs: map[Ino]int{}}
	all := map[string]bool{}
	for at := range p.entries {
		if path, ok := p.path(at); ok {
			all[path] = true
		}
		d.count(at)
	}
	for ino := range p.inodes {
		r := p.changes.inodes[ino]
		if p.alive(ino) && t.inBase(ino) && !p.contentChanged(ino, &r) && !p.attrChanged(ino, &r) {
			delete(p.inodes, ino) // only names of it, or in it, have changed, or it was discarded before
			continue
		}
		all[p.anyPath(ino)] = true
		d.note(ino)
	}
	d.paths = sortedKeys(all)
	return d, nil
}

// chooseAbove chooses what is in the way of what goes back to its place in the base: that its directory is
// gone, or has been moved below it. It tells whether there was something.
func (p *plan) chooseAbove() bool {
	n := len(p.entries)
	for at := range p.entries {
		h := p.holder[at]
		if h == 0 {
			continue
		}
		dir := at.parent
		for depth := 0; dir != RootIno && depth < maxDepth; depth++ {
			if !p.alive(dir) || dir == h {
				p.chooseObject(dir)
			}
			up, ok := place{}, false
			if !p.goesBack(dir) {
				up, ok = p.mergedPlace(dir)
			}
			if !ok {
				if up, ok = p.t.lowerPlaceIf(dir); !ok {
					break
				}
			}
			if up.parent == h { // a circle: whatever has moved on the way goes back, too
				p.chooseObject(dir)
			}
			dir = up.parent
		}
	}
	return len(p.entries) > n
}

// goesBack tells whether an object will be at its place in the base again.
func (p *plan) goesBack(ino Ino) bool {
	return slices.ContainsFunc(p.at[ino], func(at place) bool { return p.entries[at] }) && p.t.inBase(ino)
}

// count counts links for an entry that goes.
func (d *discarding) count(at place) {
	e, h := d.changes.entries[at], d.holder[at]
	d.note(at.parent)
	if !e.Whiteout && e.Ino != h {
		d.links[e.Ino]--
		if e.Type == TypeDir {
			d.subs[at.parent]--
		}
		d.note(e.Ino)
	}
	if h != 0 && (e.Whiteout || e.Ino != h) {
		d.links[h]++
		if o := d.t.base.known(h); o != nil && o.typ == TypeDir {
			d.subs[at.parent]++
		}
		d.note(h)
	}
}

func (d *discarding) note(ino Ino) {
	ctime := int64(math.MinInt64)
	if r, ok := d.changes.inodes[ino]; ok {
		ctime = r.Ctime
	}
	d.seen[ino] = ctime
}

// append makes the change. Nothing else changes meanwhile.
func (d *discarding) append() (LSN, error) {
	t, l := d.t, d.t.live()
	inos := make([]Ino, 0, len(d.seen))
	for ino := range d.seen {
		inos = append(inos, ino)
	}
	set := t.lockNodes(inos...)
	defer set.unlock()
	var b deltalog.Batch
	var err error
	for at := range d.entries {
		err = errors.Join(err, t.store.RemoveEntry(&b, l, at.parent, t.base.cookie(at.name), at.name))
	}
	for ino := range d.seen {
		r, ok := d.changes.inodes[ino]
		if !ok {
			continue
		}
		if keep := d.left(&b, ino, &r); keep {
			b.Inode(l, ino, &r)
		} else {
			err = errors.Join(err, t.store.RemoveInode(&b, l, ino))
		}
	}
	var lsn LSN
	if err == nil {
		t.changes.begin()
		defer t.changes.end()
		lsn, err = t.store.Append(&b)
	}
	if err != nil {
		if errors.Is(err, deltalog.ErrTooBig) {
			err = errors.Join(err, errors.New("discard in parts, or all at once"))
		}
		return 0, &Error{Op: "discard", Path: "store", Kind: storeKind(err), Err: err}
	}
	for _, n := range set.nodes {
		n.state.Store(nil)
	}
	t.dentries.clear()
	return lsn, nil
}

// left says what remains of a record, and whether anything does.
func (d *discarding) left(b *deltalog.Batch, ino Ino, r *deltalog.Inode) bool {
	if !d.t.inBase(ino) {
		if r.Mode&TypeMask == TypeDir {
			r.Nlink = uint32(int(r.Nlink) + d.subs[ino])
			return d.links[ino] == 0
		}
		if int(r.Nlink)+d.links[ino] <= 0 {
			return false
		}
		r.Nlink = uint32(int(r.Nlink) + d.links[ino])
		return true
	}
	if r.Flags&deltalog.InodeDead != 0 {
		return d.links[ino] <= 0
	}
	isDir := r.Mode&TypeMask == TypeDir
	if isDir {
		r.Nlink = uint32(int(r.Nlink) + d.subs[ino])
		if d.goesBack(ino) {
			if at, ok := d.t.lowerPlaceIf(ino); ok {
				r.Parent = at.parent
			}
		}
	} else {
		r.Nlink = uint32(int(r.Nlink) + d.links[ino])
	}
	if !d.inodes[ino] {
		return true
	}
	stays := func(at place) bool { return !d.entries[at] }
	named := slices.ContainsFunc(d.names[ino], stays) || slices.ContainsFunc(d.at[ino], stays)
	within := isDir && slices.ContainsFunc(d.children[ino], stays)
	if !named && !within {
		return false
	}
	// Names stay, or stay away; attributes and content go.
	_, st, err := d.t.base.stat(ino, false)
	if err != nil {
		return true
	}
	a := &st.attr
	r.Mode, r.UID, r.GID, r.Mtime, r.Base = a.Mode, a.UID, a.GID, a.Mtime, st.fingerprint()
	if !isDir {
		r.Size, r.LowerLen, r.Below = a.Size, a.Size, 0
		b.Truncate(d.t.live(), ino, 0)
	}
	return true
}

// AcceptBase takes the base as it is now under what was changed at some paths: data of the delta lies over
// the file that the base has now, and what the delta has removed or replaced stays so. It is durable when
// it returns, the paths that were in conflict. Stale: the base has nothing there any more that ours could lie over.
func (t *Tree) AcceptBase(paths []string) ([]string, error) {
	const op = "accept-base"
	if err := t.changeable(op, paths[0]); err != nil {
		return nil, err
	}
	p, err := t.makePlan(t.live(), paths, nil, false)
	if err != nil {
		return nil, err
	}
	if _, err := p.check(false); err != nil {
		return nil, err
	}
	all := map[string]bool{}
	var lsn LSN
	for ino, reason := range p.blocked {
		if reason == reasonFull {
			continue
		}
		at, err := t.acceptOne(op, ino)
		if err != nil {
			return nil, &Error{Op: op, Path: p.anyPath(ino), Kind: KindOf(err), Err: err}
		}
		all[p.anyPath(ino)] = true
		lsn = max(lsn, at)
	}
	for at, reason := range p.barred {
		h := p.holder[at]
		if reason != reasonMade || !p.entries[at] {
			continue
		}
		n, err := t.acceptMade(op, h)
		if err != nil {
			return nil, err
		}
		path, _ := p.path(at)
		all[path] = true
		lsn = max(lsn, n)
	}
	return sortedKeys(all), t.Sync(lsn)
}

// acceptOne takes an object of the base as it is under its record.
func (t *Tree) acceptOne(op string, ino Ino) (LSN, error) {
	_, st, err := t.base.stat(ino, false)
	if err != nil {
		return 0, err
	}
	set := t.lock(ino)
	defer set.unlock()
	u := t.begin(op, Caller{}, set)
	s, err := t.load(u.node(ino))
	if err != nil {
		return 0, err
	}
	if s.rec == nil {
		return 0, fail(op, ino, NotExist, nil)
	}
	now := st.fingerprint()
	if s.dead() {
		rec := *s.rec
		rec.Base = now
		u.batch.Inode(t.live(), ino, &rec)
		t.changes.begin()
		defer t.changes.end()
		lsn, err := t.store.Append(u.batch)
		if err != nil {
			return 0, fail(op, ino, storeKind(err), err)
		}
		u.node(ino).state.Store(nil)
		return lsn, nil
	}
	e, err := u.edit(ino)
	if err != nil {
		return 0, err
	}
	r, was := &e.rec, e.rec.Base
	if r.Mode&TypeMask == TypeRegular && now.Size != was.Size {
		if r.LowerLen == was.Size {
			r.LowerLen = now.Size
		}
		r.LowerLen = min(r.LowerLen, now.Size)
		if r.Size == was.Size { // the delta has not changed it
			r.Size = now.Size
			err := t.store.DataRanges(t.live(), ino, 0, math.MaxInt64, func(off, n int64) bool {
				r.Size = max(r.Size, uint64(off+n))
				return true
			})
			if err != nil {
				return 0, fail(op, ino, storeKind(err), err)
			}
		}
	}
	r.Base = now
	e.used = nil
	e.modified()
	return u.commit()
}

// acceptMade makes an object that was made in the base one that the delta has replaced.
func (t *Tree) acceptMade(op string, ino Ino) (LSN, error) {
	set := t.lock(ino)
	defer set.unlock()
	u := t.begin(op, Caller{}, set)
	e, err := u.edit(ino)
	if err != nil {
		return 0, err
	}
	e.changed()
	e.rec.Nlink, e.gone = 0, true
	return u.commit()
}

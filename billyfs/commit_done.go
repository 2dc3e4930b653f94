package billyfs

import (
	"encoding/json"
	"errors"
	"io/fs"
	"slices"

	"deltafs/deltalog"
)

// finisher makes the batch that ends a group of steps. All that it says is true at once: for
// readers, and in every crash.
type finisher struct {
	*committer
	b      deltalog.Batch
	live   deltalog.LayerID
	set    lockSet
	prints map[Ino]deltalog.Fingerprint // what the base says now
	places []place
	inos   []Ino
	after  []func() // for the plan, once the batch is in the log
	err    error
}

func (f *finisher) note(err error) {
	if f.err == nil && err != nil {
		f.err = &Error{Op: commitOp, Path: "store", Kind: storeKind(err), Err: err}
	}
}

// finish takes what the group has done out of the delta.
func (c *committer) finish(group []*task) error {
	f := &finisher{committer: c, prints: map[Ino]deltalog.Fingerprint{}}
	f.b.Thaw()
	var inos []Ino
	for _, s := range group {
		inos = append(inos, s.Ino, s.Over, s.From.Parent, s.To.Parent)
		for _, o := range []struct {
			ino  Ino
			lost place
		}{{s.Ino, s.From.place()}, {s.Over, s.To.place()}} {
			if o.ino == 0 {
				continue
			}
			if err := f.look(o.ino, o.lost); err != nil {
				return err
			}
		}
	}
	f.set = c.t.lock(inos...)
	defer f.set.unlock()
	f.live = c.t.live()
	for _, s := range group {
		if !s.idle() && s.Ino != 0 {
			f.b.DropNote(s.Ino)
		}
		switch r, ok := c.p.changes.inodes[s.Ino]; {
		case s.fail == nil:
			f.step(s)
		case s.Kind == stepWrite && ok: // some of it may have been done, and is no change of somebody else's
			f.based(s.Ino, &r)
		}
	}
	f.forgotten()
	if f.err != nil {
		return f.err
	}
	c.t.changes.begin()
	defer c.t.changes.end()
	c.t.shifts.Add(1)
	if err := c.t.logAppend(&f.b); err != nil {
		return err
	}
	for _, n := range f.set.nodes {
		n.state.Store(nil)
	}
	for _, at := range f.places {
		c.t.dentries.drop(dentryKey{at.parent, at.name})
	}
	c.t.base.settled(f.places, f.inos)
	for _, s := range group {
		c.t.applying.Delete(s.Ino)
		c.t.applying.Delete(s.Over)
	}
	for _, fn := range f.after {
		fn()
	}
	return nil
}

// look notes what the base says of an object; of one that is dead and has names left, by one of those.
func (f *finisher) look(ino Ino, lost place) error {
	b := f.t.base
	_, st, err := b.stat(ino, false)
	if err == nil {
		f.prints[ino] = st.fingerprint()
	}
	if KindOf(err) != Stale || !f.isDead(ino) {
		if KindOf(err) == Stale {
			err = nil
		}
		return err
	}
	for _, at := range f.p.at[ino] {
		if p, err := f.pathAt(at); at != lost && err == nil {
			if fi, err := b.fs.Lstat(p); err == nil {
				f.prints[ino] = statOf(fi).fingerprint()
			}
		}
	}
	return nil
}

// forgotten drops pins of places that an earlier run has left, and has not come to say so.
func (f *finisher) forgotten() {
	b := f.t.base
	b.mu.RLock()
	var left []place
	for at, ino := range b.pins.placed {
		if ino == 0 && !slices.Contains(f.places, at) {
			left = append(left, at)
		}
	}
	b.mu.RUnlock()
	for _, at := range left {
		f.unpin(at)
	}
}

func (f *finisher) unpin(at place) {
	pin, _, err := f.t.store.Entry(deltalog.BaseLayer, at.parent, f.t.base.cookie(at.name), at.name)
	f.note(err)
	if pin.Ino != 0 {
		f.b.EntryGone(deltalog.BaseLayer, at.parent, f.t.base.cookie(at.name), at.name)
	}
	f.places = append(f.places, at)
}

// logAppend is logCommit without the sync.
func (t *Tree) logAppend(b *deltalog.Batch) error {
	if _, err := t.store.Append(b); err != nil {
		return &Error{Op: commitOp, Path: "store", Kind: storeKind(err), Err: err}
	}
	return nil
}

func (f *finisher) step(s *task) {
	c, p := f.committer, f.p
	from, to := s.From.place(), s.To.place()
	switch s.Kind {
	case stepWrite, stepSettle:
		f.written(s)
		return
	case stepUnlink:
		f.vacated(s.Ino, from)
		switch {
		case c.isDead(s.Ino):
			f.goneIfLast(s.Ino, from)
		default:
			f.unlinked(s, from)
		}
		return
	case stepAdopt:
		if s.To.Parent == 0 {
			if s.Ino != 0 {
				f.dropInode(s.Ino)
			} else {
				f.dropEntry(from, 0)
			}
			return
		}
	case stepMove:
		f.vacated(s.Ino, from)
	}
	// Something is at to.
	if s.Over != 0 {
		over := s.Over
		f.after = append(f.after, func() { p.lose(over, to) })
		f.goneIfLast(over, to)
	}
	f.moved(s.Ino)
	if s.Kind != stepAdopt || f.pinnedNow(s.Ino) {
		f.pin(s.Ino, to)
	}
	f.after = append(f.after, func() { p.gain(s.Ino, to) })
	if !c.t.base.hides(to.name) {
		f.dropEntry(to, s.Ino)
	}
}

// unlinked says what remains of a file that has lost one of its names.
func (f *finisher) unlinked(s *task, from place) {
	if len(f.p.at[s.Ino]) > 1 {
		f.moved(s.Ino)
	} else { // by its inode number it is known wherever it is met
		f.b.Origin(s.Ino, originAt(s, from))
		f.inos = append(f.inos, s.Ino)
	}
	if f.ready[s.Ino] && !f.awaited(s.Ino, from) {
		f.dropInode(s.Ino)
	}
}

// lose and gain keep up with what the base has where.
func (p *plan) lose(ino Ino, at place) {
	p.at[ino] = slices.DeleteFunc(p.at[ino], func(q place) bool { return q == at })
	if p.holder[at] == ino {
		delete(p.holder, at)
	}
}

func (p *plan) gain(ino Ino, at place) {
	if !slices.Contains(p.at[ino], at) {
		p.at[ino] = append(p.at[ino], at)
	}
	p.holder[at] = ino
}

// pinnedNow tells whether a commit has given an object its place.
func (f *finisher) pinnedNow(ino Ino) bool {
	o, ok, err := f.t.base.originOf(ino)
	f.note(err)
	return ok && o.Pinned
}

// pin makes a place of the base an object's.
func (f *finisher) pin(ino Ino, at place) {
	typ := f.typeOf(ino)
	f.b.Entry(deltalog.BaseLayer, at.parent, f.t.base.cookie(at.name), at.name, deltalog.Entry{Ino: ino, Type: typ})
	f.places = append(f.places, at)
}

// moved says where an object is now.
func (f *finisher) moved(ino Ino) {
	o, ok, err := f.t.base.originOf(ino)
	f.note(err)
	if ok && o.Pinned {
		f.b.Origin(ino, o)
		f.note(f.t.originsAbove(&f.b, o.Parent))
		f.inos = append(f.inos, ino)
		for _, at := range f.t.base.placesOf(ino) {
			if !slices.Contains(f.places, at) {
				f.pin(ino, at)
			}
		}
	}
	if r, ok := f.p.changes.inodes[ino]; ok {
		f.based(ino, &r)
	}
}

// vacated says that an object has lost a place.
func (f *finisher) vacated(ino Ino, at place) {
	f.after = append(f.after, func() { f.p.lose(ino, at) })
	f.unpin(at)
	if e, ok := f.p.changes.entries[at]; ok && e.Whiteout && f.p.entries[at] {
		f.dropEntry(at, 0)
	}
}

// goneIfLast drops the record of a dead object that has lost its last name in the base.
func (f *finisher) goneIfLast(ino Ino, at place) {
	r, ok := f.p.changes.inodes[ino]
	for _, q := range f.p.at[ino] {
		if q != at {
			if ok {
				f.based(ino, &r)
			}
			return
		}
	}
	f.dropInode(ino)
}

// based makes the record say that the object is in the base, as it is there now.
func (f *finisher) based(ino Ino, r *deltalog.Inode) {
	fp, ok := f.prints[ino]
	if !ok {
		return
	}
	whole := r.Flags&deltalog.InodeBase == 0 // it has only come there
	if whole {
		r.LowerLen, r.Below = r.Size, 0
		for _, l := range f.frozen {
			f.b.Truncate(l, ino, 0)
		}
	}
	r.Flags |= deltalog.InodeBase
	r.Base = fp
	f.b.Inode(f.top, ino, r)
	rec := *r
	f.after = append(f.after, func() { f.p.changes.inodes[ino] = rec })
	f.liveRecord(ino, r, true, whole)
}

// liveRecord corrects what the live layer says of an object of which the frozen one had r: it is
// in the base now, with all of its content if it is whole, or, if it is not there, nowhere.
func (f *finisher) liveRecord(ino Ino, r *deltalog.Inode, recordStays, whole bool) {
	own, what, err := f.t.store.OwnInode(f.live, ino)
	f.note(err)
	fp, there := f.prints[ino]
	switch {
	case what == deltalog.OwnNothing || what == deltalog.OwnGone && recordStays:
	case !there && what == deltalog.OwnGone:
		f.b.Drop(f.live, ino)
	case what == deltalog.OwnGone:
		f.b.Inode(f.live, ino, &deltalog.Inode{
			Mode: r.Mode, Flags: deltalog.InodeBase | deltalog.InodeDead, Base: fp, Parent: r.Parent, Ctime: r.Ctime,
		})
	case there:
		if r.Mode&TypeMask == TypeRegular && own.Flags&deltalog.InodeDead == 0 && whole {
			own.LowerLen = min(own.Below, r.Size)
		}
		own.Flags |= deltalog.InodeBase
		own.Base = fp
		f.b.Inode(f.live, ino, &own)
	}
}

// written ends a step in place: the record goes, or stays for what the base does not take and
// for what is still to be done below it.
func (f *finisher) written(s *task) {
	r, ok := f.p.changes.inodes[s.Ino]
	if !ok {
		return
	}
	if s.kept != "" {
		f.kept[f.p.anyPath(s.Ino)] = s.kept
	}
	f.ready[s.Ino] = s.kept == ""
	if s.kept != "" || f.awaited(s.Ino, place{}) {
		r.Flags &^= deltalog.InodeBase // all of its content is there
		f.based(s.Ino, &r)
		return
	}
	f.dropInode(s.Ino)
}

// awaited tells whether names of an object, or in it, are still the delta's, but for one.
func (f *finisher) awaited(ino Ino, but place) bool {
	for _, at := range f.p.names[ino] {
		if _, ok := f.p.changes.entries[at]; ok {
			return true
		}
	}
	for _, at := range f.p.at[ino] {
		e, ok := f.p.changes.entries[at]
		if at != but && (f.t.base.hides(at.name) || ok && (e.Whiteout || e.Ino != ino)) {
			return true
		}
	}
	for _, at := range f.p.children[ino] {
		if _, ok := f.p.changes.entries[at]; ok {
			return true
		}
	}
	return false
}

// dropInode takes all that the frozen layers have of an object out of them.
func (f *finisher) dropInode(ino Ino) {
	r, ok := f.p.changes.inodes[ino]
	if !ok {
		return
	}
	for _, l := range f.frozen {
		_, what, err := f.t.store.OwnInode(l, ino)
		f.note(err)
		if what != deltalog.OwnNothing {
			f.b.Drop(l, ino)
		}
	}
	f.liveRecord(ino, &r, false, true)
	f.after = append(f.after, func() { delete(f.p.changes.inodes, ino) })
}

// dropEntry takes what the frozen layers have for a name out of them; the base has holds there.
func (f *finisher) dropEntry(at place, holds Ino) {
	cookie := f.t.base.cookie(at.name)
	for _, l := range f.frozen {
		_, what, err := f.t.store.OwnEntry(l, at.parent, cookie, at.name)
		f.note(err)
		if what != deltalog.OwnNothing {
			f.b.EntryGone(l, at.parent, cookie, at.name)
		}
	}
	e, what, err := f.t.store.OwnEntry(f.live, at.parent, cookie, at.name)
	f.note(err)
	switch {
	case what == deltalog.OwnGone && holds != 0: // it was taken away since
		f.b.Entry(f.live, at.parent, cookie, at.name, deltalog.Entry{Whiteout: true})
	case (what == deltalog.OwnGone || what == deltalog.OwnRecord && e.Whiteout) && holds == 0:
		f.b.EntryGone(f.live, at.parent, cookie, at.name)
	}
	f.places = append(f.places, at)
	f.after = append(f.after, func() { delete(f.p.changes.entries, at) })
}

// findUnfinished looks, when a tree is opened, whether a commit was cut short, and where what it
// was at lies now.
func (t *Tree) findUnfinished() error {
	var open []task
	var bad error
	err := t.store.EachNote(func(key Ino, text string) bool {
		t.unfinished.Store(true)
		if key >= headerNote && key < firstIno {
			return true
		}
		var s task
		if bad = json.Unmarshal([]byte(text), &s); bad != nil {
			return false
		}
		open = append(open, s)
		return true
	})
	if err = errors.Join(err, bad); err != nil {
		return &Error{Op: "open", Path: "store", Kind: storeKind(err), Err: err}
	}
	slices.SortFunc(open, func(a, b task) int { return a.Seq - b.Seq })
	for i := range open {
		s := &open[i]
		t.applying.Store(s.Ino, true)
		t.applying.Store(s.Over, true)
		if err := t.findStep(s); err != nil {
			return err
		}
	}
	return nil
}

// findStep finds out on which side of a step the base is.
func (t *Tree) findStep(s *task) error {
	b := t.base
	look := func(at place) (uint64, bool, error) {
		dir, err := b.path(at.parent)
		if KindOf(err) == Stale {
			return 0, false, nil
		}
		if err != nil {
			return 0, false, err
		}
		fi, err := b.fs.Lstat(below(dir, at.name))
		if errors.Is(err, fs.ErrNotExist) || err != nil && isNotDir(err) {
			return 0, false, nil
		}
		if err != nil {
			return 0, false, b.wrap("find", below(dir, at.name), err, Stale)
		}
		return statOf(fi).inode, true, nil
	}
	from, to := s.From.place(), s.To.place()
	switch s.Kind {
	case stepUnlink:
		inode, there, err := look(from)
		if err != nil || there && inode == s.Inode {
			return err
		}
		return b.change(func() error { return nil }, func() { b.doneLocked(s) })
	case stepMove, stepMake, stepLink:
		inode, there, err := look(to)
		if err != nil || !there {
			return err
		}
		if s.Inode == 0 && s.Kind != stepLink {
			_, still, err := look(from)
			if err != nil || still {
				return err
			}
		} else if inode != s.Inode {
			return nil
		}
		return b.change(func() error { return nil }, func() { b.doneLocked(s) })
	}
	return nil
}

// originsAbove logs where a directory of the base lies, and those above it, as far as that is not logged.
func (t *Tree) originsAbove(b *deltalog.Batch, dir Ino) error {
	for n := 0; dir != RootIno && n < maxDepth; n++ {
		o, ok, err := t.base.originOf(dir)
		if err != nil {
			return err
		}
		if !ok {
			if o, err = t.lies(dir); err != nil {
				return err
			}
			b.Origin(dir, o)
		}
		dir = o.Parent
	}
	return nil
}

// pinRest says what the store does not hold yet of where things are in the base.
func (t *Tree) pinRest(batch *deltalog.Batch) (places []place, inos []Ino) {
	b := t.base
	b.mu.RLock()
	dirs := map[Ino]bool{}
	for _, o := range b.pins.lies {
		dirs[o.Parent] = true
	}
	b.mu.RUnlock()
	for dir := range dirs {
		if err := t.originsAbove(batch, dir); err != nil {
			t.log.Warn("commit: where a directory lies cannot be noted", "dir", inoName(dir), "err", err)
		}
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	for at, ino := range b.pins.placed {
		places = append(places, at)
		if ino == 0 {
			batch.EntryGone(deltalog.BaseLayer, at.parent, b.cookie(at.name), at.name)
			continue
		}
		e := deltalog.Entry{Ino: ino}
		if o := b.known(ino); o != nil {
			e.Type = o.typ
		}
		batch.Entry(deltalog.BaseLayer, at.parent, b.cookie(at.name), at.name, e)
	}
	for ino, o := range b.pins.lies {
		inos = append(inos, ino)
		batch.Origin(ino, o)
	}
	return places, inos
}

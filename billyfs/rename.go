package billyfs

// move is a rename under way.
type move struct {
	op       string
	from, to *name
	lower    lowerList // of what is replaced
}

// Rename gives an object another name, over what has it already, as rename(2)
// does. It costs the same whatever is moved: nothing below a directory is
// touched. It returns the changes of both directories; they are the same if
// those are. Moving "." or ".." is Invalid.
func (t *Tree) Rename(c Caller, fromDir Ino, fromName string, toDir Ino, toName string) (from, to Change, err error) {
	m := &move{op: "rename", lower: lowerList{t: t}}
	if err := c.check(m.op, fromDir); err != nil {
		return from, to, err
	}
	if err := t.checkDir(m.op, fromDir); err != nil {
		return from, to, err
	}
	if err := t.checkDir(m.op, toDir); err != nil {
		return from, to, err
	}
	if isDot(fromName) || isDot(toName) {
		return from, to, failName(m.op, fromDir, fromName, Invalid, nil)
	}
	if m.from, err = t.look(m.op, fromDir, fromName); err != nil {
		return from, to, err
	}
	if err := t.resolve(m.from); err != nil {
		return from, to, err
	}
	if m.from.ino == 0 { // comes before a second name that is too long
		return from, to, failName(m.op, fromDir, fromName, NotExist, nil)
	}
	if m.to, err = t.look(m.op, toDir, toName); err != nil {
		return from, to, err
	}
	for {
		from, to, done, err := t.tryMove(c, m)
		if done || err != nil {
			return from, to, err
		}
	}
}

// tryMove does the rename for what the names stand for now. It returns false
// if that changed before the locks were taken.
//
// Whether a directory would move below itself is checked under the rename
// lock, before inode locks: no directory changes its parent without it, so the
// answer holds until it is released.
func (t *Tree) tryMove(c Caller, m *move) (from, to Change, done bool, err error) {
	src, dst, err := t.peek(m)
	if err != nil {
		return from, to, false, err
	}
	if m.from.dir != m.to.dir && (src == TypeDir || dst == TypeDir) {
		t.renames.Lock()
		defer t.renames.Unlock()
		if err := t.checkLoop(m); err != nil {
			return from, to, false, err
		}
	}
	a, b := m.from.ino, m.to.ino
	set, err := t.lockNames(0, m.from, m.to)
	if err != nil {
		return from, to, false, err
	}
	defer set.unlock()
	if m.from.ino != a || m.to.ino != b {
		return from, to, false, nil
	}
	u := t.begin(m.op, c, set)
	if err := t.checkMove(m, src, dst); err != nil {
		return from, to, false, err
	}
	if a == b {
		from, to, err = u.stay(m)
		return from, to, err == nil, err
	}
	from, to, err = u.move(m, src, dst)
	return from, to, err == nil, err
}

// peek resolves both names without locks and returns the types of what they
// stand for, 0 if the second is free.
func (t *Tree) peek(m *move) (src, dst uint32, err error) {
	for _, n := range []*name{m.from, m.to} {
		if err := t.resolve(n); err != nil {
			return 0, 0, err
		}
	}
	if m.from.ino == 0 {
		return 0, 0, failName(m.op, m.from.dir, m.from.name, NotExist, nil)
	}
	if src, err = t.kind(m.op, m.from); err != nil {
		return 0, 0, err
	}
	if m.to.ino == 0 {
		return src, 0, nil
	}
	if dst, err = t.kind(m.op, m.to); err != nil {
		return 0, 0, err
	}
	if dst == TypeDir && src == TypeDir {
		m.lower.read(m.to.ino)
	}
	return src, dst, nil
}

// kind returns the type of what a name stands for. What went away since is
// NotExist: the name was seen, the object no more.
func (t *Tree) kind(op string, n *name) (uint32, error) {
	mode, err := t.mode(op, n.ino)
	if KindOf(err) == Stale {
		return 0, failName(op, n.dir, n.name, NotExist, err)
	}
	return mode & TypeMask, err
}

// checkLoop fails if one of the objects lies above the other's directory.
// Called with the rename lock held.
func (t *Tree) checkLoop(m *move) error {
	if in, err := t.isBelow(m.to.dir, m.from.ino); err != nil || in {
		if in {
			err = failName(m.op, m.from.dir, m.from.name, Invalid, nil)
		}
		return err
	}
	if m.to.ino == 0 {
		return nil
	}
	in, err := t.isBelow(m.from.dir, m.to.ino)
	if in {
		err = failName(m.op, m.to.dir, m.to.name, NotEmpty, nil)
	}
	return err
}

// isBelow says whether dir is top or lies below it.
func (t *Tree) isBelow(dir, top Ino) (bool, error) {
	for dir != top {
		if dir == t.Root() {
			return false, nil
		}
		var err error
		if dir, err = t.parent(dir); err != nil {
			return false, err
		}
	}
	return true, nil
}

// checkMove applies the rules of rename(2) to what is locked.
func (t *Tree) checkMove(m *move, src, dst uint32) error {
	for _, n := range []*name{m.from, m.to} {
		if err := t.checkDir(m.op, n.dir); err != nil {
			return err
		}
	}
	switch {
	case m.to.ino == 0 || m.from.ino == m.to.ino:
		return nil
	case src == TypeDir && dst != TypeDir:
		return failName(m.op, m.to.dir, m.to.name, NotDir, nil)
	case src != TypeDir && dst == TypeDir:
		return failName(m.op, m.to.dir, m.to.name, IsDir, nil)
	case dst == TypeDir:
		return m.lower.checkEmpty(m.op, m.to.ino)
	}
	return nil
}

// stay is the rename of one name of an object to another: nothing happens.
func (u *update) stay(m *move) (from, to Change, err error) {
	if from, err = u.unchanged(m.from.dir); err != nil {
		return from, to, err
	}
	to, err = u.unchanged(m.to.dir)
	return from, to, err
}

// move moves what is checked and locked.
func (u *update) move(m *move, src, dst uint32) (from, to Change, err error) {
	var d, s, old *edit
	f, err := u.edit(m.from.dir)
	if err != nil {
		return from, to, err
	}
	if d, err = u.edit(m.to.dir); err != nil {
		return from, to, err
	}
	if s, err = u.edit(m.from.ino); err != nil {
		return from, to, err
	}
	if m.to.ino != 0 {
		if old, err = u.edit(m.to.ino); err != nil {
			return from, to, err
		}
		old.unlink()
	}
	if src == TypeDir {
		f.dropSubdir()
		d.rec.Nlink++
		s.rec.Parent = m.to.dir
	}
	if dst == TypeDir {
		d.dropSubdir()
	}
	s.changed()
	f.modified()
	d.modified()
	u.leave(m.from)
	u.enter(m.to, m.from.ino, src)
	lsn, err := u.commit()
	if err != nil {
		return from, to, err
	}
	if from, err = u.change(lsn, f); err != nil {
		return from, to, err
	}
	to, err = u.change(lsn, d)
	return from, to, err
}

package billyfs

// Remove takes away a name of anything but a directory. With its last name an
// object is gone: its handle is Stale from then on.
func (t *Tree) Remove(c Caller, dir Ino, s string) (Change, error) {
	const op = "remove"
	n, err := t.look(op, dir, s)
	if err != nil {
		return Change{}, err
	}
	if isDot(s) {
		return Change{}, failName(op, dir, s, IsDir, nil)
	}
	return t.remove(op, c, n, func(mode uint32) error {
		if mode&TypeMask == TypeDir {
			return failName(op, dir, s, IsDir, nil)
		}
		return nil
	})
}

// Rmdir takes away an empty directory.
func (t *Tree) Rmdir(c Caller, dir Ino, s string) (Change, error) {
	const op = "rmdir"
	n, err := t.look(op, dir, s)
	if err != nil {
		return Change{}, err
	}
	switch s {
	case ".":
		return Change{}, failName(op, dir, s, Invalid, nil)
	case "..":
		return Change{}, failName(op, dir, s, NotEmpty, nil)
	}
	lower := &lowerList{t: t}
	if err := t.resolve(n); err != nil {
		return Change{}, err
	}
	lower.read(n.ino)
	return t.remove(op, c, n, func(mode uint32) error {
		if mode&TypeMask != TypeDir {
			return failName(op, dir, s, NotDir, nil)
		}
		return lower.checkEmpty(op, n.ino)
	})
}

// remove takes away a name of which allowed, called under the locks with the
// mode of what it stands for, approves.
func (t *Tree) remove(op string, c Caller, n *name, allowed func(mode uint32) error) (Change, error) {
	if err := c.check(op, n.dir); err != nil {
		return Change{}, err
	}
	set, err := t.lockNames(0, n)
	if err != nil {
		return Change{}, err
	}
	defer set.unlock()
	if err := t.checkDir(op, n.dir); err != nil {
		return Change{}, err
	}
	if n.ino == 0 {
		return Change{}, failName(op, n.dir, n.name, NotExist, nil)
	}
	mode, err := t.mode(op, n.ino)
	if err != nil {
		return Change{}, err
	}
	if err := allowed(mode); err != nil {
		return Change{}, err
	}
	u := t.begin(op, c, set)
	d, err := u.edit(n.dir)
	if err != nil {
		return Change{}, err
	}
	e, err := u.edit(n.ino)
	if err != nil {
		return Change{}, err
	}
	if mode&TypeMask == TypeDir {
		d.dropSubdir()
	}
	e.unlink()
	d.modified()
	u.leave(n)
	return u.finish(d)
}

// dropSubdir takes a subdirectory off a directory's count of links.
func (e *edit) dropSubdir() {
	if e.rec.Nlink > 2 {
		e.rec.Nlink--
	}
}

// lowerList is the listing that the base has of a directory, read before the
// directory is locked: reading a base can be slow, and it does not change.
type lowerList struct {
	t     *Tree
	ino   Ino
	list  []DirEntry
	shift uint64 // Tree.shifts before it was read
}

// read reads the listing, if ino is a directory. If that fails it is for
// checkEmpty, under the lock, to meet the error.
func (l *lowerList) read(ino Ino) {
	l.ino, l.list = 0, nil
	mode, err := l.t.mode("readdir", ino)
	if err != nil || mode&TypeMask != TypeDir {
		return
	}
	l.shift = l.t.shifts.Load()
	if list, err := l.t.lowerEntries(ino); err == nil {
		l.ino, l.list = ino, list
	}
}

// checkEmpty fails unless the directory ino, which is locked, has no entries.
func (l *lowerList) checkEmpty(op string, ino Ino) error {
	if ino != l.ino { // not read, or the name has changed hands since
		l.shift = l.t.shifts.Load()
		list, err := l.t.lowerEntries(ino)
		if err != nil {
			return err
		}
		l.ino, l.list = ino, list
	}
	empty, err := l.t.merge(ino, 0, l.list, l.shift, func(DirEntry) bool { return false })
	if err == nil && !empty {
		err = fail(op, ino, NotEmpty, nil)
	}
	return err
}

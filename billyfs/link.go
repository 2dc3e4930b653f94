package billyfs

// MaxLinks is the number of names that a file can have.
const MaxLinks = 65000

// Link gives an object that is not a directory another name. It returns the
// object's attributes and the change of the directory.
func (t *Tree) Link(c Caller, ino, dir Ino, s string) (Attr, Change, error) {
	const op = "link"
	if err := c.check(op, ino); err != nil {
		return Attr{}, Change{}, err
	}
	if _, err := t.mode(op, ino); err != nil {
		return Attr{}, Change{}, err
	}
	n, err := t.look(op, dir, s)
	if err != nil {
		return Attr{}, Change{}, err
	}
	if isDot(s) {
		return Attr{}, Change{}, failName(op, dir, s, Exist, nil)
	}
	set, err := t.lockNames(ino, n)
	if err != nil {
		return Attr{}, Change{}, err
	}
	defer set.unlock()
	u := t.begin(op, c, set)
	if err := t.checkDir(op, dir); err != nil {
		return Attr{}, Change{}, err
	}
	if n.ino != 0 {
		return Attr{}, Change{}, failName(op, dir, s, Exist, nil)
	}
	mode, err := t.mode(op, ino)
	if err != nil {
		return Attr{}, Change{}, err
	}
	if mode&TypeMask == TypeDir {
		return Attr{}, Change{}, fail(op, ino, NotPermitted, nil)
	}
	return u.link(ino, n)
}

// link enters ino under a name that is free.
func (u *update) link(ino Ino, n *name) (Attr, Change, error) {
	d, err := u.edit(n.dir)
	if err != nil {
		return Attr{}, Change{}, err
	}
	e, err := u.edit(ino)
	if err != nil {
		return Attr{}, Change{}, err
	}
	if e.rec.Nlink >= MaxLinks {
		return Attr{}, Change{}, fail(u.op, ino, TooManyLinks, nil)
	}
	e.rec.Nlink++
	e.changed()
	d.modified()
	u.enter(n, ino, e.rec.Mode)
	ch, err := u.finish(d)
	if err != nil {
		return Attr{}, Change{}, err
	}
	a, err := u.t.attr(e.n, e.n.state.Load())
	return a, ch, err
}

package billyfs

import (
	"deltafs/deltalog"
)

// Permissions of new objects whose maker names none: its owner's alone.
const (
	defaultFileMode = 0o600
	defaultDirMode  = 0o700
	symlinkMode     = 0o777
)

// Create makes a regular file, or takes the one that is there, as how.Mode
// says. Unchecked over an existing regular file changes nothing but its size,
// and that only if how.Attr names one. Over anything else that exists it fails:
// IsDir for a directory, as open(2) with O_CREAT does, and Exist for symlinks
// and special files, so that clients look the name up and act on what it is.
func (t *Tree) Create(c Caller, dir Ino, s string, how CreateHow) (Attr, Change, error) {
	const op = "create"
	if how.Mode == Unchecked && isDot(s) {
		if err := t.checkDir(op, dir); err != nil {
			return Attr{}, Change{}, err
		}
		return Attr{}, Change{}, failName(op, dir, s, IsDir, nil)
	}
	if err := how.Attr.check(op, dir, TypeRegular); err != nil {
		return Attr{}, Change{}, err
	}
	rec := deltalog.Inode{Mode: TypeRegular | defaultFileMode}
	if how.Mode == Exclusive {
		rec.Flags, rec.Verifier = deltalog.InodeVerifier, how.Verifier
	}
	return t.make(op, c, dir, s, rec, how.Attr, func(u *update, n *name) (Attr, Change, error) {
		return u.createOver(c, n, how)
	})
}

// createOver is Create of a name that exists.
func (u *update) createOver(c Caller, n *name, how CreateHow) (Attr, Change, error) {
	t, exist := u.t, failName(u.op, n.dir, n.name, Exist, nil)
	s, err := t.stateOf(n.ino)
	if err != nil {
		return Attr{}, Change{}, err
	}
	mode, err := t.mode(u.op, n.ino)
	if err != nil {
		return Attr{}, Change{}, err
	}
	switch {
	case how.Mode == Guarded:
		return Attr{}, Change{}, exist
	case how.Mode == Exclusive:
		if s.rec == nil || s.rec.Flags&deltalog.InodeVerifier == 0 || s.rec.Verifier != how.Verifier {
			return Attr{}, Change{}, exist
		}
		how.Attr.Size = nil // the first call has set it
	case mode&TypeMask == TypeDir:
		return Attr{}, Change{}, failName(u.op, n.dir, n.name, IsDir, nil)
	case mode&TypeMask != TypeRegular:
		return Attr{}, Change{}, exist
	}
	if how.Attr.Size != nil {
		e, err := u.edit(n.ino)
		if err != nil {
			return Attr{}, Change{}, err
		}
		u.apply(e, c, SetAttr{Size: how.Attr.Size})
		if _, err := u.commit(); err != nil {
			return Attr{}, Change{}, err
		}
	}
	a, err := t.Attr(n.ino)
	if err != nil {
		return Attr{}, Change{}, err
	}
	ch, err := u.unchanged(n.dir)
	return a, ch, err
}

// Mkdir makes a directory.
func (t *Tree) Mkdir(c Caller, dir Ino, s string, set SetAttr) (Attr, Change, error) {
	set.Size = nil
	rec := deltalog.Inode{Mode: TypeDir | defaultDirMode, Nlink: 2, Size: dirSize, Parent: dir}
	return t.make("mkdir", c, dir, s, rec, set, nil)
}

// Symlink makes a symlink. Its permissions are always 0777; an empty target is
// NotExist, as on Linux.
func (t *Tree) Symlink(c Caller, dir Ino, s, target string, set SetAttr) (Attr, Change, error) {
	const op = "symlink"
	switch {
	case target == "":
		return Attr{}, Change{}, failName(op, dir, s, NotExist, nil)
	case len(target) > MaxTarget:
		return Attr{}, Change{}, failName(op, dir, s, NameTooLong, nil)
	}
	for i := range len(target) {
		if target[i] == 0 {
			return Attr{}, Change{}, failName(op, dir, s, Invalid, nil)
		}
	}
	set.Size, set.Mode = nil, nil
	rec := deltalog.Inode{Mode: TypeSymlink | symlinkMode, Size: uint64(len(target)), Target: target}
	return t.make(op, c, dir, s, rec, set, nil)
}

// Mknod makes a FIFO, socket, or device: typ is one of the Type constants,
// else Invalid. The tree never opens it.
func (t *Tree) Mknod(c Caller, dir Ino, s string, typ, major, minor uint32, set SetAttr) (Attr, Change, error) {
	rec := deltalog.Inode{Mode: typ | defaultFileMode}
	switch typ {
	case TypeChar, TypeBlock:
		rec.RdevMajor, rec.RdevMinor = major, minor
	case TypeFIFO, TypeSocket:
	default:
		return Attr{}, Change{}, failName("mknod", dir, s, Invalid, nil)
	}
	set.Size = nil
	return t.make("mknod", c, dir, s, rec, set, nil)
}

// make gives a new object a new name. If the name is taken it returns what over
// returns, Exist if that is nil.
func (t *Tree) make(op string, c Caller, dir Ino, s string, rec deltalog.Inode, set SetAttr,
	over func(*update, *name) (Attr, Change, error)) (Attr, Change, error) {
	if err := c.check(op, dir); err != nil {
		return Attr{}, Change{}, err
	}
	n, err := t.look(op, dir, s)
	if err != nil {
		return Attr{}, Change{}, err
	}
	if isDot(s) {
		return Attr{}, Change{}, failName(op, dir, s, Exist, nil)
	}
	locks, err := t.lockNames(0, n)
	if err != nil {
		return Attr{}, Change{}, err
	}
	defer locks.unlock()
	u := t.begin(op, c, locks)
	if err := t.checkDir(op, dir); err != nil {
		return Attr{}, Change{}, err
	}
	switch {
	case n.ino != 0 && over != nil:
		return over(u, n)
	case n.ino != 0:
		return Attr{}, Change{}, failName(op, dir, s, Exist, nil)
	}
	return u.born(c, n, rec, set)
}

// born enters a new inode under a name that is free.
func (u *update) born(c Caller, n *name, rec deltalog.Inode, set SetAttr) (Attr, Change, error) {
	d, err := u.edit(n.dir)
	if err != nil {
		return Attr{}, Change{}, err
	}
	ino := u.t.store.NewIno()
	// Nobody knows the number yet, so its lock needs no place in the order.
	node := u.t.nodes.get(ino)
	defer u.t.nodes.put(node)
	e := &edit{n: node, rec: rec, stamp: u.now(), used: &usage{density: 1}}
	e.rec.Nlink = max(rec.Nlink, 1)
	e.rec.Atime = e.stamp
	e.modified()
	e.own(c, d.rec, set)
	e.setTimes(set)
	if set.Size != nil {
		e.rec.Size = *set.Size
	}
	u.edits = append(u.edits, e)
	if rec.Mode&TypeMask == TypeDir {
		d.rec.Nlink++
	}
	d.modified()
	u.enter(n, ino, rec.Mode)
	ch, err := u.finish(d)
	if err != nil {
		return Attr{}, Change{}, err
	}
	a, err := u.t.attr(node, node.state.Load())
	return a, ch, err
}

// own gives a new object its owner and permissions. In a setgid directory it
// has the directory's group, and a new directory the bit as well. Only root
// can make objects for others. A caller of another group cannot make an
// executable that runs with the group it was given.
func (e *edit) own(c Caller, dir deltalog.Inode, set SetAttr) {
	if set.Mode != nil {
		e.rec.Mode = e.rec.Mode&TypeMask | *set.Mode&allPerms
	}
	isDir := e.rec.Mode&TypeMask == TypeDir
	e.rec.UID, e.rec.GID = c.UID, c.GID
	if dir.Mode&setGID != 0 {
		e.rec.GID = dir.GID
		if isDir {
			e.rec.Mode |= setGID
		}
	}
	if c.UID == 0 {
		if set.UID != nil {
			e.rec.UID = *set.UID
		}
		if set.GID != nil {
			e.rec.GID = *set.GID
		}
	} else if !isDir && e.rec.GID != c.GID && e.rec.Mode&groupExec != 0 {
		e.rec.Mode &^= setGID
	}
}

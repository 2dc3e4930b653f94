package billyfs

import "strings"

// checkName refuses what cannot be a name, "." and ".." aside: an empty name,
// one with a slash or a NUL, and one that is too long.
func checkName(op string, dir Ino, s string) error {
	switch {
	case s == "" || strings.ContainsAny(s, "/\x00"):
		return failName(op, dir, s, Invalid, nil)
	case len(s) > MaxName:
		return failName(op, dir, s[:MaxName], NameTooLong, nil)
	}
	return nil
}

// isDot says whether s is "." or "..": names that each operation refuses in a
// way of its own.
func isDot(s string) bool { return s == "." || s == ".." }

// checkDir fails unless dir is a directory that still exists. Without the
// directory's lock the answer may be old.
func (t *Tree) checkDir(op string, dir Ino) error {
	mode, err := t.mode(op, dir)
	if err == nil && mode&TypeMask != TypeDir {
		err = fail(op, dir, NotDir, nil)
	}
	return err
}

// look begins the work on a name: it checks directory and name, and asks the
// base, before any lock is taken, what it shows under the name. That stays
// true, unless a commit changes the base, which resolve sees: so the layer alone must be
// asked again under the lock.
func (t *Tree) look(op string, dir Ino, s string) (*name, error) {
	if err := t.checkDir(op, dir); err != nil {
		return nil, err
	}
	if err := checkName(op, dir, s); err != nil {
		return nil, err
	}
	n := &name{dir: dir, name: s, shift: t.shifts.Load()}
	return n, t.lookLower(n)
}

// lookLower asks the base what it shows under a name.
func (t *Tree) lookLower(n *name) error {
	n.lower = 0
	if isDot(n.name) || !t.inBase(n.dir) {
		return nil
	}
	ino, err := t.base.Lookup(n.dir, n.name)
	if err != nil && KindOf(err) != NotExist {
		return err
	}
	if err == nil {
		n.lower = ino
	}
	return nil
}

// resolve fills in what n stands for in the merged tree: what the layer's entry
// says, and else what the base shows, unless that is dead. What the base shows is asked
// again if a commit has brought something there since: with the directory locked, none can.
func (t *Tree) resolve(n *name) error {
	for {
		shift := t.shifts.Load()
		if shift != n.shift {
			if err := t.lookLower(n); err != nil {
				return err
			}
			n.shift = shift
		}
		e, ok, err := t.store.Entry(t.live(), n.dir, t.base.cookie(n.name), n.name)
		switch {
		case err != nil:
			return failName("lookup", n.dir, n.name, storeKind(err), err)
		case ok && e.Whiteout:
			n.ino = 0
		case ok:
			n.ino = e.Ino
		default:
			if n.ino, err = t.showsBelow(n); err != nil {
				return err
			}
			if t.shifts.Load() != shift {
				continue
			}
		}
		return nil
	}
}

// showsBelow is what the base shows under a name, unless it is dead.
func (t *Tree) showsBelow(n *name) (Ino, error) {
	if n.lower == 0 {
		return 0, nil
	}
	s, err := t.stateOf(n.lower)
	if err != nil || s.dead() {
		return 0, err
	}
	return n.lower, nil
}

// Lookup finds a name in a directory; "." and ".." too (".." of the root is
// the root).
func (t *Tree) Lookup(dir Ino, s string) (Attr, error) {
	drops := t.dentries.drops(dentryKey{dir, s})
	n, err := t.look("lookup", dir, s)
	if err != nil {
		return Attr{}, err
	}
	switch s {
	case ".":
		return t.Attr(dir)
	case "..":
		up, err := t.parent(dir)
		if err != nil {
			return Attr{}, err
		}
		return t.Attr(up)
	}
	for {
		if err := t.resolve(n); err != nil {
			return Attr{}, err
		}
		if n.ino == 0 {
			return Attr{}, failName("lookup", dir, s, NotExist, nil)
		}
		found := n.ino
		a, err := t.Attr(found)
		if err == nil {
			t.remember(drops, n)
		}
		if err == nil || KindOf(err) != Stale {
			return a, err
		}
		// Gone since: either the name is too, or the base has lost the object.
		if err2 := t.resolve(n); err2 != nil || n.ino == found {
			return Attr{}, failName("lookup", dir, s, NotExist, err)
		}
	}
}

// remember caches what a name stands for.
func (t *Tree) remember(drops uint64, n *name) {
	d := dentry{ino: n.ino}
	if n.lower == n.ino && !t.base.immutable {
		d.until = t.lately() + trust
	}
	t.dentries.put(drops, dentryKey{n.dir, n.name}, d)
}

// parent returns the merged parent of a directory; the root is its own.
func (t *Tree) parent(dir Ino) (Ino, error) {
	if dir == t.Root() {
		return dir, nil
	}
	s, err := t.stateOf(dir)
	if err != nil {
		return 0, err
	}
	if err := t.there("lookup", dir, s); err != nil {
		return 0, err
	}
	if s.rec != nil {
		return s.rec.Parent, nil
	}
	// Never changed, so never moved.
	p, err := t.base.place(dir)
	if err != nil {
		return 0, err
	}
	return p.parent, nil
}

// Readlink returns the target of a symlink.
func (t *Tree) Readlink(ino Ino) (string, error) {
	mode, err := t.mode("readlink", ino)
	if err != nil {
		return "", err
	}
	if mode&TypeMask != TypeSymlink {
		return "", fail("readlink", ino, Invalid, nil)
	}
	s, err := t.stateOf(ino)
	if err != nil {
		return "", err
	}
	if err := t.there("readlink", ino, s); err != nil {
		return "", err
	}
	if s.rec != nil {
		return s.rec.Target, nil
	}
	return t.base.Readlink(ino)
}

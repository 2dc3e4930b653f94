package billyfs

import (
	"math"

	"deltafs/deltalog"
)

const (
	setUID    = 0o4000
	setGID    = 0o2000
	groupExec = 0o010
	allPerms  = 0o7777
)

// SetAttr sets what s names, and moves ctime. Without anything to set it
// changes nothing.
func (t *Tree) SetAttr(c Caller, ino Ino, s SetAttr) (Change, error) {
	const op = "setattr"
	if err := c.check(op, ino); err != nil {
		return Change{}, err
	}
	set := t.lock(ino)
	defer set.unlock()
	u := t.begin(op, c, set)
	now, err := u.unchanged(ino)
	if err != nil {
		return Change{}, err
	}
	if s.Guard != nil && *s.Guard != now.Before.Ctime {
		return Change{}, fail(op, ino, NotSync, nil)
	}
	if s.empty() {
		return now, nil
	}
	if err := s.check(op, ino, now.Before.Mode); err != nil {
		return Change{}, err
	}
	e, err := u.edit(ino)
	if err != nil {
		return Change{}, err
	}
	u.apply(e, c, s)
	return u.finish(e)
}

// finish commits an update and returns its change of e.
func (u *update) finish(e *edit) (Change, error) {
	lsn, err := u.commit()
	if err != nil {
		return Change{}, err
	}
	return u.change(lsn, e)
}

func (s *SetAttr) empty() bool {
	return s.Mode == nil && s.UID == nil && s.GID == nil && s.Size == nil &&
		s.Atime == nil && s.Mtime == nil && !s.AtimeNow && !s.MtimeNow
}

// check refuses what cannot be set on an object of that mode.
func (s *SetAttr) check(op string, ino Ino, mode uint32) error {
	if s.Size == nil {
		return nil
	}
	switch mode & TypeMask {
	case TypeRegular:
	case TypeDir:
		return fail(op, ino, IsDir, nil)
	default:
		return fail(op, ino, Invalid, nil)
	}
	if *s.Size > math.MaxInt64 {
		return fail(op, ino, TooBig, nil)
	}
	return nil
}

// apply sets what s names on e, which check has passed.
func (u *update) apply(e *edit, c Caller, s SetAttr) {
	e.changed()
	e.dropVerifier()
	if s.Size != nil {
		u.resize(e, *s.Size)
		e.modified()
		if c.UID != 0 {
			e.dropSetID()
		}
	}
	if s.Mode != nil {
		e.rec.Mode = e.rec.Mode&TypeMask | *s.Mode&allPerms
	}
	if s.UID != nil {
		e.rec.UID = *s.UID
	}
	if s.GID != nil {
		e.rec.GID = *s.GID
	}
	if s.UID != nil || s.GID != nil {
		// As Linux does, whoever calls; also if the same call sets the mode.
		e.dropSetID()
	}
	e.setTimes(s)
}

func (e *edit) setTimes(s SetAttr) {
	switch {
	case s.AtimeNow:
		e.rec.Atime = e.stamp
	case s.Atime != nil:
		e.rec.Atime = *s.Atime
	}
	switch {
	case s.MtimeNow:
		e.rec.Mtime = e.stamp
	case s.Mtime != nil:
		e.rec.Mtime = *s.Mtime
	default:
		return
	}
	e.rec.Flags &^= deltalog.InodeTouched
}

// dropVerifier ends the time in which a repeated exclusive create succeeds.
func (e *edit) dropVerifier() {
	e.rec.Flags &^= deltalog.InodeVerifier
	e.rec.Verifier = 0
}

// dropSetID clears setuid, and setgid where it means that (with group
// execution; without, it once meant mandatory locking), of all but directories.
func (e *edit) dropSetID() {
	if e.rec.Mode&TypeMask == TypeDir {
		return
	}
	e.rec.Mode &^= setUID
	if e.rec.Mode&groupExec != 0 {
		e.rec.Mode &^= setGID
	}
}

// resize sets a file's length. The lower file shows only up to the shortest
// length that the file has had since it was first changed.
func (u *update) resize(e *edit, size uint64) {
	if size < e.rec.Size {
		u.batch.Truncate(u.t.live(), e.n.ino, size)
		e.used = nil
	}
	e.rec.Size = size
	e.rec.LowerLen = min(e.rec.LowerLen, size)
	e.rec.Below = min(e.rec.Below, size)
}

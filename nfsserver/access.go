package nfsserver

import (
	"slices"

	"deltafs/billyfs"
)

// Permissions as in one digit of a mode.
const (
	mayRead  = 4
	mayWrite = 2
	mayExec  = 1 // of a directory: search
)

const modeSticky = 0o1000

// cred is on whose behalf a call is carried out, squashed already.
type cred struct {
	uid, gid uint32
	groups   []uint32 // besides gid; aliases the record of the call
}

// nobody is who squashed and anonymous callers become.
const nobody = 65534

func (c *cred) root() bool { return c.uid == 0 }

func (c *cred) in(gid uint32) bool { return c.gid == gid || slices.Contains(c.groups, gid) }

// perm returns what c may do with an object, as the digit of a mode. Root may
// do everything but execute what nobody may.
func (c *cred) perm(a *billyfs.Attr) uint32 {
	switch {
	case c.root():
		if a.Mode&billyfs.TypeMask == billyfs.TypeDir || a.Mode&0o111 != 0 {
			return mayRead | mayWrite | mayExec
		}
		return mayRead | mayWrite
	case c.uid == a.UID:
		return a.Mode >> 6 & 7
	case c.in(a.GID):
		return a.Mode >> 3 & 7
	}
	return a.Mode & 7
}

// may checks that c has all of want.
func (c *cred) may(a *billyfs.Attr, want uint32) error {
	if c.perm(a)&want != want {
		return denied
	}
	return nil
}

// mayData checks that c may read or write a file's data. Clients check the
// mode when a file is opened and not again: its owner may go on when he has
// changed it since, and what may be executed may be read for that.
// RFC 1813, section 4.4.
func (c *cred) mayData(a *billyfs.Attr, want uint32) error {
	if c.uid == a.UID {
		return nil
	}
	if want == mayRead && a.Mode&billyfs.TypeMask == billyfs.TypeRegular && c.perm(a)&mayExec != 0 {
		return nil
	}
	return c.may(a, want)
}

// mayRemove checks that c may take the name of an object out of a directory
// that he may write: in a sticky one only if one of the two is his.
func (c *cred) mayRemove(dir, obj *billyfs.Attr) error {
	if dir.Mode&modeSticky == 0 || c.root() || c.uid == dir.UID || c.uid == obj.UID {
		return nil
	}
	return notPermitted
}

// maySet checks that c may set attributes, by the rules of chmod, chown,
// truncate and utimes. It takes the setgid bit out of a mode that c must not
// give it to.
func (c *cred) maySet(a *billyfs.Attr, s *billyfs.SetAttr) error {
	if c.root() {
		return nil
	}
	owner := c.uid == a.UID
	switch {
	case s.UID != nil && *s.UID != a.UID, s.GID != nil && *s.GID != a.GID && !(owner && c.in(*s.GID)):
		return notPermitted
	case !owner && (s.Mode != nil || s.UID != nil || s.GID != nil || s.Atime != nil || s.Mtime != nil):
		return notPermitted
	}
	if s.Mode != nil && a.Mode&billyfs.TypeMask != billyfs.TypeDir {
		gid := a.GID
		if s.GID != nil {
			gid = *s.GID
		}
		if !c.in(gid) {
			*s.Mode &^= 0o2000
		}
	}
	if owner {
		return nil // of size too: he may have opened it before he changed the mode
	}
	if s.Size != nil || s.AtimeNow || s.MtimeNow {
		return c.may(a, mayWrite)
	}
	return nil
}

// denied and notPermitted are what a refused caller is told. They name no
// path: the client knows which it asked for.
var (
	denied       error = &billyfs.Error{Op: "access", Kind: billyfs.Access}
	notPermitted error = &billyfs.Error{Op: "access", Kind: billyfs.NotPermitted}
)

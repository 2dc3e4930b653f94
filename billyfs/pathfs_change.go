package billyfs

import (
	"os"
	"time"
)

// Chmod sets all 12 permission bits; it follows symlinks.
func (f *FS) Chmod(name string, mode os.FileMode) error {
	return setting(f, "chmod", name, true, SetAttr{Mode: permOf(mode)})
}

// Lchown sets the owner, of a symlink itself. -1 leaves one alone.
func (f *FS) Lchown(name string, uid, gid int) error {
	return setting(f, "lchown", name, false, owner(uid, gid))
}

// Chown sets the owner, of what a symlink leads to. -1 leaves one alone.
func (f *FS) Chown(name string, uid, gid int) error {
	return setting(f, "chown", name, true, owner(uid, gid))
}

// Chtimes sets the times, to the nanosecond; it follows symlinks.
func (f *FS) Chtimes(name string, atime, mtime time.Time) error {
	a, m := atime.UnixNano(), mtime.UnixNano()
	return setting(f, "chtimes", name, true, SetAttr{Atime: &a, Mtime: &m})
}

// Link gives the object at name, a symlink itself, a further name.
func (f *FS) Link(name, link string) error {
	const op = "link"
	at, err := newResolver(f, op, false).must(name, false)
	if err != nil {
		return pathError(op, name, err)
	}
	return making(f, op, link, func(to spot) error {
		_, _, err := f.t.Link(f.caller, at.attr.Ino, to.dir, to.name)
		return err
	})
}

// Mknod makes the node that the type bits of mode (S_IFMT) say: a device, FIFO
// or socket. It needs no privilege and opens nothing.
func (f *FS) Mknod(name string, mode, major, minor uint32) error {
	perm := mode & 0o7777
	return making(f, "mknod", name, func(at spot) error {
		_, _, err := f.t.Mknod(f.caller, at.dir, at.name, mode&TypeMask, major, minor, SetAttr{Mode: &perm})
		return err
	})
}

// Mkfifo makes a FIFO.
func (f *FS) Mkfifo(name string, mode uint32) error {
	return f.Mknod(name, TypeFIFO|mode&0o7777, 0, 0)
}

// Socket makes the name of a socket.
func (f *FS) Socket(name string) error { return f.Mknod(name, TypeSocket|0o755, 0, 0) }

func setting(f *FS, op, name string, follow bool, s SetAttr) error {
	at, err := newResolver(f, op, false).must(name, follow)
	if err == nil {
		_, err = f.t.SetAttr(f.caller, at.attr.Ino, s)
	}
	return pathError(op, name, err)
}

func owner(uid, gid int) SetAttr {
	var s SetAttr
	if uid >= 0 {
		u := uint32(uid)
		s.UID = &u
	}
	if gid >= 0 {
		g := uint32(gid)
		s.GID = &g
	}
	return s
}

// permOf returns the 12 permission bits of a mode of package os.
func permOf(m os.FileMode) *uint32 {
	b := modeOf(m) & 0o7777
	return &b
}

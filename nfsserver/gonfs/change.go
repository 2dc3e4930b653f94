package gonfs

import (
	"os"
	"time"

	nfs "github.com/willscott/go-nfs"

	"deltafs/billyfs"
)

// change is a view with what changes attributes and makes special files.
type change struct{ *view }

// set changes attributes. Under the guard it is called once for a SETATTR,
// and does all that the call asks for in one step.
func (c *change) set(op, p string, s billyfs.SetAttr) error {
	a, err := c.attr(p)
	if err != nil {
		return c.done(op, p, err)
	}
	if c.call != nil && c.call.proc == nfs.NFSProcedureSetAttr {
		s = c.call.set
	}
	ch, err := c.h.fs.SetAttr(c.caller(), a.Ino, s)
	c.acked(ch)
	return c.done(op, p, err)
}

// Chmod sets the permission bits. It does not follow symlinks.
func (c *change) Chmod(p string, mode os.FileMode) error {
	m := wireMode(mode)
	return c.set("chmod", p, billyfs.SetAttr{Mode: &m})
}

// Lchown sets the owner.
func (c *change) Lchown(p string, uid, gid int) error {
	u, g := uint32(uid), uint32(gid)
	return c.set("chown", p, billyfs.SetAttr{UID: &u, GID: &g})
}

// Chown is Lchown: NFS follows no symlinks.
func (c *change) Chown(p string, uid, gid int) error { return c.Lchown(p, uid, gid) }

// Chtimes sets the times.
func (c *change) Chtimes(p string, atime, mtime time.Time) error {
	a, m := atime.UnixNano(), mtime.UnixNano()
	return c.set("chtimes", p, billyfs.SetAttr{Atime: &a, Mtime: &m})
}

// Mknod makes a device.
func (c *change) Mknod(p string, mode, major, minor uint32) error {
	typ := uint32(billyfs.TypeBlock)
	if c.call != nil {
		typ = c.call.node
	}
	return c.node(p, typ, major, minor, os.FileMode(mode))
}

// Mkfifo makes a FIFO.
func (c *change) Mkfifo(p string, mode uint32) error {
	return c.node(p, billyfs.TypeFIFO, 0, 0, os.FileMode(mode))
}

// Socket makes the name of a socket.
func (c *change) Socket(p string) error {
	return c.node(p, billyfs.TypeSocket, 0, 0, 0o755)
}

func (c *change) node(p string, typ, major, minor uint32, perm os.FileMode) error {
	at, err := c.child("mknod", p)
	if err != nil {
		return c.done("mknod", p, err)
	}
	a, ch, err := c.h.fs.Mknod(c.caller(), at.ino, at.name, typ, major, minor, c.wanted(perm))
	c.acked(ch)
	if err == nil && c.call != nil {
		copy(c.call.pending, c.handle(a.Ino)) // go-nfs asked for it before there was one
	}
	return c.done("mknod", p, err)
}

// Link makes a hard link: p is the path of the existing file. Under the guard
// LINK does not come here; see Handler.local.
func (c *change) Link(p, link string) error {
	a, err := c.attr(p)
	if err != nil {
		return c.done("link", p, err)
	}
	at, err := c.child("link", link)
	if err == nil {
		_, _, err = c.h.fs.Link(c.caller(), a.Ino, at.ino, at.name)
	}
	return c.done("link", link, err)
}

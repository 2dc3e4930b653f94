package nfsserver

import (
	"deltafs/billyfs"
	"deltafs/nfsserver/rpc"
	"deltafs/nfsserver/wire"
)

// lister is the part of a READDIR or READDIRPLUS reply that takes entries.
type lister interface {
	Size() int      // bytes so far, to go back to
	Truncate(n int) // goes back
}

// list gives add the entries behind cookie until one does not fit. Entries of
// one cookie go into one reply or into none, since a client can only resume
// behind a cookie. It reports the end of the directory, and if nothing fit.
func list(dir object, cookie uint64, b lister, add func(billyfs.DirEntry) bool) (eof, none bool, err error) {
	last, begin := cookie, b.Size() // of the entries with the cookie that is being added
	full := false
	first := begin
	eof, err = dir.FS.ReadDir(dir.ino, cookie, func(e billyfs.DirEntry) bool {
		if e.Cookie != last {
			last, begin = e.Cookie, b.Size()
		}
		if !add(e) {
			full = true
			b.Truncate(begin)
			return false
		}
		return true
	})
	return eof && !full, full && b.Size() == first, err
}

func (c *call) readdir(d *wire.XDR) {
	var a wire.ReaddirArgs
	if a.Code(d); !d.OK() {
		return
	}
	start := len(c.b)
	dir, at, err := c.dirOf(a.Dir, mayRead)
	var none, eof bool
	var l wire.DirList
	if err == nil {
		post := dir.post(&at)
		l = wire.BeginReaddir(c.room(a.Count), &post, min(a.Count, maxListing))
		eof, none, err = list(dir, a.Cookie, &l, func(e billyfs.DirEntry) bool {
			return l.Add(uint64(e.Ino), e.Name, e.Cookie)
		})
	}
	if err == nil && !none {
		c.b = l.Finish(eof)
		return
	}
	r := wire.ReaddirRes{Status: c.listStatus(err), DirAttr: dir.after()}
	c.b = r.Append(c.b[:start])
}

// room is the reply with room for a listing of count bytes.
func (c *call) room(count uint32) []byte {
	c.b = rpc.Grow(c.b, 4+int(min(count, maxListing)))
	return c.b
}

// listStatus is the status of a listing that failed, or into which not one
// entry fits.
func (c *call) listStatus(err error) wire.Status {
	if err == nil {
		return wire.ErrTooSmall
	}
	return c.status(err)
}

func (c *call) readdirplus(d *wire.XDR) {
	var a wire.ReaddirplusArgs
	if a.Code(d); !d.OK() {
		return
	}
	start := len(c.b)
	dir, at, err := c.dirOf(a.Dir, mayRead)
	var none, eof bool
	var l wire.DirListPlus
	if err == nil {
		post := dir.post(&at)
		l = wire.BeginReaddirplus(c.room(a.MaxCount), &post, a.DirCount, min(a.MaxCount, maxListing))
		eof, none, err = list(dir, a.Cookie, &l, func(e billyfs.DirEntry) bool {
			attr, fh := c.plus(dir.export, e.Ino)
			return l.Add(uint64(e.Ino), e.Name, e.Cookie, &attr, fh)
		})
	}
	if err == nil && !none {
		c.b = l.Finish(eof)
		return
	}
	r := wire.ReaddirplusRes{ReaddirRes: wire.ReaddirRes{Status: c.listStatus(err), DirAttr: dir.after()}}
	c.b = r.Append(c.b[:start])
}

// plus returns attributes and handle of an entry, as far as they can be had:
// the client asks again for those of an object that just went.
func (c *call) plus(e *export, ino billyfs.Ino) (attr wire.PostOp, fh []byte) {
	a, err := e.FS.Attr(ino)
	if err != nil {
		return attr, nil
	}
	if fh, err = e.handle(c.fh[:0], ino); err != nil {
		fh = nil
	}
	return e.post(&a), fh
}

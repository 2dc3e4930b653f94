package nfsserver

import (
	"context"
	"errors"

	"deltafs/billyfs"
	"deltafs/nfsserver/rpc"
	"deltafs/nfsserver/wire"
)

// lister is the part of a READDIR or READDIRPLUS reply that takes entries.
type lister interface {
	Size() int      // bytes so far, to go back to
	Truncate(n int) // goes back
}

// filler puts entries into a reply until one does not fit. Entries of one cookie go into
// one reply or into none, since a client can only resume behind a cookie.
type filler struct {
	b            lister
	last         uint64 // cookie of the entries that are being added
	begin, first int    // of those, and of all, in the reply
	full         bool
}

func fill(cookie uint64, b lister) filler {
	return filler{b: b, last: cookie, begin: b.Size(), first: b.Size()}
}

// before is called before an entry is added.
func (f *filler) before(cookie uint64) {
	if cookie != f.last {
		f.last, f.begin = cookie, f.b.Size()
	}
}

// added is told whether it fit, and tells whether to go on.
func (f *filler) added(ok bool) bool {
	if !ok {
		f.full = true
		f.b.Truncate(f.begin)
	}
	return ok
}

// none tells that nothing fit.
func (f *filler) none() bool { return f.full && f.b.Size() == f.first }

func (c *call) readdir(d *wire.XDR) {
	var a wire.ReaddirArgs
	if a.Code(d); !d.OK() {
		return
	}
	start := len(c.b)
	dir, at, err := c.dirOf(a.Dir, mayRead)
	var eof bool
	var l wire.DirList
	if err == nil {
		post := dir.post(&at)
		l = wire.BeginReaddir(c.room(a.Count), &post, min(a.Count, maxListing))
		f := fill(a.Cookie, &l)
		eof, err = dir.FS.ReadDir(dir.ino, a.Cookie, func(e billyfs.DirEntry) bool {
			f.before(e.Cookie)
			return f.added(l.Add(uint64(e.Ino), e.Name, e.Cookie))
		})
		if eof = eof && !f.full; err == nil && f.none() {
			err = errTooSmall
		}
	}
	if err == nil {
		c.b = l.Finish(eof)
		return
	}
	r := wire.ReaddirRes{Status: c.status(err), DirAttr: dir.after()}
	c.b = r.Append(c.b[:start])
}

// room is the reply with room for a listing of count bytes.
func (c *call) room(count uint32) []byte {
	c.b = rpc.Grow(c.b, 4+int(min(count, maxListing)))
	return c.b
}

// errTooSmall says that not one entry fits into a reply.
var errTooSmall = errors.New("no entry fits")

func (c *call) readdirplus(d *wire.XDR) {
	var a wire.ReaddirplusArgs
	if a.Code(d); !d.OK() {
		return
	}
	dir, at, err := c.dirOf(a.Dir, mayRead)
	if err == nil {
		k := dir.listKey(&a)
		b, ages := c.s.listings.get(k, &at)
		if ages && c.conn != nil {
			s := c.s // c is another call's by then
			c.conn.Go(func(ctx context.Context) { s.listings.renewAll(ctx, k.dirKey) })
		}
		if b != nil {
			c.b = append(rpc.Grow(c.b, len(b)), b...)
			return
		}
		err = c.listPlus(dir, &at, &a)
	}
	if err != nil {
		r := wire.ReaddirplusRes{ReaddirRes: wire.ReaddirRes{Status: c.status(err), DirAttr: dir.after()}}
		c.b = r.Append(c.b)
	}
}

// listPlus appends the results of a READDIRPLUS, or nothing if it fails.
func (c *call) listPlus(dir object, at *billyfs.Attr, a *wire.ReaddirplusArgs) error {
	start := len(c.b)
	stamp := dir.FS.Stamp()
	stamp.Until = billyfs.Forever
	post := dir.post(at)
	l := wire.BeginReaddirplus(c.room(a.MaxCount), &post, a.DirCount, min(a.MaxCount, maxListing))
	f := fill(a.Cookie, &l)
	renews := true
	eof, err := dir.FS.ReadDirPlus(dir.ino, a.Cookie, func(e billyfs.DirEntry, p *billyfs.Plus) bool {
		f.before(e.Cookie)
		stamp.Until, renews = min(stamp.Until, p.Until), renews && p.Renews
		attr, fh := c.plus(dir.export, p)
		return f.added(l.Add(uint64(e.Ino), e.Name, e.Cookie, &attr, fh))
	})
	if err == nil && f.none() {
		err = errTooSmall
	}
	if err != nil {
		c.b = c.b[:start]
		return err
	}
	c.b = l.Finish(eof && !f.full)
	c.s.listings.put(dir.listKey(a), listed{stamp, *at, c.b[start:], renews, f.last})
	return nil
}

// plus is what a reply says of an entry, as far as it is known: the client asks again
// for what is missing.
func (c *call) plus(e *export, p *billyfs.Plus) (attr wire.PostOp, fh []byte) {
	if p.HasAttr {
		attr = e.post(&p.Attr)
	}
	if p.HasHandle {
		fh = e.codec.Append(c.fh[:0], &p.Handle)
	}
	return attr, fh
}

package nfsserver

import (
	"encoding/binary"

	"deltafs/billyfs"
	"deltafs/nfsserver/wire"
)

// make carries out a call that makes a name in a directory, and appends its
// reply: all of them answer alike.
func (c *call) make(where wire.DirOp, u urgency, fn func(dir object, name string) (billyfs.Attr, billyfs.Change, error)) {
	var at billyfs.Attr
	var ch billyfs.Change
	dir, _, err := c.dirOf(where.Dir, mayWrite|mayExec)
	if err == nil {
		at, ch, err = c.making(dir, string(where.Name), u, fn)
	}
	c.made(dir, &at, &ch, err)
}

// making calls fn, or finds what an earlier process has made of the same call.
func (c *call) making(dir object, name string, u urgency, fn func(dir object, name string) (billyfs.Attr, billyfs.Change, error)) (billyfs.Attr, billyfs.Change, error) {
	if c.applied {
		at, err := dir.FS.Lookup(dir.ino, name)
		return at, billyfs.Change{}, err
	}
	at, ch, err := fn(dir, name)
	if err == nil {
		err = c.settle(dir.export, ch.LSN, u)
	}
	return at, ch, err
}

// made appends the reply of a call that makes a name.
func (c *call) made(dir object, at *billyfs.Attr, ch *billyfs.Change, err error) {
	r := wire.MakeRes{Status: c.status(err), DirWcc: c.wcc(dir, ch, err)}
	if err == nil {
		r.Attr = dir.post(at)
		if h, err := dir.handle(c.fh[:0], at.Ino); err == nil { // else the client looks it up
			r.Object.OK, r.Object.Handle = true, h
		}
	}
	c.b = r.Append(c.b)
}

func (c *call) create(d *wire.XDR) {
	var a wire.CreateArgs
	if a.Code(d); !d.OK() {
		return
	}
	how := billyfs.CreateHow{Mode: billyfs.Guarded, Attr: c.created(&a.Attr)}
	u := lazily
	switch a.How {
	case wire.Unchecked:
		how.Mode = billyfs.Unchecked
	case wire.Exclusive:
		how = billyfs.CreateHow{Mode: billyfs.Exclusive, Verifier: binary.BigEndian.Uint64(a.Verifier[:])}
		u = atOnce
	}
	var at billyfs.Attr
	var ch billyfs.Change
	dir, err := c.mayCreate(a.Where, &how)
	if err == nil {
		at, ch, err = c.making(dir, string(a.Where.Name), u, func(dir object, name string) (billyfs.Attr, billyfs.Change, error) {
			return dir.FS.Create(c.caller(), dir.ino, name, how)
		})
	}
	c.made(dir, &at, &ch, err)
}

// mayCreate checks a CREATE. One of a file that exists already changes no
// name, as open(2) with O_CREAT does not: it needs no right to write the
// directory, but the right to write the file if it is to be cut.
func (c *call) mayCreate(where wire.DirOp, how *billyfs.CreateHow) (object, error) {
	dir, at, err := c.dirOf(where.Dir, mayExec)
	if err != nil || at.Mode&billyfs.TypeMask != billyfs.TypeDir {
		return dir, err
	}
	old, err := dir.FS.Lookup(dir.ino, string(where.Name))
	switch {
	case err != nil: // not there, or a name that the tree refuses
		return dir, c.cred.may(&at, mayWrite)
	case how.Mode == billyfs.Unchecked && how.Attr.Size != nil:
		return dir, c.cred.mayData(&old, mayWrite)
	}
	return dir, nil
}

func (c *call) mkdir(d *wire.XDR) {
	var a wire.MkdirArgs
	if a.Code(d); !d.OK() {
		return
	}
	s := c.created(&a.Attr)
	c.make(a.Where, atOnce, func(dir object, name string) (billyfs.Attr, billyfs.Change, error) {
		return dir.FS.Mkdir(c.caller(), dir.ino, name, s)
	})
}

func (c *call) symlink(d *wire.XDR) {
	var a wire.SymlinkArgs
	if a.Code(d); !d.OK() {
		return
	}
	s := c.created(&a.Attr)
	c.make(a.Where, atOnce, func(dir object, name string) (billyfs.Attr, billyfs.Change, error) {
		return dir.FS.Symlink(c.caller(), dir.ino, name, string(a.Target), s)
	})
}

// nodeTypes are the types that MKNOD makes.
var nodeTypes = map[wire.FType]uint32{
	wire.TypeChr: billyfs.TypeChar, wire.TypeBlk: billyfs.TypeBlock,
	wire.TypeSock: billyfs.TypeSocket, wire.TypeFIFO: billyfs.TypeFIFO,
}

func (c *call) mknod(d *wire.XDR) {
	var a wire.MknodArgs
	if a.Code(d); !d.OK() {
		return
	}
	s := c.created(&a.Attr)
	typ, ok := nodeTypes[a.Type]
	if !ok { // RFC 1813, section 3.3.11
		r := wire.MakeRes{Status: wire.ErrBadType}
		if dir, err := c.resolve(a.Where.Dir); err == nil {
			r.DirWcc.After = dir.after()
		}
		c.b = r.Append(c.b)
		return
	}
	c.make(a.Where, atOnce, func(dir object, name string) (billyfs.Attr, billyfs.Change, error) {
		if (typ == billyfs.TypeChar || typ == billyfs.TypeBlock) && !c.cred.root() {
			return billyfs.Attr{}, billyfs.Change{}, notPermitted
		}
		return dir.FS.Mknod(c.caller(), dir.ino, name, typ, a.Major, a.Minor, s)
	})
}

func (c *call) link(d *wire.XDR) {
	var a wire.LinkArgs
	if a.Code(d); !d.OK() {
		return
	}
	var at billyfs.Attr
	var ch billyfs.Change
	file, err := c.resolve(a.File)
	dir, _, derr := c.dirOf(a.Link.Dir, mayWrite|mayExec)
	switch {
	case err != nil:
	case derr != nil:
		err = derr
	case file.export != dir.export:
		err = &billyfs.Error{Op: "link", Kind: billyfs.CrossDevice}
	default:
		at, ch, err = c.making(dir, string(a.Link.Name), atOnce, func(dir object, name string) (billyfs.Attr, billyfs.Change, error) {
			return dir.FS.Link(c.caller(), file.ino, dir.ino, name)
		})
	}
	r := wire.LinkRes{Status: c.status(err), Attr: file.after(), DirWcc: c.wcc(dir, &ch, err)}
	if err == nil {
		r.Attr = file.post(&at)
	}
	c.b = r.Append(c.b)
}

package nfsserver

import (
	"deltafs/billyfs"
	"deltafs/nfsserver/wire"
)

// dirOf resolves the handle of a directory that the caller may use as want
// says.
func (c *call) dirOf(fh []byte, want uint32) (o object, a billyfs.Attr, err error) {
	if o, err = c.resolve(fh); err != nil {
		return o, a, err
	}
	if a, err = o.FS.Attr(o.ino); err != nil {
		return o, a, err
	}
	if a.Mode&billyfs.TypeMask == billyfs.TypeDir { // the tree says so of others
		err = c.cred.may(&a, want)
	}
	return o, a, err
}

func (c *call) lookup(d *wire.XDR) {
	var a wire.LookupArgs
	if a.Code(d); !d.OK() {
		return
	}
	var r wire.LookupRes
	dir, _, err := c.dirOf(a.What.Dir, mayExec)
	if err == nil {
		var at billyfs.Attr
		if at, err = dir.lookup(a.What.Name); err == nil {
			r.Attr = dir.post(&at)
			r.Object, err = dir.handle(c.fh[:0], at.Ino)
		}
	}
	r.Status, r.DirAttr = c.status(err), dir.after()
	c.b = r.Append(c.b)
}

// lookup finds a name in a directory, from memory if it can.
func (o object) lookup(name []byte) (billyfs.Attr, error) {
	if ino, ok := o.FS.Cached(o.ino, name); ok {
		if a, err := o.FS.Attr(ino); err == nil {
			return a, nil
		}
	}
	return o.FS.Lookup(o.ino, string(name))
}

func (c *call) readlink(d *wire.XDR) {
	var a wire.ObjectArgs
	if a.Code(d); !d.OK() {
		return
	}
	var r wire.ReadlinkRes
	o, err := c.resolve(a.Object)
	if err == nil {
		var target string
		if target, err = o.FS.Readlink(o.ino); err == nil {
			r.Path = []byte(target)
		}
	}
	r.Status, r.Attr = c.status(err), o.after()
	c.b = r.Append(c.b)
}

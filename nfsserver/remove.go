package nfsserver

import (
	"deltafs/billyfs"
	"deltafs/nfsserver/wire"
)

func (c *call) remove(d *wire.XDR) { c.removing(d, FS.Remove) }

func (c *call) rmdir(d *wire.XDR) { c.removing(d, FS.Rmdir) }

func (c *call) removing(d *wire.XDR, fn func(FS, billyfs.Caller, billyfs.Ino, string) (billyfs.Change, error)) {
	var a wire.RemoveArgs
	if a.Code(d); !d.OK() {
		return
	}
	var ch billyfs.Change
	dir, at, err := c.dirOf(a.Object.Dir, mayWrite|mayExec)
	if err == nil && string(a.Object.Name) == ".." && c.rpc.Proc == wire.ProcRmdir { // RFC 1813, section 3.3.13
		err = &billyfs.Error{Op: "rmdir", Kind: billyfs.Exist}
	}
	if err == nil && !c.applied {
		if err = c.mayTake(dir, &at, string(a.Object.Name)); err == nil {
			ch, err = fn(dir.FS, c.caller(), dir.ino, string(a.Object.Name))
		}
		if err == nil {
			err = c.settle(dir.export, ch.LSN, atOnce)
		}
	}
	r := wire.WccRes{Status: c.status(err), Wcc: c.wcc(dir, &ch, err)}
	c.b = r.Append(c.b)
}

// mayTake checks that the caller may take a name out of a directory, which
// matters in sticky ones. A name that is not there is for the tree to refuse.
func (c *call) mayTake(dir object, at *billyfs.Attr, name string) error {
	if at.Mode&modeSticky == 0 || c.cred.root() || c.cred.uid == at.UID {
		return nil
	}
	obj, err := dir.FS.Lookup(dir.ino, name)
	if err != nil {
		return nil
	}
	return c.cred.mayRemove(at, &obj)
}

func (c *call) rename(d *wire.XDR) {
	var a wire.RenameArgs
	if a.Code(d); !d.OK() {
		return
	}
	var fromCh, toCh billyfs.Change
	from, fromAt, err := c.dirOf(a.From.Dir, mayWrite|mayExec)
	to, toAt, terr := c.dirOf(a.To.Dir, mayWrite|mayExec)
	if err == nil {
		err = terr
	}
	if err == nil && from.export != to.export {
		err = &billyfs.Error{Op: "rename", Kind: billyfs.CrossDevice}
	}
	if err == nil && !c.applied {
		err = c.mayRename(from, &fromAt, string(a.From.Name), to, &toAt, string(a.To.Name))
		if err == nil {
			fromCh, toCh, err = from.FS.Rename(c.caller(), from.ino, string(a.From.Name), to.ino, string(a.To.Name))
		}
		if err == nil {
			err = c.settle(from.export, max(fromCh.LSN, toCh.LSN), atOnce)
		}
	}
	r := wire.RenameRes{Status: c.status(err), FromWcc: c.wcc(from, &fromCh, err), ToWcc: c.wcc(to, &toCh, err)}
	c.b = r.Append(c.b)
}

// mayRename checks sticky directories, and that a directory that moves to
// another parent may be written, since its ".." changes.
func (c *call) mayRename(from object, fromAt *billyfs.Attr, fromName string, to object, toAt *billyfs.Attr, toName string) error {
	if err := c.mayTake(from, fromAt, fromName); err != nil {
		return err
	}
	if err := c.mayTake(to, toAt, toName); err != nil {
		return err
	}
	if from.ino == to.ino || c.cred.root() {
		return nil
	}
	obj, err := from.FS.Lookup(from.ino, fromName)
	if err != nil || obj.Mode&billyfs.TypeMask != billyfs.TypeDir {
		return nil
	}
	return c.cred.may(&obj, mayWrite)
}

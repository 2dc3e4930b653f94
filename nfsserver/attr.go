package nfsserver

import (
	"errors"

	"deltafs/billyfs"
	"deltafs/nfsserver/handle"
	"deltafs/nfsserver/wire"
)

// statuses maps what can go wrong in the tree to NFSv3, RFC 1813 section 2.6.
var statuses = [...]wire.Status{
	billyfs.KindIO: wire.ErrIO, billyfs.NotExist: wire.ErrNoEnt, billyfs.Exist: wire.ErrExist,
	billyfs.NotDir: wire.ErrNotDir, billyfs.IsDir: wire.ErrIsDir, billyfs.NotEmpty: wire.ErrNotEmpty,
	billyfs.Invalid: wire.ErrInval, billyfs.NameTooLong: wire.ErrNameTooLong, billyfs.TooBig: wire.ErrFBig,
	billyfs.NoSpace: wire.ErrNoSpc, billyfs.ReadOnly: wire.ErrROFS, billyfs.Stale: wire.ErrStale,
	billyfs.NotPermitted: wire.ErrPerm, billyfs.Access: wire.ErrAcces, billyfs.TooManyLinks: wire.ErrMLink,
	billyfs.CrossDevice: wire.ErrXDev, billyfs.NotSupported: wire.ErrNotSupp, billyfs.NotSync: wire.ErrNotSync,
	billyfs.Drifted: wire.ErrIO, billyfs.Busy: wire.ErrJukebox,
}

// status returns the NFSv3 status of an error. Those that only the server's
// owner can do something about are logged.
func (c *call) status(err error) wire.Status {
	switch {
	case err == nil:
		return wire.OK
	case errors.Is(err, handle.ErrBad):
		return wire.ErrBadHandle
	case err == errTooSmall:
		return wire.ErrTooSmall
	}
	k := billyfs.KindOf(err)
	if k == billyfs.KindIO || k == billyfs.Drifted {
		c.s.o.Log.Error("call failed", "procedure", wire.ProcName(c.rpc.Prog, c.rpc.Proc), "from", c.from.addr, "error", err)
	}
	if int(k) < len(statuses) {
		return statuses[k]
	}
	return wire.ErrIO
}

// ftypes are by the bits of a mode that say the type, shifted to the right.
var ftypes = [16]wire.FType{
	billyfs.TypeRegular >> 12: wire.TypeReg, billyfs.TypeDir >> 12: wire.TypeDir, billyfs.TypeBlock >> 12: wire.TypeBlk,
	billyfs.TypeChar >> 12: wire.TypeChr, billyfs.TypeSymlink >> 12: wire.TypeLnk, billyfs.TypeSocket >> 12: wire.TypeSock,
	billyfs.TypeFIFO >> 12: wire.TypeFIFO,
}

// fattr is an object's attributes as they go over the wire.
func (e *export) fattr(a *billyfs.Attr) wire.Fattr {
	return wire.Fattr{
		Type: ftypes[a.Mode&billyfs.TypeMask>>12], Mode: a.Mode & 0o7777, Nlink: a.Nlink, UID: a.UID, GID: a.GID,
		Size: a.Size, Used: a.Used, RdevMajor: a.RdevMajor, RdevMinor: a.RdevMinor,
		FSID: e.codec.FSID(), FileID: uint64(a.Ino),
		Atime: timeOf(a.Atime), Mtime: timeOf(a.Mtime), Ctime: timeOf(a.Ctime),
	}
}

// timeOf converts nanoseconds since 1970. The protocol's seconds have 32 bits
// and no sign; what lies outside wraps, as with other servers.
func timeOf(ns int64) wire.Time {
	sec, nsec := ns/1e9, ns%1e9
	if nsec < 0 {
		sec, nsec = sec-1, nsec+1e9
	}
	return wire.Time{Sec: uint32(sec), Nsec: uint32(nsec)}
}

func nanosOf(t wire.Time) int64 { return int64(t.Sec)*1e9 + int64(t.Nsec) }

// after returns the attributes of an object for a reply, if they can be had.
func (o object) after() (p wire.PostOp) {
	if o.export == nil {
		return p
	}
	if a, err := o.FS.Attr(o.ino); err == nil {
		p = o.post(&a)
	}
	return p
}

func (e *export) post(a *billyfs.Attr) wire.PostOp { return wire.PostOp{OK: true, Attr: e.fattr(a)} }

// wcc is the state of an object before and after a change, or only what it is
// now where the change failed.
func (o object) wcc(ch *billyfs.Change, err error) wire.Wcc {
	if err != nil {
		return wire.Wcc{After: o.after()}
	}
	return wire.Wcc{
		Before: wire.PreOp{OK: true, WccAttr: wire.WccAttr{
			Size: ch.Before.Size, Mtime: timeOf(ch.Before.Mtime), Ctime: timeOf(ch.Before.Ctime)}},
		After: o.post(&ch.After),
	}
}

// setAttr converts attributes to set.
func setAttr(s *wire.Sattr) billyfs.SetAttr {
	var t billyfs.SetAttr
	if s.SetMode {
		mode := s.Mode & 0o7777
		t.Mode = &mode
	}
	if s.SetUID {
		t.UID = &s.UID
	}
	if s.SetGID {
		t.GID = &s.GID
	}
	if s.SetSize {
		t.Size = &s.Size
	}
	t.AtimeNow, t.Atime = setTime(s.AtimeHow, s.Atime)
	t.MtimeNow, t.Mtime = setTime(s.MtimeHow, s.Mtime)
	return t
}

func setTime(how wire.TimeHow, t wire.Time) (now bool, at *int64) {
	switch how {
	case wire.SetToServerTime:
		return true, nil
	case wire.SetToClientTime:
		ns := nanosOf(t)
		return false, &ns
	}
	return false, nil
}

// created is setAttr for a new object: only root chooses its owner.
func (c *call) created(s *wire.Sattr) billyfs.SetAttr {
	t := setAttr(s)
	if !c.cred.root() {
		t.UID, t.GID = nil, nil
	}
	return t
}

func (c *call) getattr(d *wire.XDR) {
	var a wire.ObjectArgs
	if a.Code(d); !d.OK() {
		return
	}
	var r wire.GetattrRes
	o, err := c.resolve(a.Object)
	if err == nil {
		var at billyfs.Attr
		if at, err = o.FS.Attr(o.ino); err == nil {
			r.Attr = o.fattr(&at)
		}
	}
	r.Status = c.status(err)
	c.b = r.Append(c.b)
}

func (c *call) setattr(d *wire.XDR) {
	var a wire.SetattrArgs
	if a.Code(d); !d.OK() {
		return
	}
	o, err := c.resolve(a.Object)
	var ch billyfs.Change
	if err == nil && !c.applied {
		s := setAttr(&a.Attr)
		if a.Guard {
			at := nanosOf(a.GuardCtime)
			s.Guard = &at
		}
		var at billyfs.Attr
		if at, err = o.FS.Attr(o.ino); err == nil {
			err = c.cred.maySet(&at, &s)
		}
		if err == nil {
			ch, err = o.FS.SetAttr(c.caller(), o.ino, s)
		}
		if err == nil {
			when := lazily
			if s.Size != nil {
				when = atOnce
			}
			err = c.settle(o.export, ch.LSN, when)
		}
	}
	r := wire.WccRes{Status: c.status(err), Wcc: c.wcc(o, &ch, err)}
	c.b = r.Append(c.b)
}

// wcc is object.wcc for calls that an earlier process may have carried out:
// what was before is not known then.
func (c *call) wcc(o object, ch *billyfs.Change, err error) wire.Wcc {
	if c.applied {
		return wire.Wcc{After: o.after()}
	}
	return o.wcc(ch, err)
}

func (c *call) access(d *wire.XDR) {
	var a wire.AccessArgs
	if a.Code(d); !d.OK() {
		return
	}
	var r wire.AccessRes
	o, err := c.resolve(a.Object)
	if err == nil {
		var at billyfs.Attr
		if at, err = o.FS.Attr(o.ino); err == nil {
			r.Attr = o.post(&at)
			r.Access = c.cred.access(&at) & a.Access
		}
	}
	r.Status = c.status(err)
	c.b = r.Append(c.b)
}

// access returns what ACCESS answers: RFC 1813, section 3.3.4.
func (c *cred) access(a *billyfs.Attr) (can uint32) {
	perm := c.perm(a)
	dir := a.Mode&billyfs.TypeMask == billyfs.TypeDir
	if perm&mayRead != 0 {
		can |= wire.AccessRead
	}
	if perm&mayWrite != 0 && (!dir || perm&mayExec != 0) {
		can |= wire.AccessModify | wire.AccessExtend
		if dir {
			can |= wire.AccessDelete
		}
	}
	if perm&mayExec != 0 {
		if dir {
			can |= wire.AccessLookup
		} else {
			can |= wire.AccessExecute
		}
	}
	return can
}

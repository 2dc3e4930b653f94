package wire

import (
	"encoding/binary"
	"strconv"
)

// Time is nfstime3: since 1970.
type Time struct{ Sec, Nsec uint32 }

func (t *Time) code(x *XDR, name string) {
	if x.mode == printing {
		x.label(name)
		x.b = strconv.AppendUint(x.b, uint64(t.Sec), 10)
		x.b = append(x.b, '.')
		n := strconv.FormatUint(uint64(t.Nsec), 10)
		x.b = append(x.b, "000000000"[min(9, len(n)):]...)
		x.b = append(x.b, n...)
		return
	}
	x.uint32("", &t.Sec)
	x.uint32("", &t.Nsec)
}

// Fattr is fattr3.
type Fattr struct {
	Type                 FType
	Mode, Nlink          uint32
	UID, GID             uint32
	Size, Used           uint64 // bytes
	RdevMajor, RdevMinor uint32
	FSID, FileID         uint64
	Atime, Mtime, Ctime  Time
}

// fattrSize is the length of a Fattr on the wire.
const fattrSize = 84

func (a *Fattr) code(x *XDR) {
	switch x.mode {
	case reading:
		if p := x.take(fattrSize); p != nil {
			a.get(p)
		}
	case appending:
		n := len(x.b)
		x.b = append(x.b, make([]byte, fattrSize)...)
		a.put(x.b[n:])
	case printing:
		a.print(x)
	}
}

func (a *Fattr) put(p []byte) {
	_ = p[fattrSize-1]
	be := binary.BigEndian
	be.PutUint32(p, uint32(a.Type))
	be.PutUint32(p[4:], a.Mode)
	be.PutUint32(p[8:], a.Nlink)
	be.PutUint32(p[12:], a.UID)
	be.PutUint32(p[16:], a.GID)
	be.PutUint64(p[20:], a.Size)
	be.PutUint64(p[28:], a.Used)
	be.PutUint32(p[36:], a.RdevMajor)
	be.PutUint32(p[40:], a.RdevMinor)
	be.PutUint64(p[44:], a.FSID)
	be.PutUint64(p[52:], a.FileID)
	for i, t := range [...]Time{a.Atime, a.Mtime, a.Ctime} {
		be.PutUint32(p[60+8*i:], t.Sec)
		be.PutUint32(p[64+8*i:], t.Nsec)
	}
}

func (a *Fattr) get(p []byte) {
	_ = p[fattrSize-1]
	be := binary.BigEndian
	*a = Fattr{
		Type: FType(be.Uint32(p)), Mode: be.Uint32(p[4:]), Nlink: be.Uint32(p[8:]),
		UID: be.Uint32(p[12:]), GID: be.Uint32(p[16:]), Size: be.Uint64(p[20:]), Used: be.Uint64(p[28:]),
		RdevMajor: be.Uint32(p[36:]), RdevMinor: be.Uint32(p[40:]), FSID: be.Uint64(p[44:]), FileID: be.Uint64(p[52:]),
		Atime: Time{be.Uint32(p[60:]), be.Uint32(p[64:])},
		Mtime: Time{be.Uint32(p[68:]), be.Uint32(p[72:])},
		Ctime: Time{be.Uint32(p[76:]), be.Uint32(p[80:])},
	}
}

func (a *Fattr) print(x *XDR) {
	x.b = append(append(x.b, ' '), a.Type.String()...)
	x.octal(a.Mode)
	x.uint32("nlink", &a.Nlink)
	x.uint32("uid", &a.UID)
	x.uint32("gid", &a.GID)
	x.uint64("size", &a.Size)
	x.uint64("used", &a.Used)
	if a.Type == TypeBlk || a.Type == TypeChr {
		x.uint32("major", &a.RdevMajor)
		x.uint32("minor", &a.RdevMinor)
	}
	x.uint64("id", &a.FileID)
	a.Mtime.code(x, "mtime")
	a.Ctime.code(x, "ctime")
}

// octal prints a mode.
func (x *XDR) octal(mode uint32) {
	x.b = strconv.AppendUint(append(x.b, " 0"...), uint64(mode), 8)
}

// PostOp is post_op_attr: attributes, if they could be had.
type PostOp struct {
	OK   bool
	Attr Fattr
}

func (p *PostOp) code(x *XDR) {
	if x.bool("", &p.OK); p.OK {
		p.Attr.code(x)
	}
}

// WccAttr is wcc_attr.
type WccAttr struct {
	Size         uint64
	Mtime, Ctime Time
}

// PreOp is pre_op_attr.
type PreOp struct {
	OK bool
	WccAttr
}

func (p *PreOp) code(x *XDR) {
	if x.bool("", &p.OK); !p.OK {
		return
	}
	x.uint64("was:size", &p.Size)
	p.Mtime.code(x, "mtime")
	p.Ctime.code(x, "ctime")
}

// Wcc is wcc_data: an object before and after a change.
type Wcc struct {
	Before PreOp
	After  PostOp
}

func (w *Wcc) code(x *XDR) {
	w.Before.code(x)
	w.After.code(x)
}

// Sattr is sattr3: attributes to set.
type Sattr struct {
	SetMode, SetUID, SetGID, SetSize bool
	Mode, UID, GID                   uint32
	Size                             uint64
	AtimeHow, MtimeHow               TimeHow
	Atime, Mtime                     Time
}

func (s *Sattr) code(x *XDR) {
	if x.bool("", &s.SetMode); s.SetMode {
		if x.mode == printing {
			x.b = append(x.b, " set:mode"...)
			x.octal(s.Mode)
		} else {
			x.uint32("", &s.Mode)
		}
	}
	if x.bool("", &s.SetUID); s.SetUID {
		x.uint32("set:uid", &s.UID)
	}
	if x.bool("", &s.SetGID); s.SetGID {
		x.uint32("set:gid", &s.GID)
	}
	if x.bool("", &s.SetSize); s.SetSize {
		x.uint64("set:size", &s.Size)
	}
	s.AtimeHow.code(x, "set:atime", &s.Atime)
	s.MtimeHow.code(x, "set:mtime", &s.Mtime)
}

func (h *TimeHow) code(x *XDR, name string, t *Time) {
	if x.mode != printing {
		if x.uint32("", (*uint32)(h)); *h > SetToClientTime {
			x.fail()
			*h = DontChange
		}
	}
	switch {
	case *h == SetToClientTime:
		t.code(x, name)
	case *h == SetToServerTime && x.mode == printing:
		x.label(name)
		x.b = append(x.b, "now"...)
	}
}

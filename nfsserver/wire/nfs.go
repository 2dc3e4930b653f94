package wire

import "strconv"

// The arguments and results of NFSv3: RFC 1813, section 3.3. Handles, names and
// data alias what they were read from.

// DirOp is diropargs3: a name in a directory.
type DirOp struct{ Dir, Name []byte }

func (a *DirOp) code(x *XDR, dir, name string) {
	x.handle(dir, &a.Dir)
	x.string(name, &a.Name, maxName)
}

// status begins results. It prints OK by nothing.
func (s *Status) code(x *XDR) {
	if x.mode != printing {
		x.uint32("", (*uint32)(s))
	} else {
		x.b = append(append(x.b, ' '), s.String()...)
	}
}

// object is post_op_fh3: a handle, if it could be had.
type PostHandle struct {
	OK     bool
	Handle []byte
}

func (h *PostHandle) code(x *XDR) {
	if x.bool("", &h.OK); h.OK {
		x.handle("fh", &h.Handle)
	}
}

// Void is no arguments, or no results.
type Void struct{}

func (*Void) Code(*XDR) {}

// ObjectArgs are the arguments of GETATTR, READLINK, FSSTAT, FSINFO and PATHCONF.
type ObjectArgs struct{ Object []byte }

func (a *ObjectArgs) Code(x *XDR) { x.handle("fh", &a.Object) }

// GetattrRes are the results of GETATTR.
type GetattrRes struct {
	Status Status
	Attr   Fattr
}

func (r *GetattrRes) Code(x *XDR) {
	if r.Status.code(x); r.Status == OK {
		r.Attr.code(x)
	}
}

// SetattrArgs are the arguments of SETATTR.
type SetattrArgs struct {
	Object     []byte
	Attr       Sattr
	Guard      bool
	GuardCtime Time
}

func (a *SetattrArgs) Code(x *XDR) {
	x.handle("fh", &a.Object)
	a.Attr.code(x)
	if x.bool("", &a.Guard); a.Guard {
		a.GuardCtime.code(x, "guard")
	}
}

// WccRes are the results of SETATTR, REMOVE and RMDIR: the object or the
// directory that was changed.
type WccRes struct {
	Status Status
	Wcc    Wcc
}

func (r *WccRes) Code(x *XDR) {
	r.Status.code(x)
	r.Wcc.code(x)
}

// LookupArgs are the arguments of LOOKUP.
type LookupArgs struct{ What DirOp }

func (a *LookupArgs) Code(x *XDR) { a.What.code(x, "dir", "name") }

// LookupRes are the results of LOOKUP.
type LookupRes struct {
	Status  Status
	Object  []byte
	Attr    PostOp
	DirAttr PostOp
}

func (r *LookupRes) Code(x *XDR) {
	if r.Status.code(x); r.Status == OK {
		x.handle("fh", &r.Object)
		r.Attr.code(x)
	}
	x.section("dir", r.DirAttr.OK)
	r.DirAttr.code(x)
}

// section prints what the attributes that follow are of.
func (x *XDR) section(name string, there bool) {
	if x.mode == printing && there {
		x.b = append(append(append(x.b, ' '), name...), ':')
	}
}

// AccessArgs are the arguments of ACCESS.
type AccessArgs struct {
	Object []byte
	Access uint32
}

func (a *AccessArgs) Code(x *XDR) {
	x.handle("fh", &a.Object)
	x.access(&a.Access)
}

func (x *XDR) access(bits *uint32) {
	if x.mode != printing {
		x.uint32("", bits)
		return
	}
	x.label("access")
	for i, c := range "rlmxdX" { // in the order of the bits; x: extend, X: execute
		if *bits>>i&1 != 0 {
			x.b = append(x.b, byte(c))
		} else {
			x.b = append(x.b, '-')
		}
	}
}

// AccessRes are the results of ACCESS.
type AccessRes struct {
	Status Status
	Attr   PostOp
	Access uint32
}

func (r *AccessRes) Code(x *XDR) {
	r.Status.code(x)
	r.Attr.code(x)
	if r.Status == OK {
		x.access(&r.Access)
	}
}

// ReadlinkRes are the results of READLINK.
type ReadlinkRes struct {
	Status Status
	Attr   PostOp
	Path   []byte
}

func (r *ReadlinkRes) Code(x *XDR) {
	r.Status.code(x)
	r.Attr.code(x)
	if r.Status == OK {
		x.string("target", &r.Path, maxTarget)
	}
}

// RangeArgs are the arguments of READ, and of COMMIT, where Count 0 means to the
// end.
type RangeArgs struct {
	File   []byte
	Offset uint64
	Count  uint32
}

func (a *RangeArgs) Code(x *XDR) {
	x.handle("fh", &a.File)
	x.uint64("offset", &a.Offset)
	x.uint32("count", &a.Count)
}

// ReadRes are the results of READ. Servers use [AppendReadSpace] where the
// status is OK.
type ReadRes struct {
	Status Status
	Attr   PostOp
	Count  uint32
	EOF    bool
	Data   []byte
}

func (r *ReadRes) Code(x *XDR) {
	r.Status.code(x)
	r.Attr.code(x)
	if r.Status == OK {
		x.uint32("count", &r.Count)
		x.bool("eof", &r.EOF)
		x.data("data", &r.Data, maxData)
	}
}

// WriteArgs are the arguments of WRITE.
type WriteArgs struct {
	File   []byte
	Offset uint64
	Count  uint32
	Stable Stable
	Data   []byte
}

func (a *WriteArgs) Code(x *XDR) {
	x.handle("fh", &a.File)
	x.uint64("offset", &a.Offset)
	x.uint32("count", &a.Count)
	x.enum("stable", (*uint32)(&a.Stable), stableNames)
	x.data("data", &a.Data, maxData)
}

// WriteRes are the results of WRITE.
type WriteRes struct {
	Status    Status
	Wcc       Wcc
	Count     uint32
	Committed Stable
	Verifier  [8]byte
}

func (r *WriteRes) Code(x *XDR) {
	r.Status.code(x)
	r.Wcc.code(x)
	if r.Status == OK {
		x.uint32("count", &r.Count)
		x.enum("committed", (*uint32)(&r.Committed), stableNames)
		x.verifier(&r.Verifier)
	}
}

// CreateArgs are the arguments of CREATE. Verifier is there with Exclusive, Attr
// otherwise.
type CreateArgs struct {
	Where    DirOp
	How      CreateHow
	Attr     Sattr
	Verifier [8]byte
}

func (a *CreateArgs) Code(x *XDR) {
	a.Where.code(x, "dir", "name")
	x.enum("how", (*uint32)(&a.How), createNames)
	if a.How == Exclusive {
		x.verifier(&a.Verifier)
	} else {
		a.Attr.code(x)
	}
}

// MakeRes are the results of CREATE, MKDIR, SYMLINK and MKNOD.
type MakeRes struct {
	Status Status
	Object PostHandle
	Attr   PostOp
	DirWcc Wcc
}

func (r *MakeRes) Code(x *XDR) {
	if r.Status.code(x); r.Status == OK {
		r.Object.code(x)
		r.Attr.code(x)
	}
	x.section("dir", r.DirWcc.After.OK)
	r.DirWcc.code(x)
}

// MkdirArgs are the arguments of MKDIR.
type MkdirArgs struct {
	Where DirOp
	Attr  Sattr
}

func (a *MkdirArgs) Code(x *XDR) {
	a.Where.code(x, "dir", "name")
	a.Attr.code(x)
}

// SymlinkArgs are the arguments of SYMLINK.
type SymlinkArgs struct {
	Where  DirOp
	Attr   Sattr
	Target []byte
}

func (a *SymlinkArgs) Code(x *XDR) {
	a.Where.code(x, "dir", "name")
	a.Attr.code(x)
	x.string("target", &a.Target, maxTarget)
}

// MknodArgs are the arguments of MKNOD. Attr is there with the types that MKNOD
// makes, Major and Minor with devices.
type MknodArgs struct {
	Where        DirOp
	Type         FType
	Attr         Sattr
	Major, Minor uint32
}

func (a *MknodArgs) Code(x *XDR) {
	a.Where.code(x, "dir", "name")
	x.enum("type", (*uint32)(&a.Type), ftypeNames)
	switch a.Type {
	case TypeChr, TypeBlk:
		a.Attr.code(x)
		x.uint32("major", &a.Major)
		x.uint32("minor", &a.Minor)
	case TypeSock, TypeFIFO:
		a.Attr.code(x)
	}
}

// RemoveArgs are the arguments of REMOVE and RMDIR.
type RemoveArgs struct{ Object DirOp }

func (a *RemoveArgs) Code(x *XDR) { a.Object.code(x, "dir", "name") }

// RenameArgs are the arguments of RENAME.
type RenameArgs struct{ From, To DirOp }

func (a *RenameArgs) Code(x *XDR) {
	a.From.code(x, "dir", "name")
	a.To.code(x, "to:dir", "name")
}

// RenameRes are the results of RENAME.
type RenameRes struct {
	Status         Status
	FromWcc, ToWcc Wcc
}

func (r *RenameRes) Code(x *XDR) {
	r.Status.code(x)
	x.section("from", r.FromWcc.After.OK)
	r.FromWcc.code(x)
	x.section("to", r.ToWcc.After.OK)
	r.ToWcc.code(x)
}

// LinkArgs are the arguments of LINK.
type LinkArgs struct {
	File []byte
	Link DirOp
}

func (a *LinkArgs) Code(x *XDR) {
	x.handle("fh", &a.File)
	a.Link.code(x, "dir", "name")
}

// LinkRes are the results of LINK.
type LinkRes struct {
	Status Status
	Attr   PostOp
	DirWcc Wcc
}

func (r *LinkRes) Code(x *XDR) {
	r.Status.code(x)
	r.Attr.code(x)
	x.section("dir", r.DirWcc.After.OK)
	r.DirWcc.code(x)
}

// ReaddirArgs are the arguments of READDIR. Count is the limit of the results in
// bytes.
type ReaddirArgs struct {
	Dir      []byte
	Cookie   uint64
	Verifier [8]byte
	Count    uint32
}

func (a *ReaddirArgs) Code(x *XDR) {
	x.handle("dir", &a.Dir)
	x.uint64("cookie", &a.Cookie)
	x.verifier(&a.Verifier)
	x.uint32("count", &a.Count)
}

// Entry is an entry3 or, with attributes and handle, an entryplus3.
type Entry struct {
	FileID uint64
	Name   []byte
	Cookie uint64
	Attr   PostOp
	Handle PostHandle
}

func (e *Entry) code(x *XDR) {
	if x.mode == printing {
		x.b = strconv.AppendQuote(append(x.b, ' '), string(e.Name))
		return
	}
	x.uint64("", &e.FileID)
	x.string("", &e.Name, maxName)
	x.uint64("", &e.Cookie)
}

// ReaddirRes are the results of READDIR. Servers use [BeginReaddir] where the
// status is OK.
type ReaddirRes struct {
	Status   Status
	DirAttr  PostOp
	Verifier [8]byte
	Entries  []Entry
	EOF      bool
}

func (r *ReaddirRes) Code(x *XDR) {
	r.entries(x, func(e *Entry) { e.code(x) })
}

func (r *ReaddirRes) entries(x *XDR, entry func(*Entry)) {
	r.Status.code(x)
	r.DirAttr.code(x)
	if r.Status == OK {
		x.verifier(&r.Verifier)
		x.section("entries", true)
		list(x, &r.Entries, entry)
		x.bool("eof", &r.EOF)
	}
}

// ReaddirplusArgs are the arguments of READDIRPLUS. DirCount is the limit of
// names, numbers and cookies in bytes, MaxCount that of the whole results.
type ReaddirplusArgs struct {
	Dir                []byte
	Cookie             uint64
	Verifier           [8]byte
	DirCount, MaxCount uint32
}

func (a *ReaddirplusArgs) Code(x *XDR) {
	x.handle("dir", &a.Dir)
	x.uint64("cookie", &a.Cookie)
	x.verifier(&a.Verifier)
	x.uint32("dircount", &a.DirCount)
	x.uint32("maxcount", &a.MaxCount)
}

// ReaddirplusRes are the results of READDIRPLUS. Servers use [BeginReaddirplus]
// where the status is OK.
type ReaddirplusRes struct{ ReaddirRes }

func (r *ReaddirplusRes) Code(x *XDR) {
	r.entries(x, func(e *Entry) {
		if e.code(x); x.mode != printing {
			e.Attr.code(x)
			e.Handle.code(x)
		}
	})
}

// FsstatRes are the results of FSSTAT.
type FsstatRes struct {
	Status                            Status
	Attr                              PostOp
	TotalBytes, FreeBytes, AvailBytes uint64
	TotalFiles, FreeFiles, AvailFiles uint64
	Invarsec                          uint32 // seconds for which this will not change
}

func (r *FsstatRes) Code(x *XDR) {
	r.Status.code(x)
	r.Attr.code(x)
	if r.Status == OK {
		x.uint64("total", &r.TotalBytes)
		x.uint64("free", &r.FreeBytes)
		x.uint64("avail", &r.AvailBytes)
		x.uint64("files", &r.TotalFiles)
		x.uint64("free", &r.FreeFiles)
		x.uint64("avail", &r.AvailFiles)
		x.uint32("invarsec", &r.Invarsec)
	}
}

// FsinfoRes are the results of FSINFO.
type FsinfoRes struct {
	Status                Status
	Attr                  PostOp
	RtMax, RtPref, RtMult uint32
	WtMax, WtPref, WtMult uint32
	DtPref                uint32
	MaxFileSize           uint64
	TimeDelta             Time
	Properties            uint32
}

func (r *FsinfoRes) Code(x *XDR) {
	r.Status.code(x)
	r.Attr.code(x)
	if r.Status == OK {
		x.uint32("rtmax", &r.RtMax)
		x.uint32("rtpref", &r.RtPref)
		x.uint32("rtmult", &r.RtMult)
		x.uint32("wtmax", &r.WtMax)
		x.uint32("wtpref", &r.WtPref)
		x.uint32("wtmult", &r.WtMult)
		x.uint32("dtpref", &r.DtPref)
		x.uint64("maxfilesize", &r.MaxFileSize)
		r.TimeDelta.code(x, "timedelta")
		x.uint32("properties", &r.Properties)
	}
}

// PathconfRes are the results of PATHCONF.
type PathconfRes struct {
	Status                                                    Status
	Attr                                                      PostOp
	LinkMax, NameMax                                          uint32
	NoTrunc, ChownRestricted, CaseInsensitive, CasePreserving bool
}

func (r *PathconfRes) Code(x *XDR) {
	r.Status.code(x)
	r.Attr.code(x)
	if r.Status == OK {
		x.uint32("linkmax", &r.LinkMax)
		x.uint32("namemax", &r.NameMax)
		x.bool("notrunc", &r.NoTrunc)
		x.bool("chownrestricted", &r.ChownRestricted)
		x.bool("caseinsensitive", &r.CaseInsensitive)
		x.bool("casepreserving", &r.CasePreserving)
	}
}

// CommitRes are the results of COMMIT.
type CommitRes struct {
	Status   Status
	Wcc      Wcc
	Verifier [8]byte
}

func (r *CommitRes) Code(x *XDR) {
	r.Status.code(x)
	r.Wcc.code(x)
	if r.Status == OK {
		x.verifier(&r.Verifier)
	}
}

package nfsserver

import (
	"math"

	"deltafs/billyfs"
	"deltafs/nfsserver/wire"
)

// What FSSTAT says where the export does not know: much.
const (
	unknownBytes = 1 << 50
	unknownFiles = 1 << 40
)

func (c *call) fsstat(d *wire.XDR) {
	var a wire.ObjectArgs
	if a.Code(d); !d.OK() {
		return
	}
	var r wire.FsstatRes
	o, err := c.resolve(a.Object)
	if err == nil {
		total, free := uint64(unknownBytes), uint64(unknownBytes)
		if o.Statfs != nil {
			total, free = o.Statfs()
		}
		r.TotalBytes, r.FreeBytes, r.AvailBytes = total, free, free
		r.TotalFiles, r.FreeFiles, r.AvailFiles = unknownFiles, unknownFiles, unknownFiles
	}
	r.Status, r.Attr = c.status(err), o.after()
	c.b = r.Append(c.b)
}

func (c *call) fsinfo(d *wire.XDR) {
	var a wire.ObjectArgs
	if a.Code(d); !d.OK() {
		return
	}
	o, err := c.resolve(a.Object)
	r := wire.FsinfoRes{
		Status: c.status(err), Attr: o.after(),
		RtMax: maxTransfer, RtPref: maxTransfer, RtMult: 4096,
		WtMax: maxTransfer, WtPref: maxTransfer, WtMult: 4096,
		DtPref: dirPref, MaxFileSize: math.MaxInt64, TimeDelta: wire.Time{Nsec: 1},
		Properties: wire.FSFLink | wire.FSFSymlink | wire.FSFHomogeneous | wire.FSFCanSetTime,
	}
	c.b = r.Append(c.b)
}

func (c *call) pathconf(d *wire.XDR) {
	var a wire.ObjectArgs
	if a.Code(d); !d.OK() {
		return
	}
	o, err := c.resolve(a.Object)
	r := wire.PathconfRes{
		Status: c.status(err), Attr: o.after(),
		LinkMax: billyfs.MaxLinks, NameMax: billyfs.MaxName,
		NoTrunc: true, ChownRestricted: true, CasePreserving: true,
	}
	c.b = r.Append(c.b)
}

func (c *call) null(*wire.XDR) {}

// nfsProcs are the procedures by number, RFC 1813 section 3. What must not be
// carried out twice is what would fail, or do harm, the second time.
var nfsProcs = [...]procedure{
	wire.ProcNull:        {run: (*call).null, open: true},
	wire.ProcGetattr:     {run: (*call).getattr},
	wire.ProcSetattr:     {run: (*call).setattr, once: true},
	wire.ProcLookup:      {run: (*call).lookup},
	wire.ProcAccess:      {run: (*call).access},
	wire.ProcReadlink:    {run: (*call).readlink},
	wire.ProcRead:        {run: (*call).read},
	wire.ProcWrite:       {run: (*call).write},
	wire.ProcCreate:      {run: (*call).create, once: true},
	wire.ProcMkdir:       {run: (*call).mkdir, once: true},
	wire.ProcSymlink:     {run: (*call).symlink, once: true},
	wire.ProcMknod:       {run: (*call).mknod, once: true},
	wire.ProcRemove:      {run: (*call).remove, once: true},
	wire.ProcRmdir:       {run: (*call).rmdir, once: true},
	wire.ProcRename:      {run: (*call).rename, once: true},
	wire.ProcLink:        {run: (*call).link, once: true},
	wire.ProcReaddir:     {run: (*call).readdir},
	wire.ProcReaddirplus: {run: (*call).readdirplus},
	wire.ProcFsstat:      {run: (*call).fsstat},
	wire.ProcFsinfo:      {run: (*call).fsinfo},
	wire.ProcPathconf:    {run: (*call).pathconf},
	wire.ProcCommit:      {run: (*call).commit},
}

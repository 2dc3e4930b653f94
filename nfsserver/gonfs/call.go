package gonfs

import (
	"errors"
	"sync/atomic"

	nfs "github.com/willscott/go-nfs"

	"deltafs/billyfs"
)

// Limits of what a call may carry, in bytes.
const (
	maxData   = 1 << 20         // of a WRITE; what FSINFO tells clients
	maxRecord = maxData + 16384 // of a whole call
	maxHandle = 64
	maxName   = 4096 // names over 255 bytes get NAMETOOLONG, not a decode error
	maxMount  = 1024
	maxAuth   = 400
)

// Programs, and accept_stat of RFC 5531.
const (
	progNFS   = 100003
	progMount = 100005

	progUnavail  = 1
	progMismatch = 2
	procUnavail  = 3
	garbageArgs  = 4
)

// shapes are the arguments of each procedure: h handle, n name, p path, d data,
// 4 and 8 plain bytes, w how stable, s attributes, g guard, c how to create,
// k node, r cookie, m room for entries.
var shapes = [...]string{
	nfs.NFSProcedureNull: "", nfs.NFSProcedureGetAttr: "h", nfs.NFSProcedureSetAttr: "hsg",
	nfs.NFSProcedureLookup: "hn", nfs.NFSProcedureAccess: "h4", nfs.NFSProcedureReadlink: "h",
	nfs.NFSProcedureRead: "h84", nfs.NFSProcedureWrite: "h84wd", nfs.NFSProcedureCreate: "hnc",
	nfs.NFSProcedureMkDir: "hns", nfs.NFSProcedureSymlink: "hnsp", nfs.NFSProcedureMkNod: "hnk",
	nfs.NFSProcedureRemove: "hn", nfs.NFSProcedureRmDir: "hn", nfs.NFSProcedureRename: "hnhn",
	nfs.NFSProcedureLink: "hhn", nfs.NFSProcedureReadDir: "hr8m", nfs.NFSProcedureReadDirPlus: "hr8mm",
	nfs.NFSProcedureFSStat: "h", nfs.NFSProcedureFSInfo: "h", nfs.NFSProcedurePathConf: "h",
	nfs.NFSProcedureCommit: "h84",
}

// call is what the guard learned of a call that go-nfs is working on. The fields
// but the last three are not changed after parsing. It serves one
// goroutine of go-nfs at a time.
type call struct {
	id     uint64 // behind each handle of the call, so that FromHandle finds it
	xid    uint32
	prog   uint32
	proc   nfs.NFSProcedure
	caller billyfs.Caller
	set    billyfs.SetAttr // the attributes asked for; go-nfs is not shown them
	how    billyfs.CreateHow
	groups []uint32
	stable uint32 // of a WRITE: UNSTABLE, DATA_SYNC or FILE_SYNC
	node   uint32 // type of a MKNOD
	cookie uint64 // of a listing, as the client gave it
	room   uint32 // bytes that the reply of a listing may take
	link   linkArgs
	// status is that of the last call on the tree: it replaces what go-nfs
	// answers if go-nfs answers with an error.
	status atomic.Uint32
	// changes are what the call did, in the order of its wcc_data.
	changes []billyfs.Change
	// pending is the handle of a node that is made after go-nfs asked for it.
	pending []byte
}

type linkArgs struct {
	file, dir []byte
	name      string
}

var errRecord = errors.New("record is no RPC call")

// answer is what the guard does with a record: reply is sent at once if it is
// not nil; otherwise forward goes to go-nfs; if both are nil, the handler
// answers by itself.
type answer struct {
	call           *call
	forward, reply []byte
}

// parse checks a whole record. It returns an error only for what cannot be
// answered; the connection has to be closed then. tag is put behind each
// handle.
func parse(rec []byte, id uint64, tag func(id uint64) []byte) (answer, error) {
	r := &reader{b: rec}
	c := &call{id: id, xid: r.u32()}
	mtype, vers := r.u32(), r.u32()
	c.prog = r.u32()
	version, proc := r.u32(), r.u32()
	flavor, cred := r.u32(), r.opaque(maxAuth)
	r.u32()
	r.opaque(maxAuth)
	if r.bad || mtype != 0 {
		return answer{}, errRecord
	}
	a := answer{call: c}
	switch {
	case vers != 2:
		a.reply = put32(nil, c.xid, 1, 1, 0, 2, 2) // MSG_DENIED, RPC_MISMATCH, 2 to 2
		return a, nil
	case c.prog != progNFS && c.prog != progMount:
		a.reply = accepted(c.xid, progUnavail)
		return a, nil
	case version != 3:
		a.reply = put32(accepted(c.xid, progMismatch), 3, 3)
		return a, nil
	}
	c.proc = nfs.NFSProcedure(proc)
	c.caller, c.groups = callerOf(flavor, cred)
	// Credentials are not for go-nfs: a call goes on without.
	out := put32(make([]byte, 0, len(rec)+64), c.xid, 0, 2, c.prog, 3, proc, 0, 0, 0, 0)
	if c.prog == progMount {
		a.forward, a.reply = c.mount(proc, r, out)
		return a, nil
	}
	if int64(proc) >= int64(len(shapes)) {
		a.reply = accepted(c.xid, procUnavail)
		return a, nil
	}
	out = c.args(shapes[proc], r, out, tag(id))
	if r.bad {
		a.reply = accepted(c.xid, garbageArgs)
	} else if c.proc != nfs.NFSProcedureLink { // go-nfs decodes LINK wrongly
		a.forward = out
	}
	return a, nil
}

// accepted begins a reply of MSG_ACCEPTED.
func accepted(xid, stat uint32) []byte { return put32(nil, xid, 1, 0, 0, 0, stat) }

// callerOf reads AUTH_SYS; whoever sends something else is nobody.
func callerOf(flavor uint32, cred []byte) (billyfs.Caller, []uint32) {
	const nobody = 0xfffffffe
	r := &reader{b: cred}
	r.u32()
	r.opaque(255)
	c := billyfs.Caller{UID: r.u32(), GID: r.u32()}
	var groups []uint32
	for n := r.u32(); n > 0 && len(groups) < 16 && !r.bad; n-- {
		groups = append(groups, r.u32())
	}
	if flavor != 1 || r.bad {
		return billyfs.Caller{UID: nobody, GID: nobody}, nil
	}
	return c, groups
}

// mount copies the arguments of a MOUNT call; go-nfs has only three of its
// procedures, DUMP and UMNTALL are answered with nothing.
func (c *call) mount(proc uint32, r *reader, out []byte) (forward, reply []byte) {
	switch nfs.MountProcedure(proc) {
	case nfs.MountProcNull:
		return out, nil
	case nfs.MountProcMount, nfs.MountProcUmnt:
		p := r.opaque(maxMount)
		if r.bad {
			return nil, accepted(c.xid, garbageArgs)
		}
		return putOpaque(out, p), nil
	case nfs.MountProcDump:
		return nil, put32(accepted(c.xid, 0), 0)
	case nfs.MountProcUmntAll:
		return nil, accepted(c.xid, 0)
	case nfs.MountProcExport:
		return nil, nil // the handler knows its export
	}
	return nil, accepted(c.xid, procUnavail)
}

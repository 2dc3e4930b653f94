package gonfs

import (
	"encoding/binary"
	"slices"

	nfs "github.com/willscott/go-nfs"

	"deltafs/billyfs"
)

// errorBodies are how many zero bytes follow the status of a failed call:
// absent attributes.
var errorBodies = [...]int{
	nfs.NFSProcedureGetAttr: 0, nfs.NFSProcedureSetAttr: 8, nfs.NFSProcedureLookup: 4,
	nfs.NFSProcedureAccess: 4, nfs.NFSProcedureReadlink: 4, nfs.NFSProcedureRead: 4,
	nfs.NFSProcedureWrite: 8, nfs.NFSProcedureCreate: 8, nfs.NFSProcedureMkDir: 8,
	nfs.NFSProcedureSymlink: 8, nfs.NFSProcedureMkNod: 8, nfs.NFSProcedureRemove: 8,
	nfs.NFSProcedureRmDir: 8, nfs.NFSProcedureRename: 16, nfs.NFSProcedureLink: 12,
	nfs.NFSProcedureReadDir: 4, nfs.NFSProcedureReadDirPlus: 4, nfs.NFSProcedureFSStat: 4,
	nfs.NFSProcedureFSInfo: 4, nfs.NFSProcedurePathConf: 4, nfs.NFSProcedureCommit: 8,
}

// Offsets in a reply, in bytes.
const (
	replyStat   = 20 // accept_stat
	replyStatus = 24 // nfsstat3, where the results begin
)

// mend returns the reply that the client is to get in place of one of go-nfs.
func (h *Handler) mend(c *call, rec []byte) []byte {
	if c.prog != progNFS || c.proc == nfs.NFSProcedureNull || len(rec) < replyStatus {
		return rec
	}
	stat := binary.BigEndian.Uint32(rec[replyStat:])
	status := uint32(nfs.NFSStatusServerFault)
	if stat == 0 && len(rec) >= replyStatus+4 {
		status = binary.BigEndian.Uint32(rec[replyStatus:])
	}
	if status == 0 {
		return mendResults(c, h.attributes(c, rec))
	}
	// go-nfs's own errors are coarse, some of its error bodies are short, and
	// its accept_stat is off by one: what failed is told anew.
	if s := c.status.Load(); s != 0 {
		status = s
	}
	return append(put32(accepted(c.xid, 0), status), make([]byte, errorBodies[c.proc])...)
}

// mendResults corrects what go-nfs has no choice about in the results of calls
// that succeeded.
func mendResults(c *call, rec []byte) []byte {
	at := replyStatus + 8 // behind post_op_attr
	if len(rec) < at {
		return rec
	}
	if binary.BigEndian.Uint32(rec[replyStatus+4:]) != 0 {
		at += attrSize
	}
	switch c.proc {
	case nfs.NFSProcedureAccess:
		if at > replyStatus+8 && len(rec) >= at+4 {
			mask := binary.BigEndian.Uint32(rec[at:])
			put32(rec[at:at], mask&c.allowed(rec[at-attrSize:at]))
		}
	case nfs.NFSProcedureWrite: // count, committed and verifier are the end
		if end := len(rec) - 12; c.stable == 0 && end > at {
			put32(rec[end:end], 0)
		}
	case nfs.NFSProcedureFSStat: // the time is 8 bytes instead of 4
		if end := at + 6*8 + 4; len(rec) > end {
			rec = rec[:end]
		}
	case nfs.NFSProcedureFSInfo:
		if len(rec) >= at+7*4 {
			put32(rec[at:at], maxData, maxData, 4096, maxData, maxData, 4096, 65536)
		}
	case nfs.NFSProcedurePathConf:
		if len(rec) >= at+4 {
			put32(rec[at:at], billyfs.MaxLinks)
		}
	}
	return rec
}

// What ACCESS asks for.
const (
	accessRead = 1 << iota
	accessLookup
	accessModify
	accessExtend
	accessDelete
	accessExecute
)

// allowed returns what the caller may do with an object, by its fattr3: go-nfs
// says that everybody may do everything. Clients ask at open; other calls are
// not checked.
func (c *call) allowed(attr []byte) uint32 {
	r := &reader{b: attr}
	dir, mode := r.u32() == uint32(nfs.FileTypeDirectory), r.u32()
	r.u32()
	uid, gid := r.u32(), r.u32()
	perm := mode & 7
	switch {
	case c.caller.UID == 0:
		perm = 6
		if dir || mode&0o111 != 0 {
			perm = 7
		}
	case c.caller.UID == uid:
		perm = mode >> 6 & 7
	case c.caller.GID == gid || slices.Contains(c.groups, gid):
		perm = mode >> 3 & 7
	}
	var can uint32
	if perm&4 != 0 {
		can |= accessRead
	}
	if perm&2 != 0 {
		can |= accessModify | accessExtend | accessDelete
	}
	if perm&1 != 0 {
		can |= accessExecute | accessLookup
	}
	return can
}

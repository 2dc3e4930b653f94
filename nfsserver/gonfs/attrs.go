package gonfs

import (
	"encoding/binary"
	"math"

	nfs "github.com/willscott/go-nfs"

	"deltafs/billyfs"
)

// results are where attributes lie in the results of each procedure, behind the
// status: a fattr3, p post_op_attr, w wcc_data, h handle, H post_op_fh3,
// 8 plain bytes, E the entries of a listing. What follows is left alone.
var results = [...]string{
	nfs.NFSProcedureGetAttr: "a", nfs.NFSProcedureSetAttr: "w", nfs.NFSProcedureLookup: "hpp",
	nfs.NFSProcedureAccess: "p", nfs.NFSProcedureReadlink: "p", nfs.NFSProcedureRead: "p",
	nfs.NFSProcedureWrite: "w", nfs.NFSProcedureCreate: "Hpw", nfs.NFSProcedureMkDir: "Hpw",
	nfs.NFSProcedureSymlink: "Hpw", nfs.NFSProcedureMkNod: "Hpw", nfs.NFSProcedureRemove: "w",
	nfs.NFSProcedureRmDir: "w", nfs.NFSProcedureRename: "ww", nfs.NFSProcedureReadDir: "p8E",
	nfs.NFSProcedureReadDirPlus: "p8E", nfs.NFSProcedureFSStat: "p", nfs.NFSProcedureFSInfo: "p",
	nfs.NFSProcedurePathConf: "p", nfs.NFSProcedureCommit: "w",
}

const (
	attrSize = 84 // of an fattr3, in bytes
	fileidAt = 52 // in an fattr3
	preSize  = 24 // of a wcc_attr
)

// attrWriter copies results and puts true attributes in place of those of
// go-nfs, which knows one time, no fsid, and no state before a change.
type attrWriter struct {
	h   *Handler
	c   *call
	in  reader
	out []byte
	wcc int // how many wcc_data there were
}

// attributes returns the reply rec of a call that succeeded with true
// attributes, or rec if it does not decode.
func (h *Handler) attributes(c *call, rec []byte) []byte {
	const head = replyStatus + 4
	w := &attrWriter{h: h, c: c, in: reader{b: rec[head:]}, out: make([]byte, 0, len(rec)+2*preSize)}
	w.out = append(w.out, rec[:head]...)
	for _, item := range results[c.proc] {
		switch item {
		case 'a':
			w.attr(w.in.take(attrSize))
		case 'p':
			w.postOp()
		case 'w':
			w.wccData()
		case 'h':
			// LOOKUP of "." hands back the handle of the call, with its tag.
			fh := w.in.opaque(maxHandle + tagSize)
			if n := len(fh) - tagSize; n >= 0 && [8]byte(fh[n:n+8]) == h.nonce {
				fh = fh[:n]
			}
			w.out = putOpaque(w.out, fh)
		case 'H':
			w.postOpHandle()
		case '8':
			w.out = append(w.out, w.in.take(8)...)
		case 'E':
			w.entries()
		}
	}
	if w.in.bad {
		return rec
	}
	return append(w.out, w.in.b...)
}

func (w *attrWriter) attr(old []byte) {
	if len(old) < attrSize {
		return
	}
	a, err := w.h.fs.Attr(billyfs.Ino(binary.BigEndian.Uint64(old[fileidAt:])))
	if err != nil { // gone meanwhile: what go-nfs saw is as good as it gets
		at := len(w.out)
		w.out = append(w.out, old...)
		binary.BigEndian.PutUint64(w.out[at+fileidAt-8:], w.h.codec.FSID())
		return
	}
	w.out = putAttr(w.out, a, w.h.codec.FSID())
}

func (w *attrWriter) postOp() {
	given := w.in.u32()
	w.out = put32(w.out, given)
	if given != 0 {
		w.attr(w.in.take(attrSize))
	}
}

// wccData writes what the tree says of the change, before and after under one
// lock; of objects that were not changed, the state now.
func (w *attrWriter) wccData() {
	if w.in.u32() != 0 {
		w.in.take(preSize)
	}
	n := w.wcc
	w.wcc++
	if n >= len(w.c.changes) || w.c.changes[n].After.Ino == 0 {
		w.out = put32(w.out, 0)
		w.postOp()
		return
	}
	if w.in.u32() != 0 {
		w.in.take(attrSize)
	}
	ch := w.c.changes[n]
	w.out = binary.BigEndian.AppendUint64(put32(w.out, 1), ch.Before.Size)
	w.out = putTime(putTime(w.out, ch.Before.Mtime), ch.Before.Ctime)
	w.out = putAttr(put32(w.out, 1), ch.After, w.h.codec.FSID())
}

// postOpHandle leaves out a handle that go-nfs could not get: the name is gone.
func (w *attrWriter) postOpHandle() {
	if w.in.u32() == 0 {
		w.out = put32(w.out, 0)
		return
	}
	if h := w.in.opaque(maxHandle); len(h) > 0 {
		w.out = putOpaque(put32(w.out, 1), h)
	} else {
		w.out = put32(w.out, 0)
	}
}

// ftypes are the ftype3 of the types of objects.
var ftypes = map[uint32]nfs.FileType{
	billyfs.TypeRegular: nfs.FileTypeRegular, billyfs.TypeDir: nfs.FileTypeDirectory,
	billyfs.TypeBlock: nfs.FileTypeBlock, billyfs.TypeChar: nfs.FileTypeCharacter,
	billyfs.TypeSymlink: nfs.FileTypeLink, billyfs.TypeSocket: nfs.FileTypeSocket, billyfs.TypeFIFO: nfs.FileTypeFIFO,
}

// putAttr appends an fattr3.
func putAttr(b []byte, a billyfs.Attr, fsid uint64) []byte {
	b = put32(b, uint32(ftypes[a.Mode&billyfs.TypeMask]), a.Mode&0o7777, a.Nlink, a.UID, a.GID)
	b = binary.BigEndian.AppendUint64(b, a.Size)
	b = binary.BigEndian.AppendUint64(b, a.Used)
	b = put32(b, a.RdevMajor, a.RdevMinor)
	b = binary.BigEndian.AppendUint64(b, fsid)
	b = binary.BigEndian.AppendUint64(b, uint64(a.Ino))
	return putTime(putTime(putTime(b, a.Atime), a.Mtime), a.Ctime)
}

// putTime appends an nfstime3; times that it cannot hold become the nearest.
func putTime(b []byte, ns int64) []byte {
	sec := ns / 1e9
	switch {
	case ns < 0:
		return put32(b, 0, 0)
	case sec > math.MaxUint32:
		return put32(b, math.MaxUint32, 999999999)
	}
	return put32(b, uint32(sec), uint32(ns%1e9))
}

package gonfs

import (
	"encoding/binary"

	nfs "github.com/willscott/go-nfs"
)

// go-nfs numbers the names of a listing from 2 on, and shows "." and ".."
// with the cookies 0 and 1, at which nobody can resume: 0 is the start, and
// behind 1 it finds nothing. Clients are shown 1 and 2 for those two, and one
// more than go-nfs's number for every name.
const (
	cookieDot    = 1
	cookieDotDot = 2
)

// innerCookie is the cookie for go-nfs: it starts over for what is shown twice,
// and what the client has is left out of the reply.
func innerCookie(cookie uint64) uint64 {
	if cookie <= cookieDotDot {
		return 0
	}
	return cookie - 1
}

// roomFor is the room to tell go-nfs of. It reckons 512 bytes for any entry;
// what then does not fit is left out of the reply.
func roomFor(proc nfs.NFSProcedure, room uint32) uint32 {
	scale := uint32(8)
	if proc == nfs.NFSProcedureReadDirPlus {
		scale = 2
	}
	if room < 1024 || room > maxData/scale {
		return min(room, maxData)
	}
	return room * scale
}

// entries copies the entries of a listing behind the client's cookie, as far
// as there is room, with its cookies.
func (w *attrWriter) entries() {
	const tail = 8 // no more entries, and eof
	shown, full := 0, false
	for w.in.u32() != 0 && !w.in.bad {
		at := len(w.out)
		w.out = append(put32(w.out, 1), w.in.take(8)...)
		name := w.in.opaque(maxName)
		cookie := w.in.u64() + 1
		w.out = binary.BigEndian.AppendUint64(putOpaque(w.out, name), cookie)
		if w.c.proc == nfs.NFSProcedureReadDirPlus {
			w.postOp()
			w.postOpHandle()
		}
		// At least one entry goes, or the client would get nowhere.
		full = full || shown > 0 && len(w.out)-replyStatus+tail > int(w.c.room)
		if full || cookie <= w.c.cookie {
			w.out = w.out[:at]
			continue
		}
		shown++
	}
	eof := w.in.u32()
	if full {
		eof = 0
	}
	w.out = put32(w.out, 0, eof)
}

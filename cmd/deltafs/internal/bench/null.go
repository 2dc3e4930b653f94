package bench

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"

	"deltafs/nfsserver/wire"
)

// ServeNull answers calls on the connections of l without having anything: what
// the socket and the client allow. A READ returns what the files that were
// prepared hold; what is written is gone. It ends with the error of l.
func ServeNull(l net.Listener, z *Sizes) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			n := &null{z: z, r: bufio.NewReaderSize(c, 256<<10)}
			for n.err == nil {
				n.call()
				if n.r.Buffered() < 4 || len(n.out) > mib {
					if _, err := c.Write(n.out); err != nil {
						return
					}
					n.out = n.out[:0]
				}
			}
		}()
	}
}

// null is a connection.
type null struct {
	z        *Sizes
	r        *bufio.Reader
	rec, out []byte
	call0    wire.Call
	err      error
}

// Handles are eight bytes: what kind of thing it is, and which.
const (
	nullDir = iota
	nullFile
	nullList
)

func nullHandle(kind, i int) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(kind)), uint32(i))
}

func (n *null) call() {
	var mark [4]byte
	if _, n.err = io.ReadFull(n.r, mark[:]); n.err != nil {
		return
	}
	size := int(binary.BigEndian.Uint32(mark[:]) &^ (1 << 31))
	if size > 2*mib {
		n.err = errors.New("a call that is too long")
		return
	}
	if cap(n.rec) < size {
		n.rec = make([]byte, size)
	}
	n.rec = n.rec[:size]
	if _, n.err = io.ReadFull(n.r, n.rec); n.err != nil {
		return
	}
	args, fault := wire.ParseCall(n.rec, &n.call0)
	if fault != wire.NoFault {
		n.err = errors.New("not a call")
		return
	}
	start := len(n.out)
	n.out = wire.AppendAccepted(append(n.out, 0, 0, 0, 0), n.call0.XID, wire.Success)
	n.reply(wire.Reader(args))
	binary.BigEndian.PutUint32(n.out[start:], 1<<31|uint32(len(n.out)-start-4))
}

// attr is what everything is.
var attr = wire.PostOp{OK: true, Attr: wire.Fattr{Type: wire.TypeReg, Mode: 0o644, Nlink: 1, Size: fileSize, FileID: 1}}

func (n *null) reply(x wire.XDR) {
	if n.call0.Prog == wire.ProgMount {
		n.out = (&wire.MntRes{Handle: nullHandle(nullDir, 0), Flavors: []uint32{wire.AuthSys}}).Append(n.out)
		return
	}
	switch n.call0.Proc {
	case wire.ProcGetattr:
		n.out = (&wire.GetattrRes{Attr: attr.Attr}).Append(n.out)
	case wire.ProcLookup:
		n.lookup(x)
	case wire.ProcRead:
		n.read(x)
	case wire.ProcWrite:
		var a wire.WriteArgs
		a.Code(&x)
		n.out = (&wire.WriteRes{Count: a.Count, Committed: wire.FileSync, Wcc: wire.Wcc{After: attr}}).Append(n.out)
	case wire.ProcCreate, wire.ProcMkdir:
		n.out = (&wire.MakeRes{Object: wire.PostHandle{OK: true, Handle: nullHandle(nullFile, 0)}, Attr: attr, DirWcc: wire.Wcc{After: attr}}).Append(n.out)
	case wire.ProcCommit:
		n.out = (&wire.CommitRes{Wcc: wire.Wcc{After: attr}}).Append(n.out)
	case wire.ProcReaddirplus:
		n.list(x)
	default: // SETATTR, REMOVE, RMDIR
		n.out = (&wire.WccRes{Wcc: wire.Wcc{After: attr}}).Append(n.out)
	}
}

// lookup finds every name: a file's number is in its name.
func (n *null) lookup(x wire.XDR) {
	var a wire.LookupArgs
	a.Code(&x)
	kind, i := nullDir, 0
	switch name := string(a.What.Name); {
	case len(name) > 5 && name[:5] == "file-":
		kind = nullFile
		for _, d := range name[5:] {
			i = i*10 + int(d-'0')
		}
	case len(name) > 5 && name[:5] == "list-":
		kind = nullList
	case name == Dir || name == "files":
	default:
		kind = nullFile
	}
	var h [8]byte
	binary.BigEndian.PutUint32(h[:], uint32(kind))
	binary.BigEndian.PutUint32(h[4:], uint32(i))
	n.out = (&wire.LookupRes{Object: h[:], Attr: attr, DirAttr: attr}).Append(n.out)
}

func (n *null) read(x wire.XDR) {
	var a wire.RangeArgs
	a.Code(&x)
	count := int(min(a.Count, mib))
	r := wire.ReadRes{Attr: attr, Count: uint32(count), Data: content(int64(a.Offset), count, 0)}
	n.out = r.Append(n.out)
}

// list lists the names of a directory, its cookies being how many there were.
func (n *null) list(x wire.XDR) {
	var a wire.ReaddirplusArgs
	a.Code(&x)
	l := wire.BeginReaddirplus(n.out, &attr, a.DirCount, a.MaxCount)
	i := int(a.Cookie)
	for i < n.z.Listed && l.Add(uint64(i+1), fileName(i), uint64(i+1), &attr, nullHandle(nullFile, i)) {
		i++
	}
	n.out = l.Finish(i == n.z.Listed)
}

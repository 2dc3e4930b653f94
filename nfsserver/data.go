package nfsserver

import (
	"math"

	"deltafs/billyfs"
	"deltafs/nfsserver/rpc"
	"deltafs/nfsserver/wire"
)

// open resolves the handle of a file whose data the caller may read or write.
func (c *call) open(fh []byte, want uint32) (object, error) {
	o, err := c.resolve(fh)
	if err != nil {
		return o, err
	}
	a, err := o.FS.Attr(o.ino)
	if err != nil {
		return o, err
	}
	return o, c.cred.mayData(&a, want)
}

// span checks an offset and count of the wire.
func span(off uint64, n int) (int64, error) {
	if off > math.MaxInt64-uint64(n) {
		return 0, &billyfs.Error{Op: "span", Kind: billyfs.TooBig}
	}
	return int64(off), nil
}

// read lets the tree read into the reply itself: the data is not copied again.
func (c *call) read(d *wire.XDR) {
	var a wire.RangeArgs
	if a.Code(d); !d.OK() {
		return
	}
	count := min(a.Count, maxTransfer)
	o, err := c.open(a.File, mayRead)
	start := len(c.b)
	if err == nil {
		var n int
		var eof bool
		var data []byte
		off := int64(min(a.Offset, math.MaxInt64-maxTransfer)) // no file reaches as far
		c.b, data = wire.AppendReadSpace(rpc.Grow(c.b, wire.ReadSpace(int(count))), int(count))
		if n, eof, err = o.FS.ReadAt(o.ino, data, off); err == nil {
			post := o.after()
			c.b = wire.FinishRead(c.b, start, &post, n, eof)
			return
		}
	}
	r := wire.ReadRes{Status: c.status(err), Attr: o.after()}
	c.b = r.Append(c.b[:start])
}

func (c *call) write(d *wire.XDR) {
	var a wire.WriteArgs
	if a.Code(d); !d.OK() {
		return
	}
	data := a.Data[:min(uint64(len(a.Data)), uint64(a.Count))]
	w := &c.wait
	w.res = wire.WriteRes{Committed: wire.Unstable, Verifier: c.s.writeVerifier(), Count: uint32(len(data))}
	var err error
	if w.o, err = c.open(a.File, mayWrite); err == nil {
		var off int64
		if off, err = span(a.Offset, len(data)); err == nil {
			w.ch, err = w.o.FS.WriteSummed(c.caller(), w.o.ino, data, c.sums(data), off)
		}
	}
	if err == nil {
		w.o.changed(w.ch.LSN)
		if a.Stable != wire.Unstable {
			w.res.Committed = wire.FileSync
			w.lsn, w.rest = w.ch.LSN, (*call).written
			return
		}
	}
	c.written(err)
}

// written is the rest of a WRITE.
func (c *call) written(err error) {
	w := &c.wait
	if w.res.Status = c.status(err); err == nil {
		w.res.Wcc = w.o.wcc(&w.ch, nil)
	} else {
		w.res.Wcc.After = w.after()
	}
	c.b = w.res.Append(c.b)
}

// commit syncs the log, which is in one order for all files: so the range does
// not matter.
func (c *call) commit(d *wire.XDR) {
	var a wire.RangeArgs
	if a.Code(d); !d.OK() {
		return
	}
	w := &c.wait
	w.res.Verifier = c.s.writeVerifier()
	var err error
	if w.o, err = c.resolve(a.File); err != nil {
		c.committed(err)
		return
	}
	w.lsn, w.rest = billyfs.LSN(w.o.last.Load()), (*call).committed
}

// committed is the rest of a COMMIT.
func (c *call) committed(err error) {
	r := wire.CommitRes{Status: c.status(err), Wcc: wire.Wcc{After: c.wait.after()}, Verifier: c.wait.res.Verifier}
	c.b = r.Append(c.b)
}

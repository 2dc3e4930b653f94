package bench

import (
	"deltafs/nfsserver/wire"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// small makes files as an archiver does: create, write, commit, set times.
func (s *session) small(r *Row) (Sample, error) {
	base := s.small0
	made := make([][]byte, 1<<20)
	d, err := s.run(s.ctx, r.InFlight, len(made), s.d, load{
		call: func(o *op, c *conn) error {
			switch o.step {
			case 0:
				o.create = wire.CreateArgs{Where: wire.DirOp{Dir: s.own, Name: fmt.Appendf(o.create.Where.Name[:0], "small-%07d", base+o.i)},
					How: wire.Guarded, Attr: wire.Sattr{SetMode: true, Mode: 0o644}}
				return c.send(o, wire.ProcCreate, &o.create)
			case 1:
				o.write = wire.WriteArgs{File: o.fh, Count: 4 * kib, Data: content(0, 4*kib, base+o.i)}
				return c.send(o, wire.ProcWrite, &o.write)
			case 2:
				o.span = wire.RangeArgs{File: o.fh}
				return c.send(o, wire.ProcCommit, &o.span)
			}
			o.set = wire.SetattrArgs{Object: o.fh, Attr: wire.Sattr{MtimeHow: wire.SetToClientTime, Mtime: wire.Time{Sec: 1e9}}}
			return c.send(o, wire.ProcSetattr, &o.set)
		},
		reply: func(o *op, res []byte) (bool, error) {
			switch o.step {
			case 0:
				var r wire.MakeRes
				if err := decode(res, r.Code); err != nil {
					return false, err
				}
				if err := status("CREATE", r.Status); err != nil {
					return false, err
				}
				if !r.Object.OK {
					return false, errors.New("CREATE: no handle in its results")
				}
				o.fh = slices.Clone(r.Object.Handle)
				made[o.i] = o.fh
				return true, nil
			case 1:
				return true, written(res, 4*kib, wire.Unstable)
			case 2:
				var r wire.CommitRes
				if err := decode(res, r.Code); err != nil {
					return false, err
				}
				return true, status("COMMIT", r.Status)
			}
			var r wire.WccRes
			if err := decode(res, r.Code); err != nil {
				return false, err
			}
			return false, status("SETATTR", r.Status)
		},
	})
	s.small0 += d.ops
	if d.ops == 0 { // too short a time
		return d.rate(), err
	}
	if err == nil && !s.unproven {
		err = s.proveSmall(made[:d.ops], base)
	}
	if err == nil {
		err = s.removeAll(d.ops, func(i int) wire.DirOp { return wire.DirOp{Dir: s.own, Name: fmt.Appendf(nil, "small-%07d", base+i)} })
	}
	return d.rate(), err
}

// proveSmall reads the files of small back.
func (s *session) proveSmall(made [][]byte, base int) error {
	_, err := s.run(s.ctx, 32, len(made), 0, load{
		call: func(o *op, c *conn) error {
			o.span = wire.RangeArgs{File: made[o.i], Count: 8 * kib}
			return c.send(o, wire.ProcRead, &o.span)
		},
		reply: func(o *op, res []byte) (bool, error) {
			var r wire.ReadRes
			if err := decode(res, r.Code); err != nil {
				return false, err
			}
			if err := status("READ", r.Status); err != nil {
				return false, err
			}
			if len(r.Data) != 4*kib || !r.EOF {
				return false, fmt.Errorf("READ: %d bytes, must be all of %d", len(r.Data), 4*kib)
			}
			return false, check(r.Data, 0, base+o.i)
		},
	})
	return err
}

// removeAll removes n files.
func (s *session) removeAll(n int, which func(i int) wire.DirOp) error {
	_, err := s.run(s.ctx, 16, n, 0, load{
		call: func(o *op, c *conn) error {
			return c.send(o, wire.ProcRemove, &wire.RemoveArgs{Object: which(o.i)})
		},
		reply: func(o *op, res []byte) (bool, error) {
			var r wire.WccRes
			if err := decode(res, r.Code); err != nil {
				return false, err
			}
			return false, status("REMOVE", r.Status)
		},
	})
	return err
}

func (s *session) listFirst(*Row) (Sample, error) {
	return s.list(fmt.Sprint("list-", s.round))
}

func (s *session) listAgain(*Row) (Sample, error) {
	if _, err := s.list("list-0"); err != nil { // to have been listed before
		return Sample{}, err
	}
	return s.list("list-0")
}

// list lists a directory of 20,000 as clients do, one piece after the other.
func (s *session) list(name string) (Sample, error) {
	h, err := s.prepared(name)
	if err != nil {
		return Sample{}, err
	}
	c := s.conns[0]
	a := wire.ReaddirplusArgs{Dir: h, DirCount: 64 * kib, MaxCount: 64 * kib}
	n, sum := 0, uint64(0)
	cpu, began := s.used(), time.Now()
	for eof := false; !eof; {
		var res []byte
		err := c.one(s.ctx, wire.ProgNFS, wire.ProcReaddirplus, a.Append, func(x *wire.XDR) { res = x.Rest() })
		if err != nil {
			return Sample{}, err
		}
		more := 0
		if more, eof, err = entries(res, &a, &sum); err != nil {
			return Sample{}, err
		}
		if n += more; more == 0 && !eof || n > s.z.Listed+2 {
			return Sample{}, fmt.Errorf("READDIRPLUS: %d entries of %d, and no end", n, s.z.Listed)
		}
	}
	took := time.Since(began)
	// Servers may list "." and "..", or not.
	if want := sumOfNames(s.z.Listed); n < s.z.Listed || sum != want {
		return Sample{}, fmt.Errorf("READDIRPLUS: %d entries of %d, or wrong names", n, s.z.Listed)
	}
	return Sample{Value: float64(s.z.Listed) / took.Seconds(), Ops: s.z.Listed, CPU: s.used() - cpu}, nil
}

// entries reads a piece of a listing without making anything of it but a sum, and
// sets the cookie for the next.
func entries(res []byte, a *wire.ReaddirplusArgs, sum *uint64) (n int, eof bool, err error) {
	be := binary.BigEndian
	bad := func() (int, bool, error) { return 0, false, errShort }
	if len(res) < 8 {
		return bad()
	}
	if err := status("READDIRPLUS", wire.Status(be.Uint32(res))); err != nil {
		return 0, false, err
	}
	attr := func(b []byte, size int) []byte { // what follows a union of a bool and size bytes
		if len(b) < 4 || be.Uint32(b) == 1 && len(b) < 4+size {
			return nil
		}
		return b[4+size*int(be.Uint32(b)&1):]
	}
	const fattr = 84
	b := attr(res[4:], fattr)
	if len(b) < 8 {
		return bad()
	}
	copy(a.Verifier[:], b)
	for b = b[8:]; len(b) >= 4 && be.Uint32(b) == 1; n++ {
		if len(b) < 16 {
			return bad()
		}
		size := int(be.Uint32(b[12:]))
		end := 16 + (size+3)&^3
		if size > 4096 || len(b) < end+8 {
			return bad()
		}
		if name := b[16 : 16+size]; string(name) != "." && string(name) != ".." {
			*sum += sumOf(name)
		}
		a.Cookie = be.Uint64(b[end:])
		if b = attr(b[end+8:], fattr); len(b) < 4 {
			return bad()
		}
		if be.Uint32(b) == 0 {
			b = b[4:]
		} else {
			if len(b) < 8 {
				return bad()
			}
			skip := 8 + (int(be.Uint32(b[4:]))+3)&^3
			if len(b) < skip {
				return bad()
			}
			b = b[skip:]
		}
	}
	if len(b) < 8 {
		return bad()
	}
	return n, be.Uint32(b[4:]) == 1, nil
}

// sumOf is FNV-1a of a name.
func sumOf(name []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range name {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// sumOfNames is the sum over the names of a directory that was prepared.
func sumOfNames(n int) (sum uint64) {
	for i := range n {
		sum += sumOf([]byte(fileName(i)))
	}
	return sum
}

func (s *session) first1M(*Row) (Sample, error)  { return s.first("first-1m", s.z.First1M) }
func (s *session) first1G(*Row) (Sample, error)  { return s.first("first-1g", s.z.First1G) }
func (s *session) first10G(*Row) (Sample, error) { return s.first("first-10g", s.z.First10G) }

// wakeUps are so many small synced writes, after which neither disk nor processors sleep:
// that is not what a single operation is to measure.
const wakeUps = 50

// first writes 4 KiB in the middle of a file that nobody has changed.
func (s *session) first(name string, size int64) (Sample, error) {
	h, err := s.prepared(fmt.Sprint(name, "-", s.round))
	if err != nil {
		return Sample{}, err
	}
	awake, err := s.file("awake", mib)
	if err != nil {
		return Sample{}, err
	}
	if _, err := s.run(s.ctx, 1, wakeUps, 0, write(awake, 4*kib, wire.FileSync, func(int) int64 { return 0 }, original)); err != nil {
		return Sample{}, err
	}
	off := size / 2
	a := wire.WriteArgs{File: h, Offset: uint64(off), Count: 4 * kib, Data: content(off, 4*kib, 1)}
	began := time.Now()
	var bad error
	err = s.conns[0].one(s.ctx, wire.ProgNFS, wire.ProcWrite, a.Append, func(x *wire.XDR) { bad = written(x.Rest(), 4*kib, wire.Unstable) })
	if err = errors.Join(err, bad); err == nil {
		err = s.commit(h)
	}
	took := time.Since(began)
	if err == nil && !s.unproven {
		_, err = s.run(s.ctx, 1, 1, 0, read(h, 4*kib, func(int) int64 { return off }, func(int) int { return 1 }))
	}
	return Sample{Value: float64(took) / 1e6, Ops: 1}, err
}

package bench

import (
	"deltafs/nfsserver/wire"
	"fmt"
	"math/rand/v2"
	"time"
)

// read is a load of READs that are verified; at says where operation i reads.
func read(h []byte, n int, at func(i int) int64, gen func(i int) int) load {
	return load{
		call: func(o *op, c *conn) error {
			o.span = wire.RangeArgs{File: h, Offset: uint64(at(o.i)), Count: uint32(n)}
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
			if len(r.Data) != n {
				return false, fmt.Errorf("READ: %d bytes of %d", len(r.Data), n)
			}
			return false, check(r.Data, at(o.i), gen(o.i))
		},
	}
}

// original is the content of files that nobody wrote to.
func original(int) int { return 0 }

func (s *session) read1M(r *Row) (Sample, error) {
	h, err := s.prepared("big")
	if err != nil {
		return Sample{}, err
	}
	d, err := s.run(s.ctx, r.InFlight, 0, s.d, read(h, mib, func(i int) int64 { return int64(i) % (s.z.Big / mib) * mib }, original))
	return d.bytes(mib), err
}

// scattered is a 4 KiB block of a file of size bytes, another one for each i.
func scattered(i int, size int64) int64 {
	return int64(uint64(i)*0x9e3779b97f4a7c15>>20) % (size / (4 * kib)) * 4 * kib
}

func (s *session) read4K(r *Row) (Sample, error) {
	h, err := s.prepared("big")
	if err != nil {
		return Sample{}, err
	}
	d, err := s.run(s.ctx, r.InFlight, 0, s.d, read(h, 4*kib, func(i int) int64 { return scattered(i, s.z.Big) }, original))
	return d.rate(), err
}

// write is a load of WRITEs; at says where operation i writes.
func write(h []byte, n int, stable wire.Stable, at func(i int) int64, gen func(i int) int) load {
	return load{
		call: func(o *op, c *conn) error {
			off := at(o.i)
			o.write = wire.WriteArgs{File: h, Offset: uint64(off), Count: uint32(n), Stable: stable, Data: content(off, n, gen(o.i))}
			return c.sendWrite(o)
		},
		reply: func(o *op, res []byte) (bool, error) { return false, written(res, n, stable) },
	}
}

// written looks at the results of a WRITE.
func written(res []byte, n int, stable wire.Stable) error {
	var r wire.WriteRes
	if err := decode(res, r.Code); err != nil {
		return err
	}
	if err := status("WRITE", r.Status); err != nil {
		return err
	}
	if int(r.Count) != n || r.Committed < stable {
		return fmt.Errorf("WRITE: %d of %d bytes, %v", r.Count, n, r.Committed)
	}
	return nil
}

// commit commits a file.
func (s *session) commit(h []byte) error {
	var r wire.CommitRes
	if err := s.conns[0].one(s.ctx, wire.ProgNFS, wire.ProcCommit, (&wire.RangeArgs{File: h}).Append, r.Code); err != nil {
		return err
	}
	return status("COMMIT", r.Status)
}

// make creates an empty file in the directory that is written to.
func (s *session) make(name string) ([]byte, error) { return s.create(s.own, name) }

// remove removes what make or small has made.
func (s *session) remove(name string) error {
	var r wire.WccRes
	a := wire.RemoveArgs{Object: wire.DirOp{Dir: s.own, Name: []byte(name)}}
	if err := s.conns[0].one(s.ctx, wire.ProgNFS, wire.ProcRemove, a.Append, r.Code); err != nil {
		return err
	}
	return status("REMOVE "+name, r.Status)
}

// prove reads a whole file that was written, by pieces of n bytes.
func (s *session) prove(h []byte, size int64, n int, gen func(i int) int) error {
	if s.unproven {
		return nil
	}
	_, err := s.run(s.ctx, 8, int(size)/n, 0, read(h, n, func(i int) int64 { return int64(i) * int64(n) }, gen))
	if err != nil {
		err = fmt.Errorf("reading back: %w", err)
	}
	return err
}

// write1M writes a new file.
func (s *session) write1M(r *Row) (Sample, error) {
	const name = "written"
	if s.files[name] != nil {
		if err := s.remove(name); err != nil {
			return Sample{}, err
		}
		delete(s.files, name)
	}
	gen := func(int) int { return s.round + 1 }
	h, err := s.make(name)
	if err != nil {
		return Sample{}, err
	}
	s.files[name] = h
	began := time.Now()
	d, err := s.run(s.ctx, r.InFlight, int(s.z.Written/mib), 0, write(h, mib, wire.Unstable, func(i int) int64 { return int64(i) * mib }, gen))
	if err == nil {
		err = s.commit(h)
	}
	d.took = time.Since(began)
	if err == nil {
		err = s.prove(h, s.z.Written, mib, gen)
	}
	return d.bytes(mib), err
}

// file is a file of so many bytes that was written before, which is made if there
// is none.
func (s *session) file(name string, size int64) ([]byte, error) {
	if h := s.files[name]; h != nil {
		return h, nil
	}
	h, err := s.make(name)
	if err != nil {
		return nil, err
	}
	_, err = s.run(s.ctx, 8, int(size/mib), 0, write(h, mib, wire.Unstable, func(i int) int64 { return int64(i) * mib }, original))
	if err == nil {
		err = s.commit(h)
	}
	if err == nil {
		s.files[name] = h
	}
	return h, err
}

// write4K overwrites blocks all over a file.
func (s *session) write4K(r *Row) (Sample, error) {
	h, err := s.file("scattered", s.z.Written)
	if err != nil {
		return Sample{}, err
	}
	first := rand.IntN(1 << 30)
	at := func(i int) int64 { return scattered(first+i, s.z.Written) }
	gen := func(int) int { return s.round + 1 }
	began := time.Now()
	d, err := s.run(s.ctx, r.InFlight, s.z.Writes, 0, write(h, 4*kib, wire.Unstable, at, gen))
	if err == nil {
		err = s.commit(h)
	}
	d.took = time.Since(began)
	if err == nil && !s.unproven {
		if _, err = s.run(s.ctx, 32, s.z.Writes, 0, read(h, 4*kib, at, gen)); err != nil {
			err = fmt.Errorf("reading back: %w", err)
		}
	}
	return d.rate(), err
}

// sync4K overwrites blocks all over a file, each of them durable before the next.
func (s *session) sync4K(r *Row) (Sample, error) {
	h, err := s.file("synced", s.z.Synced)
	if err != nil {
		return Sample{}, err
	}
	first := rand.IntN(1 << 30)
	at := func(i int) int64 { return scattered(first+i, s.z.Synced) }
	gen := func(int) int { return s.round + 1 }
	d, err := s.run(s.ctx, r.InFlight, 0, s.d, write(h, 4*kib, wire.FileSync, at, gen))
	if err == nil && !s.unproven {
		if _, err = s.run(s.ctx, 32, d.ops, 0, read(h, 4*kib, at, gen)); err != nil {
			err = fmt.Errorf("reading back: %w", err)
		}
	}
	return d.rate(), err
}

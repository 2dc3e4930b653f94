package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"deltafs/nfsserver/wire"
)

// Unit is what the figures of a row are in.
type Unit string

const (
	PerSecond Unit = "/s"
	Megabytes Unit = "MB/s" // 10^6 bytes
	Millis    Unit = "ms"   // the only one of which less is better
)

// Row is one thing that is measured.
type Row struct {
	Name string // as it is chosen by
	What string // as it is printed
	Unit Unit
	// InFlight is how many operations are in flight.
	InFlight int
	// Synced says that each operation waits for the disk.
	Synced bool
	nfs    func(*session, *Row) (Sample, error)
	local  func(*directory, *Row) (Sample, error) // nil: there is no such thing
	disk   func(*directory, *Row) (Sample, error) // the same
	once   bool                                   // needs files that nobody has touched: there are [Fresh] of them
}

// Sample is what one round has measured.
type Sample struct {
	Value    float64       // in the unit of the row
	P50, P99 time.Duration // of one operation; 0: there was but one
	Ops      int
	CPU      time.Duration // of the server; 0: unknown
}

// Rows are all that can be measured, in the order in which they are.
var Rows = []Row{
	{Name: "getattr", What: "GETATTR, 1 in flight", Unit: PerSecond, InFlight: 1, nfs: (*session).getattr},
	{Name: "getattr-32", What: "GETATTR, 32 in flight", Unit: PerSecond, InFlight: 32, nfs: (*session).getattr},
	{Name: "lookup", What: "LOOKUP, 1 in flight", Unit: PerSecond, InFlight: 1, nfs: (*session).lookup},
	{Name: "lookup-32", What: "LOOKUP, 32 in flight", Unit: PerSecond, InFlight: 32, nfs: (*session).lookup},
	{Name: "read-1m", What: "READ 1 MiB, 8 in flight", Unit: Megabytes, InFlight: 8, nfs: (*session).read1M, local: (*directory).read1M, disk: (*directory).read1M},
	{Name: "read-4k", What: "READ 4 KiB random, 32 in flight", Unit: PerSecond, InFlight: 32, nfs: (*session).read4K, local: (*directory).read4K, disk: (*directory).read4K},
	{Name: "write-1m", What: "WRITE 1 MiB + COMMIT, 8 in flight", Unit: Megabytes, InFlight: 8, nfs: (*session).write1M, local: (*directory).write1M, disk: (*directory).bareWrite1M},
	{Name: "write-4k", What: "WRITE 4 KiB random + COMMIT, 32 in flight", Unit: PerSecond, InFlight: 32, nfs: (*session).write4K, local: (*directory).write4K},
	{Name: "sync-4k", What: "FILE_SYNC 4 KiB, 1 in flight", Unit: PerSecond, InFlight: 1, Synced: true, nfs: (*session).sync4K, local: (*directory).sync4K, disk: (*directory).bareSync4K},
	{Name: "sync-4k-16", What: "FILE_SYNC 4 KiB, 16 in flight", Unit: PerSecond, InFlight: 16, Synced: true, nfs: (*session).sync4K, local: (*directory).sync4K, disk: (*directory).bareSync4K},
	{Name: "small", What: "create + 4 KiB + COMMIT + SETATTR, 1 in flight", Unit: PerSecond, InFlight: 1, Synced: true, nfs: (*session).small, local: (*directory).small, disk: (*directory).bareSync4K},
	{Name: "small-16", What: "create + 4 KiB + COMMIT + SETATTR, 16 in flight", Unit: PerSecond, InFlight: 16, Synced: true, nfs: (*session).small, local: (*directory).small, disk: (*directory).bareSync4K},
	{Name: "list-first", What: "READDIRPLUS of 20,000, entries, first", Unit: PerSecond, InFlight: 1, nfs: (*session).listFirst, local: (*directory).listFirst, once: true},
	{Name: "list-again", What: "READDIRPLUS of 20,000, entries, again", Unit: PerSecond, InFlight: 1, nfs: (*session).listAgain, local: (*directory).listAgain},
	{Name: "first-1m", What: "first 4 KiB into a file of 1 MiB + COMMIT", Unit: Millis, InFlight: 1, Synced: true, nfs: (*session).first1M, local: (*directory).first1M, disk: (*directory).bareOnce, once: true},
	{Name: "first-1g", What: "first 4 KiB into a file of 1 GiB + COMMIT", Unit: Millis, InFlight: 1, Synced: true, nfs: (*session).first1G, local: (*directory).first1G, disk: (*directory).bareOnce, once: true},
	{Name: "first-10g", What: "first 4 KiB into a file of 10 GiB + COMMIT", Unit: Millis, InFlight: 1, Synced: true, nfs: (*session).first10G, local: (*directory).first10G, disk: (*directory).bareOnce, once: true},
}

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// session is a server that is being measured. It has a directory of its own in the
// export for what it writes.
type session struct {
	*client
	ctx      context.Context
	z        *Sizes
	d        time.Duration // of a row that is bounded by time
	round    int
	unproven bool              // what is written cannot be read back
	dir      []byte            // of what was prepared
	own      []byte            // the directory that is written to
	ownName  string            // its name in dir
	files    map[string][]byte // handles of files that were made
	small0   int               // small files that were made
}

// status is an error unless s is OK.
func status(what string, s wire.Status) error {
	if s == wire.OK {
		return nil
	}
	return fmt.Errorf("%s: %s", what, s)
}

// decode reads results.
func decode(res []byte, code func(*wire.XDR)) error {
	x := wire.Reader(res)
	if code(&x); !x.OK() {
		return errShort
	}
	return nil
}

// find looks a name up.
func (s *session) find(dir []byte, name string) ([]byte, error) {
	var r wire.LookupRes
	a := wire.LookupArgs{What: wire.DirOp{Dir: dir, Name: []byte(name)}}
	if err := s.conns[0].one(s.ctx, wire.ProgNFS, wire.ProcLookup, a.Append, r.Code); err != nil {
		return nil, err
	}
	if r.Status == wire.ErrNoEnt {
		return nil, errNoFile
	}
	return slices.Clone(r.Object), status("LOOKUP "+name, r.Status)
}

var errNoFile = errors.New("there is no such file")

// prepared finds one of the files that were prepared.
func (s *session) prepared(path ...string) ([]byte, error) {
	h := s.dir
	for _, name := range path {
		var err error
		if h, err = s.find(h, name); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return h, nil
}

// handles finds files 0 to n-1 of a directory that was prepared.
func (s *session) handles(dir []byte, n int) ([][]byte, error) {
	hs := make([][]byte, n)
	_, err := s.run(s.ctx, 32, n, 0, load{
		call: func(o *op, c *conn) error {
			o.lookup.What = wire.DirOp{Dir: dir, Name: []byte(fileName(o.i))}
			return c.send(o, wire.ProcLookup, &o.lookup)
		},
		reply: func(o *op, res []byte) (bool, error) {
			var r wire.LookupRes
			if err := decode(res, r.Code); err != nil {
				return false, err
			}
			hs[o.i] = slices.Clone(r.Object)
			return false, status("LOOKUP", r.Status)
		},
	})
	return hs, err
}

// rate is a sample of operations a second.
func (d done) rate() Sample {
	return d.sample(float64(d.ops) / d.took.Seconds())
}

func (d done) sample(v float64) Sample {
	s := Sample{Value: v, Ops: d.ops, CPU: d.cpu}
	if n := len(d.lat); n > 0 {
		s.P50, s.P99 = d.lat[n/2], d.lat[n*99/100]
	}
	return s
}

// bytes is a sample of a throughput, of n bytes each.
func (d done) bytes(n int) Sample {
	return d.sample(float64(d.ops) * float64(n) / 1e6 / d.took.Seconds())
}

func (s *session) getattr(r *Row) (Sample, error) {
	dir, err := s.prepared("files")
	if err != nil {
		return Sample{}, err
	}
	hs, err := s.handles(dir, preparedFiles)
	if err != nil {
		return Sample{}, err
	}
	d, err := s.run(s.ctx, r.InFlight, 0, s.d, load{
		call: func(o *op, c *conn) error {
			o.object.Object = hs[o.i%len(hs)]
			return c.send(o, wire.ProcGetattr, &o.object)
		},
		reply: func(o *op, res []byte) (bool, error) {
			var r wire.GetattrRes
			if err := decode(res, r.Code); err != nil {
				return false, err
			}
			if r.Status == wire.OK && (r.Attr.Type != wire.TypeReg || r.Attr.Size != fileSize) {
				return false, fmt.Errorf("GETATTR: %s of %d bytes, must be a file of %d", r.Attr.Type, r.Attr.Size, fileSize)
			}
			return false, status("GETATTR", r.Status)
		},
	})
	return d.rate(), err
}

func (s *session) lookup(r *Row) (Sample, error) {
	dir, err := s.prepared("files")
	if err != nil {
		return Sample{}, err
	}
	hs, err := s.handles(dir, preparedFiles)
	if err != nil {
		return Sample{}, err
	}
	names := make([][]byte, len(hs))
	for i := range names {
		names[i] = []byte(fileName(i))
	}
	d, err := s.run(s.ctx, r.InFlight, 0, s.d, load{
		call: func(o *op, c *conn) error {
			o.lookup.What = wire.DirOp{Dir: dir, Name: names[o.i*7919%len(hs)]}
			return c.send(o, wire.ProcLookup, &o.lookup)
		},
		reply: func(o *op, res []byte) (bool, error) {
			var r wire.LookupRes
			if err := decode(res, r.Code); err != nil {
				return false, err
			}
			if r.Status == wire.OK && string(r.Object) != string(hs[o.i*7919%len(hs)]) {
				return false, errors.New("LOOKUP: the handle of another file")
			}
			return false, status("LOOKUP", r.Status)
		},
	})
	return d.rate(), err
}

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
		err = s.removeSmall(base, d.ops)
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

func (s *session) removeSmall(base, n int) error {
	_, err := s.run(s.ctx, 16, n, 0, load{
		call: func(o *op, c *conn) error {
			a := wire.RemoveArgs{Object: wire.DirOp{Dir: s.own, Name: fmt.Appendf(nil, "small-%07d", base+o.i)}}
			return c.send(o, wire.ProcRemove, &a)
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

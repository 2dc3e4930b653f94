package bench

import (
	"context"
	"errors"
	"fmt"
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
func (s *session) prepared(name string) ([]byte, error) {
	h, err := s.find(s.dir, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
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

package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"deltafs/nfsserver/wire"
)

// Point is what an operation costs where there are so many of something.
type Point struct {
	What string        `json:"what"`
	Size int           `json:"size"`
	Cost time.Duration `json:"cost_ns"` // of one operation
}

// Names of what [PrepareScale] makes.
const (
	scaleTree = "tree"
	scaleDir  = "directory"
	perDir    = 1000
	// Where a few of all are used again and again, they are so many, whatever the size.
	fewFiles   = 10_000
	fewEntries = 1000
	fewExtents = 10_000
	// measuredMemory is for what is written while it is measured: on a virtual machine memory that it has not used before
	// costs more than the write, and how much of that there is depends on what was written before.
	measuredMemory = 3 << 30
	// madeAtOnce files are made in a directory, so few that it stays about as large, and removed again, so often.
	madeAtOnce, makeTimes = 2000, 5
)

// PrepareScale makes files below dir, for a base: a tree of so many of them, in
// directories of a thousand, and a directory with so many.
func PrepareScale(dir string, files, entries int) error {
	if err := os.Mkdir(filepath.Join(dir, scaleTree), 0o755); err != nil {
		return err
	}
	for d := range files / perDir {
		if err := makeMany(filepath.Join(dir, scaleTree, fileName(d)), perDir); err != nil {
			return err
		}
	}
	return makeMany(filepath.Join(dir, scaleDir), entries)
}

func makeMany(dir string, n int) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for i := range n {
		f, err := os.OpenFile(filepath.Join(dir, fileName(i)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Scale measures an export with what PrepareScale has made, and a file of so many
// extents that it writes. It calls status, which says how long it took, when 100 files have
// been changed and nothing else.
func Scale(ctx context.Context, at string, files, entries, extents int, status func() (time.Duration, error)) (ps []Point, err error) {
	addr, export, ok := Remote(at)
	if !ok {
		return nil, fmt.Errorf("%s is not HOST:PORT:/EXPORT", at)
	}
	cl, err := dial(ctx, addr, export, 4)
	if err != nil {
		return nil, err
	}
	defer cl.close()
	s := &session{client: cl, ctx: ctx, z: &Full, d: 2 * time.Second, dir: cl.root, own: cl.root}
	for _, fn := range []func() ([]Point, error){
		func() ([]Point, error) { return s.scaleTree(files) },
		func() ([]Point, error) {
			d, err := status()
			return []Point{{"deltafs status of 100 changes, the whole command, files of the base", files, d}}, err
		},
		func() ([]Point, error) { return s.scaleDirectory(entries) },
		func() ([]Point, error) { return s.scaleExtents(extents) },
	} {
		more, err := fn()
		if err != nil {
			return ps, err
		}
		ps = append(ps, more...)
	}
	return ps, nil
}

// ScaleConnections measures GETATTR over so many connections.
func ScaleConnections(ctx context.Context, at string, conns int) (Point, error) {
	addr, export, ok := Remote(at)
	if !ok {
		return Point{}, fmt.Errorf("%s is not HOST:PORT:/EXPORT", at)
	}
	cl, err := dial(ctx, addr, export, conns)
	if err != nil {
		return Point{}, err
	}
	defer cl.close()
	s := &session{client: cl, ctx: ctx}
	d, err := s.run(ctx, 4*conns, 0, 2*time.Second, s.attrs([][]byte{cl.root}))
	return Point{"GETATTR, 4 in flight on each connection", conns, d.each()}, err
}

// each is the time of an operation of many.
func (d done) each() time.Duration { return d.took / time.Duration(max(d.ops, 1)) }

// attrs is a load of GETATTRs.
func (s *session) attrs(hs [][]byte) load {
	return load{
		call: func(o *op, c *conn) error {
			o.object.Object = hs[o.i%len(hs)]
			return c.send(o, wire.ProcGetattr, &o.object)
		},
		reply: func(o *op, res []byte) (bool, error) {
			var r wire.GetattrRes
			if err := decode(res, r.Code); err != nil {
				return false, err
			}
			return false, status("GETATTR", r.Status)
		},
	}
}

// spread returns n numbers below all, each once, in no order.
func spread(n, all int) []int {
	few := rand.Perm(all)
	return few[:min(n, all)]
}

// lookups measures LOOKUPs of files of directories that have so many each: of a few of them for
// the first time; of the same, again and again; and of any.
func (s *session) lookups(dirs [][]byte, each, few int, where string) (ps []Point, err error) {
	all := len(dirs) * each
	names := spread(few, all)
	for _, k := range []struct {
		what string
		n    int // of calls; 0: as many as there is time for
		pick func(i int) int
	}{
		{fmt.Sprintf("LOOKUP of %d files for the first time, in a %s", few, where), len(names), func(i int) int { return names[i] }},
		{fmt.Sprintf("LOOKUP of %d files again and again, in a %s", few, where), 0, func(int) int { return names[rand.IntN(len(names))] }},
		{fmt.Sprintf("LOOKUP of any file, in a %s", where), 0, func(int) int { return rand.IntN(all) }},
	} {
		d := s.d
		if k.n > 0 {
			d = 0
		}
		did, err := s.run(s.ctx, 32, k.n, d, lookup(func(i int) wire.DirOp {
			f := k.pick(i)
			return wire.DirOp{Dir: dirs[f/each], Name: []byte(fileName(f % each))}
		}))
		if err != nil {
			return ps, err
		}
		ps = append(ps, Point{k.what, all, did.each()})
	}
	return ps, nil
}

// lookup is a load of LOOKUPs.
func lookup(what func(i int) wire.DirOp) load {
	return load{
		call: func(o *op, c *conn) error {
			o.lookup.What = what(o.i)
			return c.send(o, wire.ProcLookup, &o.lookup)
		},
		reply: func(o *op, res []byte) (bool, error) {
			var r wire.LookupRes
			if err := decode(res, r.Code); err != nil {
				return false, err
			}
			return false, status("LOOKUP", r.Status)
		},
	}
}

// scaleTree looks names up in a tree, walks it, and changes a hundred files.
func (s *session) scaleTree(files int) ([]Point, error) {
	root, err := s.prepared(scaleTree)
	if err != nil {
		return nil, err
	}
	n := files / perDir
	dirs, err := s.handles(root, n)
	if err != nil {
		return nil, err
	}
	looks, err := s.lookups(dirs, perDir, fewFiles, "tree")
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := s.walkAll(dirs); err != nil {
		return nil, err
	}
	walk := time.Since(began)
	for i := range 100 {
		h, err := s.find(dirs[i*7919%len(dirs)], fileName(i))
		if err != nil {
			return nil, err
		}
		if _, err := s.run(s.ctx, 1, 1, 0, write(h, 100, wire.FileSync, func(int) int64 { return 0 }, original)); err != nil {
			return nil, err
		}
	}
	return append(looks, Point{"walk of a tree, for each file", files, walk / time.Duration(files)}), nil
}

// walkAll lists the directories of the tree.
func (s *session) walkAll(dirs [][]byte) error {
	for _, d := range dirs {
		if got, err := s.walk(d); err != nil || got != perDir {
			return errors.Join(err, fmt.Errorf("%d entries of %d", got, perDir))
		}
	}
	return nil
}

// walk lists a directory in whole and returns how many entries it has.
func (s *session) walk(dir []byte) (n int, err error) {
	a := wire.ReaddirplusArgs{Dir: dir, DirCount: 64 * kib, MaxCount: 64 * kib}
	var sum uint64
	for eof := false; !eof; {
		var res []byte
		if err := s.conns[0].one(s.ctx, wire.ProgNFS, wire.ProcReaddirplus, a.Append, func(x *wire.XDR) { res = x.Rest() }); err != nil {
			return n, err
		}
		before, more := sum, 0
		if more, eof, err = entries(res, &a, &sum); err != nil {
			return n, err
		}
		if more == 0 && !eof || before == sum && more > 2 {
			return n, errors.New("READDIRPLUS makes no progress")
		}
		n += more
	}
	return n - 2, nil // without "." and "..", which DeltaFS lists
}

// scaleDirectory looks names up in a directory of many, lists it, and makes some more.
func (s *session) scaleDirectory(entries int) ([]Point, error) {
	dir, err := s.prepared(scaleDir)
	if err != nil {
		return nil, err
	}
	ps, err := s.lookups([][]byte{dir}, entries, fewEntries, "directory")
	if err != nil {
		return nil, err
	}
	if _, err := s.walk(dir); err != nil {
		return nil, err
	}
	listed := 0
	began := time.Now()
	for listed == 0 || time.Since(began) < s.d { // some of the time the base has to be looked at again
		if n, err := s.walk(dir); err != nil || n != entries {
			return nil, errors.Join(err, fmt.Errorf("%d entries of %d", n, entries))
		}
		listed += entries
	}
	list := time.Since(began)
	made, err := s.creates(dir)
	return append(ps,
		Point{"listing of a directory, again, for each entry", entries, list / time.Duration(listed)},
		Point{"CREATE in a directory", entries, made.each()}), err
}

// creates makes files in a directory, which are removed again outside of what it measures.
func (s *session) creates(dir []byte) (all done, err error) {
	for pass := range makeTimes {
		where := func(i int) wire.DirOp { return wire.DirOp{Dir: dir, Name: fmt.Append(nil, "new-", pass, "-", i)} }
		made, err := s.run(s.ctx, 8, madeAtOnce, 0, load{
			call: func(o *op, c *conn) error {
				o.create = wire.CreateArgs{Where: where(o.i), Attr: wire.Sattr{SetMode: true, Mode: 0o644}}
				return c.send(o, wire.ProcCreate, &o.create)
			},
			reply: func(_ *op, res []byte) (bool, error) {
				_, err := handleMade(res)
				return false, err
			},
		})
		if err != nil {
			return all, err
		}
		all.ops, all.took = all.ops+made.ops, all.took+made.took
		if err := s.removeAll(madeAtOnce, where); err != nil {
			return all, err
		}
	}
	return all, nil
}

// scaleExtents writes every other block of a file in no order, so that no two are one
// extent, and then reads and writes at random.
func (s *session) scaleExtents(extents int) ([]Point, error) {
	h, err := s.make("extents")
	if err != nil {
		return nil, err
	}
	touch(int64(extents) * 4 * kib) // what is written
	order := rand.Perm(extents)
	place := func(i int) int64 { return int64(order[i%extents]) * 8 * kib }
	if _, err := s.run(s.ctx, 32, extents, 0, write(h, 4*kib, wire.Unstable, place, original)); err != nil {
		return nil, err
	}
	if err := s.commit(h); err != nil {
		return nil, err
	}
	few := spread(fewExtents, extents)
	var ps []Point
	for _, k := range []struct {
		what  string
		place func(i int) int64
	}{
		{fmt.Sprintf("%d extents, again and again, of a file", fewExtents), func(i int) int64 { return int64(few[i*7919%len(few)]) * 8 * kib }},
		{"any extent of a file", func(i int) int64 { return int64(scattered(i, int64(extents)*4*kib)) * 2 }},
	} {
		r, err := s.run(s.ctx, 32, 0, s.d, read(h, 4*kib, k.place, original))
		if err != nil {
			return ps, err
		}
		touch(measuredMemory)
		w, err := s.run(s.ctx, 32, 0, s.d, write(h, 4*kib, wire.Unstable, k.place, original))
		if err != nil {
			return ps, err
		}
		ps = append(ps, Point{"READ of 4 KiB of " + k.what, extents, r.each()}, Point{"WRITE of 4 KiB to " + k.what, extents, w.each()})
	}
	return ps, nil
}

// WalkAndWrite lists the tree of so many files that PrepareScale has made, all of it, and
// then writes so many MiB in sequence to a new file of the export, and commits them.
func WalkAndWrite(ctx context.Context, at string, files, mibs int) error {
	addr, export, ok := Remote(at)
	if !ok {
		return fmt.Errorf("%s is not HOST:PORT:/EXPORT", at)
	}
	cl, err := dial(ctx, addr, export, 1)
	if err != nil {
		return err
	}
	defer cl.close()
	s := &session{client: cl, ctx: ctx, dir: cl.root, own: cl.root}
	root, err := s.prepared(scaleTree)
	if err != nil {
		return err
	}
	dirs, err := s.handles(root, files/perDir)
	if err != nil {
		return err
	}
	if err := s.walkAll(dirs); err != nil {
		return err
	}
	h, err := s.make("long")
	if err != nil {
		return err
	}
	if _, err := s.run(ctx, 8, mibs, 0, write(h, mib, wire.Unstable, func(i int) int64 { return int64(i) * mib }, original)); err != nil {
		return err
	}
	return s.commit(h)
}

// Medians returns, for each thing and size, the median of what was measured in several rounds, in the order of the first.
func Medians(rounds [][]Point) (ps []Point) {
	for _, p := range rounds[0] {
		var costs []time.Duration
		for _, r := range rounds {
			for _, q := range r {
				if q.What == p.What && q.Size == p.Size {
					costs = append(costs, q.Cost)
				}
			}
		}
		slices.Sort(costs)
		p.Cost = costs[len(costs)/2]
		ps = append(ps, p)
	}
	return ps
}

// Ratios returns, for each thing, the most that its cost grows from one size to the
// next.
func Ratios(ps []Point) map[string]float64 {
	byWhat := map[string][]Point{}
	for _, p := range ps {
		byWhat[p.What] = append(byWhat[p.What], p)
	}
	worst := map[string]float64{}
	for what, ps := range byWhat {
		slices.SortFunc(ps, func(a, b Point) int { return a.Size - b.Size })
		for i := 1; i < len(ps); i++ {
			worst[what] = max(worst[what], float64(ps[i].Cost)/float64(ps[i-1].Cost))
		}
	}
	return worst
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"deltafs/nfsserver/wire"
)

// Target is a server, or a directory of this machine.
type Target struct {
	Name string
	At   string // HOST:PORT:/EXPORT, or the path of a directory
	Null bool   // it is [ServeNull]: what was written cannot be read back
	Disk bool   // of a directory: only what its disk allows, by appending and syncing
}

// Options of a run; zero values mean what is said.
type Options struct {
	Targets  []Target
	Rows     []string      // names: all
	Rounds   int           // 5
	For      time.Duration // of a row that is bounded by time: 1 s
	Conns    int           // connections to each server: 4
	Sizes    *Sizes        // Full
	Touch    int64         // bytes of memory that are touched and released before each sample of writes: none
	Progress func(string)  // told of what is done; nil: nobody
}

// Figure is what was measured of a row on a target.
type Figure struct {
	Target string        `json:"target"`
	Value  float64       `json:"value"` // median of the rounds, in the unit of the row
	Low    float64       `json:"low"`
	High   float64       `json:"high"`
	Ratio  float64       `json:"ratio,omitempty"` // of the first target to this one: above 1 the first is better
	P50    time.Duration `json:"p50_ns"`          // of one operation: median of the rounds
	P99    time.Duration `json:"p99_ns"`
	CPU    time.Duration `json:"cpu_ns"` // of the server's process for one operation; 0: unknown
	Error  string        `json:"error,omitempty"`
}

// Result is a row on all targets that have it.
type Result struct {
	Name     string   `json:"name"`
	What     string   `json:"what"`
	Unit     Unit     `json:"unit"`
	InFlight int      `json:"in_flight"`
	Figures  []Figure `json:"figures"`
}

// Of returns the figure of a target.
func (r *Result) Of(target string) (Figure, bool) {
	for _, f := range r.Figures {
		if f.Target == target {
			return f, true
		}
	}
	return Figure{}, false
}

// ErrUnknownRow is of a name that no row has.
var ErrUnknownRow = errors.New("no such row")

// Run measures all rows on all targets. An error in a row of a target, such as wrong
// data, is in its figure, and the others go on; Run itself fails where there is
// nothing to measure, and when ctx ends.
func Run(ctx context.Context, o Options) ([]Result, error) {
	o.setDefaults()
	rows, err := o.rows()
	if err != nil {
		return nil, err
	}
	var ts []*target
	defer func() {
		for _, t := range ts {
			t.close()
		}
	}()
	for _, t := range o.Targets {
		opened, err := o.open(ctx, t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.At, err)
		}
		ts = append(ts, opened)
	}
	var all []Result
	for i := range rows {
		r, err := o.measure(ctx, &rows[i], ts)
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, nil
}

func (o *Options) setDefaults() {
	if o.Rounds <= 0 {
		o.Rounds = 5
	}
	if o.For <= 0 {
		o.For = time.Second
	}
	if o.Conns <= 0 {
		o.Conns = 4
	}
	if o.Sizes == nil {
		o.Sizes = &Full
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
}

// rows are those that were chosen.
func (o *Options) rows() ([]Row, error) {
	if len(o.Rows) == 0 {
		return Rows, nil
	}
	var rows []Row
	for _, name := range o.Rows {
		i := slices.IndexFunc(Rows, func(r Row) bool { return r.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%w: %s", ErrUnknownRow, name)
		}
		rows = append(rows, Rows[i])
	}
	return rows, nil
}

// target is a Target that has been opened: a session or a directory.
type target struct {
	Target
	s *session
	l *directory
}

// Remote splits HOST:PORT:/EXPORT; ok is false if it is something else.
func Remote(at string) (addr, export string, ok bool) {
	i := strings.Index(at, ":/")
	if i <= 0 || strings.HasPrefix(at, "/") || !strings.Contains(at[:i], ":") {
		return "", "", false
	}
	return at[:i], at[i+1:], true
}

func (o *Options) open(ctx context.Context, t Target) (*target, error) {
	addr, export, remote := Remote(t.At)
	if !remote {
		return o.openLocal(ctx, t)
	}
	cl, err := dial(ctx, addr, export, o.Conns)
	if err != nil {
		return nil, err
	}
	s := &session{client: cl, ctx: ctx, z: o.Sizes, d: o.For, unproven: t.Null, files: map[string][]byte{}}
	if s.dir, err = s.find(s.root, Dir); errors.Is(err, errNoFile) {
		o.Progress(fmt.Sprintf("%s has no %s: making it, through the server", t.Name, Dir))
		if err = prepare(remoteMaker{s, map[string][]byte{"": s.root}}, o.Sizes); err == nil {
			s.dir, err = s.find(s.root, Dir)
		}
	}
	if err == nil {
		s.ownName = fmt.Sprintf("run-%08x", rand.Uint32())
		s.own, err = s.newDir(s.dir, s.ownName)
	}
	if err != nil {
		cl.close()
		return nil, err
	}
	return &target{Target: t, s: s}, nil
}

func (o *Options) openLocal(ctx context.Context, t Target) (*target, error) {
	dir := filepath.Join(t.At, Dir)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		o.Progress(fmt.Sprintf("%s has no %s: making it", t.Name, Dir))
		if err := Prepare(t.At, o.Sizes); err != nil {
			return nil, err
		}
	}
	own, err := os.MkdirTemp(dir, "run-")
	if err != nil {
		return nil, err
	}
	return &target{Target: t, l: &directory{ctx: ctx, z: o.Sizes, d: o.For, dir: dir, own: own, bare: t.Disk}}, nil
}

// close removes what was written, as far as that goes.
func (t *target) close() {
	if t.l != nil {
		_ = os.RemoveAll(t.l.own)
		return
	}
	for name := range t.s.files {
		_ = t.s.remove(name)
	}
	a := wire.RemoveArgs{Object: wire.DirOp{Dir: t.s.dir, Name: []byte(t.s.ownName)}}
	var r wire.WccRes
	_ = t.s.conns[0].one(context.WithoutCancel(t.s.ctx), wire.ProgNFS, wire.ProcRmdir, a.Append, r.Code)
	t.s.client.close()
}

// measure measures a row, round by round on all targets, each time beginning with
// another one.
func (o *Options) measure(ctx context.Context, r *Row, ts []*target) (Result, error) {
	res := Result{Name: r.Name, What: r.What, Unit: r.Unit, InFlight: r.InFlight}
	samples, errs := make([][]Sample, len(ts)), make([]error, len(ts))
	rounds := o.Rounds
	switch {
	case r.once && r.Unit == Millis: // one operation a round
		rounds = Fresh
	case r.once:
		rounds = min(rounds, Fresh)
	}
	for round := range rounds {
		for k := range ts {
			i := (k + round) % len(ts)
			t := ts[i]
			if errs[i] != nil || !t.has(r) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return res, err
			}
			if r.Name == "write-1m" || r.Name == "write-4k" {
				touch(o.Touch)
			}
			if r.Synced {
				settleDisk()
			}
			o.Progress(fmt.Sprintf("%s, round %d: %s", r.Name, round+1, t.Name))
			s, err := t.sample(r, round)
			if err != nil {
				errs[i] = err
				o.again(ctx, t)
				continue
			}
			samples[i] = append(samples[i], s)
		}
	}
	for i, t := range ts {
		if !t.has(r) {
			continue
		}
		f := figure(samples[i])
		f.Target = t.Name
		if errs[i] != nil {
			f = Figure{Target: t.Name, Error: errs[i].Error()}
		}
		if f0, ok := res.Of(ts[0].Name); i > 0 && ok && f0.Value > 0 && f.Value > 0 {
			if f.Ratio = f0.Value / f.Value; r.Unit == Millis {
				f.Ratio = 1 / f.Ratio
			}
		}
		res.Figures = append(res.Figures, f)
	}
	return res, nil
}

// has tells whether there is such a thing as the row on a target.
func (t *target) has(r *Row) bool {
	switch {
	case t.l == nil:
		return true
	case t.l.bare:
		return r.disk != nil
	}
	return r.local != nil
}

// again opens a target anew after an error: replies that nobody waits for may be on the
// way. If that fails, so do the rows that follow.
func (o *Options) again(ctx context.Context, t *target) {
	if t.s == nil {
		return
	}
	t.s.client.close()
	if fresh, err := o.open(ctx, t.Target); err == nil {
		*t = *fresh
	}
}

func (t *target) sample(r *Row, round int) (Sample, error) {
	if t.l != nil {
		if t.l.round = round; t.l.bare {
			return r.disk(t.l, r)
		}
		return r.local(t.l, r)
	}
	t.s.round = round
	return r.nfs(t.s, r)
}

// figure is the median of the samples.
func figure(all []Sample) (f Figure) {
	if len(all) == 0 {
		return f
	}
	ops, cpu := 0, time.Duration(0)
	var values []float64
	var p50, p99 []time.Duration
	for _, s := range all {
		ops, cpu = ops+s.Ops, cpu+s.CPU
		values, p50, p99 = append(values, s.Value), append(p50, s.P50), append(p99, s.P99)
	}
	f.Low, f.High = slices.Min(values), slices.Max(values)
	f.Value, f.P50, f.P99 = median(values), median(p50), median(p99)
	if ops > 0 {
		f.CPU = cpu / time.Duration(ops)
	}
	return f
}

func median[T float64 | time.Duration](v []T) T {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// touch makes the machine have memory at hand: a virtual one gives free memory
// back to its host, and to get it again takes seconds.
func touch(n int64) {
	if n == 0 {
		return
	}
	b := make([]byte, n)
	for i := int64(0); i < n; i += 4096 {
		b[i] = 1
	}
	debug.FreeOSMemory()
}

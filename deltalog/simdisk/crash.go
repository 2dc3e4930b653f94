package simdisk

import (
	"maps"
	"math/rand/v2"
	"path"
	"slices"
)

// Seeds of crashes that are not random.
const (
	LoseAll uint64 = 0 // nothing survives that was not synced
	KeepAll uint64 = 1 // everything survives
)

// Crash returns the disk that a crash at this position leaves behind. The same
// seed at the same position gives the same image. The walk can go on.
func (r *Replay) Crash(seed uint64) *Disk {
	c := newChoice(r, seed)
	kept := r.keptNames(c)
	names := make(map[string]*inode, len(kept))
	for _, name := range slices.Sorted(maps.Keys(kept)) { // in order, since c draws numbers
		l := kept[name]
		if up := path.Dir(name); up != "." && !kept[up].dir {
			continue // its directory is lost
		}
		n := &inode{id: l.id, dir: l.dir}
		if !l.dir {
			n.content = r.files[l.id].crash(c)
		}
		names[name] = n
	}
	return load(names, r.next, r.seed)
}

// CrashAt returns what a crash after the first pos operations of the trace
// leaves behind.
func (d *Disk) CrashAt(pos int, seed uint64) *Disk {
	r := d.Replay()
	for r.Pos() < pos {
		if _, ok := r.Next(); !ok {
			break
		}
	}
	return r.Crash(seed)
}

// mode is how a crash picks among what is not durable.
type mode uint8

const (
	loseAll   mode = iota
	keepAll        // and lose nothing
	mixed          // each sector by itself kept or lost
	versions       // each sector by itself at any of its writes
	prefix         // writes up to one are kept, that one is torn, the rest lost
	reordered      // each write by itself kept or lost as a whole
	oneLost        // of all sectors one is lost
	oneKept        // of all sectors one is kept
	modes
)

// choice is a crash's source of decisions.
type choice struct {
	mode mode
	dirs mode // loseAll, keepAll, prefix, mixed
	cut  int  // prefix: position of the write that is torn
	one  int  // oneLost, oneKept: counts down over the dirty sectors
	seed uint64
	rng  *rand.Rand
}

func newChoice(r *Replay, seed uint64) *choice {
	c := &choice{mode: mode(seed), dirs: mode(seed), seed: seed, rng: rand.New(rand.NewPCG(seed, uint64(r.pos)))}
	if seed > KeepAll {
		c.mode = mixed + mode(c.rng.IntN(int(modes-mixed)))
		c.dirs = [...]mode{loseAll, keepAll, prefix, mixed}[c.rng.IntN(4)]
	}
	first, dirty := r.pos, 0
	for _, id := range sortedKeys(r.files) {
		f := r.files[id]
		dirty += len(f.sectors)
		for _, s := range f.sectors {
			first = min(first, f.dirty[s][0].pos)
		}
	}
	for _, op := range r.ops {
		first = min(first, op.pos)
	}
	c.cut = first + c.rng.IntN(max(1, r.pos-first))
	c.one = c.rng.IntN(max(1, dirty))
	return c
}

// whole decides by itself for the write at a position, the same in all sectors.
func (c *choice) whole(pos int) bool { return mix(c.seed^uint64(pos)<<20)&1 == 0 }

// sector returns how many of the versions of a sector came to the medium.
func (c *choice) sector(v []version) int {
	switch c.mode {
	case keepAll:
		return len(v)
	case mixed:
		return len(v) * c.rng.IntN(2)
	case versions:
		return c.rng.IntN(len(v) + 1)
	case oneLost, oneKept:
		c.one--
		if (c.one == -1) == (c.mode == oneKept) {
			return len(v)
		}
		return 0
	case prefix, reordered:
		for n := len(v); n > 0; n-- {
			pos := v[n-1].pos
			if c.mode == reordered && c.whole(pos) ||
				c.mode == prefix && (pos < c.cut || pos == c.cut && c.rng.IntN(2) == 0) {
				return n
			}
		}
	}
	return 0
}

// size picks the length of a file.
func (c *choice) size(durable int64, sizes []length) int64 {
	n := len(sizes)
	switch c.mode {
	case loseAll:
		n = 0
	case prefix:
		for n > 0 && sizes[n-1].pos > c.cut {
			n--
		}
	case mixed, versions, reordered:
		n = c.rng.IntN(n + 1)
	}
	if n == 0 {
		return durable
	}
	return sizes[n-1].size
}

// keeps decides for an operation on directories that could be kept.
func (c *choice) keeps(op change) bool {
	switch c.dirs {
	case keepAll:
		return true
	case prefix:
		return op.pos <= c.cut
	case mixed:
		return c.rng.IntN(2) == 0
	}
	return false
}

// crash returns what is left of a file.
func (f *tracked) crash(c *choice) *content {
	out := f.durable.share()
	for _, s := range f.sectors {
		v := f.dirty[s]
		if n := c.sector(v); n > 0 {
			out.write(v[n-1].data, s*SectorSize)
		}
	}
	out.resize(c.size(f.durable.size, f.sizes))
	return out
}

// keptNames returns the names that survive.
func (r *Replay) keptNames(c *choice) map[string]link {
	names := maps.Clone(r.names)
	var lost []change
next:
	for _, op := range r.ops {
		for _, l := range lost {
			if op.needs(l.Op) {
				lost = append(lost, op)
				continue next
			}
		}
		if !c.keeps(op) {
			lost = append(lost, op)
			continue
		}
		op.apply(names)
	}
	return names
}

func sortedKeys(m map[int]*tracked) []int { return slices.Sorted(maps.Keys(m)) }

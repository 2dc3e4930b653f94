package simdisk

import (
	"hash/maphash"
	"maps"
)

// Replay walks the trace of a disk and knows, at each position, what is
// durable and what a crash could lose. It is not for concurrent use. The disk
// may go on meanwhile; the walk ends where the trace ended at Disk.Replay.
type Replay struct {
	trace []Op
	pos   int
	next  int // id that images give to their first new file
	seed  maphash.Seed
	files map[int]*tracked
	names map[string]link // durable
	ops   []change        // of directories, not durable yet
}

// link is what a name stands for.
type link struct {
	id  int
	dir bool
}

// change is an operation on directories at its position in the trace.
type change struct {
	Op
	pos int
}

// tracked is a file during a replay.
type tracked struct {
	durable *content
	cache   *content // what a reader sees
	sectors []int64  // dirty, in the order of their first write
	dirty   map[int64][]version
	sizes   []length // that the file had since it was synced
}

// version is the content of a sector after the write at a position.
type version struct {
	pos  int
	data []byte // SectorSize bytes
}

type length struct {
	pos  int
	size int64
}

// Replay returns a walk that stands before the first operation of the trace.
func (d *Disk) Replay() *Replay {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := &Replay{trace: d.trace, next: d.next, seed: d.seed,
		files: map[int]*tracked{}, names: map[string]link{}}
	for name, n := range d.start {
		r.names[name] = link{n.id, n.dir}
		if !n.dir {
			r.files[n.id] = track(n.share())
		}
	}
	return r
}

func track(c *content) *tracked {
	return &tracked{durable: c, cache: c.share(), dirty: map[int64][]version{}}
}

// Pos returns how many operations have been done.
func (r *Replay) Pos() int { return r.pos }

// Peek returns the operation that Next would do, and whether there is one.
func (r *Replay) Peek() (Op, bool) {
	if r.pos == len(r.trace) {
		return Op{}, false
	}
	return r.trace[r.pos], true
}

// Next does the next operation and returns it, and whether there was one.
func (r *Replay) Next() (Op, bool) {
	op, ok := r.Peek()
	if !ok {
		return op, false
	}
	switch op.Kind {
	case Create, Mkdir, Rename, Remove:
		if op.Kind == Create {
			r.files[op.id] = track(newContent())
		}
		r.ops = append(r.ops, change{op, r.pos})
	case Write:
		f := r.files[op.id]
		f.cache.write(op.Data, op.Off)
		f.touch(r.pos, op.Off, op.Off+int64(len(op.Data)))
		f.resized(r.pos)
	case Allocate:
		f := r.files[op.id]
		old := f.cache.size
		f.cache.resize(op.Off)
		if op.Off < old {
			f.touch(r.pos, op.Off, old)
		}
		f.resized(r.pos)
	case Sync:
		r.files[op.id].sync(op.Failed)
	case SyncDir:
		r.syncDir(op.Name)
	}
	r.pos++
	return op, true
}

// touch makes the sectors of bytes from..to dirty, with their present content.
func (f *tracked) touch(pos int, from, to int64) {
	first, last := from/SectorSize, (to+SectorSize-1)/SectorSize
	buf := make([]byte, (last-first)*SectorSize)
	f.cache.read(buf, first*SectorSize)
	for s := first; s < last; s++ {
		v := f.dirty[s]
		if len(v) == 0 {
			f.sectors = append(f.sectors, s)
		}
		f.dirty[s] = append(v, version{pos, buf[:SectorSize:SectorSize]})
		buf = buf[SectorSize:]
	}
}

// resized notes the length of the file, if it is new.
func (f *tracked) resized(pos int) {
	last := f.durable.size
	if n := len(f.sizes); n > 0 {
		last = f.sizes[n-1].size
	}
	if f.cache.size != last {
		f.sizes = append(f.sizes, length{pos, f.cache.size})
	}
}

// sync makes what is dirty durable; if it failed, it is clean and lost.
func (f *tracked) sync(failed bool) {
	if !failed {
		for _, s := range f.sectors {
			v := f.dirty[s]
			f.durable.write(v[len(v)-1].data, s*SectorSize)
		}
		f.durable.resize(f.cache.size)
		f.sizes = nil
	}
	f.sectors = f.sectors[:0]
	clear(f.dirty)
}

// syncDir makes the operations in dir durable, with the earlier ones on the
// same names and files.
func (r *Replay) syncDir(dir string) {
	take := make([]bool, len(r.ops))
	for i := len(r.ops) - 1; i >= 0; i-- {
		take[i] = r.ops[i].in(dir)
		for j := i + 1; j < len(r.ops) && !take[i]; j++ {
			take[i] = take[j] && r.ops[j].shares(r.ops[i].Op)
		}
	}
	rest := r.ops[:0]
	for i, op := range r.ops {
		if take[i] {
			op.apply(r.names)
		} else {
			rest = append(rest, op)
		}
	}
	r.ops = rest
	r.forget()
}

func (o Op) apply(names map[string]link) {
	switch o.Kind {
	case Create, Mkdir:
		names[o.Name] = link{o.id, o.Kind == Mkdir}
	case Rename:
		delete(names, o.Name)
		names[o.To] = link{id: o.id}
	case Remove:
		delete(names, o.Name)
	}
}

// forget drops the files that no name can reach any more, whatever a crash keeps.
func (r *Replay) forget() {
	seen := map[int]bool{}
	for l := range maps.Values(r.names) {
		seen[l.id] = true
	}
	for _, op := range r.ops {
		seen[op.id] = true
	}
	for _, op := range r.trace[min(r.pos, len(r.trace)):] {
		seen[op.id] = true // still open somewhere
	}
	for id := range r.files {
		if !seen[id] {
			delete(r.files, id)
		}
	}
}

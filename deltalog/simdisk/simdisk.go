package simdisk

import (
	"errors"
	"hash/maphash"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sync"

	"deltafs/deltalog/disk"
)

var (
	errIsDir    = errors.New("is a directory")
	errNotDir   = errors.New("not a directory")
	errNotEmpty = errors.New("directory is not empty")
	errClosed   = fs.ErrClosed
	errReadOnly = errors.New("file is open for reading only")
)

// inode is a file or directory.
type inode struct {
	id  int
	dir bool
	*content
}

// Disk is the disk. The zero value is not ready; use New. All methods may be
// called concurrently.
type Disk struct {
	mu    sync.Mutex
	names map[string]*inode // by path; "." is not in it
	start map[string]*inode // what the trace begins with, all of it durable
	next  int               // id of the next inode
	trace []Op
	fault *injected
	seed  maphash.Seed // the same in all images of one disk, so that sums compare
}

// New returns an empty disk.
func New() *Disk { return load(map[string]*inode{}, 1, maphash.MakeSeed()) }

// load makes a disk of durable files; their contents become the disk's.
func load(names map[string]*inode, next int, seed maphash.Seed) *Disk {
	d := &Disk{names: names, next: next, seed: seed, start: make(map[string]*inode, len(names))}
	for name, n := range names {
		s := *n
		if !n.dir {
			s.content = n.share()
		}
		d.start[name] = &s
	}
	return d
}

// Mark puts a value into the trace: something that a test wants to know the
// place of, such as the acknowledgement of a sync.
func (d *Disk) Mark(v any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trace = append(d.trace, Op{Kind: Mark, Value: v})
}

// Trace returns the operations so far. They are not to be changed.
func (d *Disk) Trace() []Op {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clip(d.trace)
}

// Sum hashes names and contents: equal images have equal sums if they stem
// from one disk.
func (d *Disk) Sum() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	var h uint64
	for name, n := range d.names {
		s := maphash.String(d.seed, name)
		if !n.dir {
			s ^= n.sum(d.seed)
		}
		h += mix(s)
	}
	return h
}

// lookLocked returns what name is, and checks that its directory is there.
func (d *Disk) lookLocked(op Kind, name string) (*inode, error) {
	bad := func(err error) error { return &fs.PathError{Op: op.String(), Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return nil, bad(fs.ErrInvalid)
	}
	if err := d.failLocked(op, name); err != nil {
		return nil, err
	}
	if name == "." {
		return &inode{dir: true}, nil
	}
	if p := path.Dir(name); p != "." {
		switch up := d.names[p]; {
		case up == nil:
			return nil, bad(fs.ErrNotExist)
		case !up.dir:
			return nil, bad(errNotDir)
		}
	}
	return d.names[name], nil
}

// do looks up name, lets check say what is wrong with it, and records op.
func (d *Disk) do(op Op, check func(n *inode) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.lookLocked(op.Kind, op.Name)
	if err != nil {
		return err
	}
	if err := check(n); err != nil {
		return &fs.PathError{Op: op.Kind.String(), Path: op.Name, Err: err}
	}
	if n != nil {
		op.id = n.id
	}
	d.applyLocked(op)
	return nil
}

// applyLocked records an operation on directories and makes it visible.
func (d *Disk) applyLocked(op Op) {
	d.trace = append(d.trace, op)
	switch op.Kind {
	case Rename:
		d.names[op.To] = d.names[op.Name]
		delete(d.names, op.Name)
	case Remove:
		delete(d.names, op.Name)
	}
}

// addLocked makes and records a file or directory.
func (d *Disk) addLocked(k Kind, name string) *inode {
	n := &inode{id: d.next, dir: k == Mkdir}
	if !n.dir {
		n.content = newContent()
	}
	d.next++
	d.names[name] = n
	d.trace = append(d.trace, Op{Kind: k, Name: name, id: n.id})
	return n
}

// Open opens a file.
func (d *Disk) Open(name string, write bool) (disk.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.lookLocked(Open, name)
	switch {
	case err != nil:
		return nil, err
	case n == nil:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case n.dir:
		return nil, &fs.PathError{Op: "open", Path: name, Err: errIsDir}
	}
	return &file{d: d, n: n, name: name, write: write}, nil
}

// Create makes a file.
func (d *Disk) Create(name string) (disk.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.lookLocked(Create, name)
	switch {
	case err != nil:
		return nil, err
	case n != nil:
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	return &file{d: d, n: d.addLocked(Create, name), name: name, write: true}, nil
}

// Mkdir makes a directory.
func (d *Disk) Mkdir(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.lookLocked(Mkdir, name)
	switch {
	case err != nil:
		return err
	case n == nil:
		d.addLocked(Mkdir, name)
	case !n.dir:
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
	}
	return nil
}

// List returns the names in a directory.
func (d *Disk) List(dir string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.lookLocked(List, dir)
	switch {
	case err != nil:
		return nil, err
	case n == nil:
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrNotExist}
	case !n.dir:
		return nil, &fs.PathError{Op: "list", Path: dir, Err: errNotDir}
	}
	var names []string
	for name := range maps.Keys(d.names) {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// Rename renames a file; directories it refuses, which no user of it needs.
func (d *Disk) Rename(oldname, newname string) error {
	if !fs.ValidPath(newname) || newname == "." {
		return &fs.PathError{Op: "rename", Path: newname, Err: fs.ErrInvalid}
	}
	return d.do(Op{Kind: Rename, Name: oldname, To: newname}, func(n *inode) error {
		up := d.names[path.Dir(newname)]
		switch to := d.names[newname]; {
		case n == nil, path.Dir(newname) != "." && up == nil:
			return fs.ErrNotExist
		case n.dir, to != nil && to.dir:
			return errIsDir
		case up != nil && !up.dir:
			return errNotDir
		case oldname == newname:
			return fs.ErrExist
		}
		return nil
	})
}

// Remove removes a file or an empty directory. Open files stay usable.
func (d *Disk) Remove(name string) error {
	return d.do(Op{Kind: Remove, Name: name}, func(n *inode) error {
		if n == nil {
			return fs.ErrNotExist
		}
		if n.dir {
			for other := range d.names {
				if path.Dir(other) == name || name == "." {
					return errNotEmpty
				}
			}
		}
		return nil
	})
}

// SyncDir makes the names in dir durable.
func (d *Disk) SyncDir(dir string) error {
	return d.do(Op{Kind: SyncDir, Name: dir}, func(n *inode) error {
		if n == nil {
			return fs.ErrNotExist
		}
		if !n.dir {
			return errNotDir
		}
		return nil
	})
}

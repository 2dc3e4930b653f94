package simdisk

import (
	"io/fs"
	"syscall"

	"deltafs/deltalog/disk"
)

// Fault makes operations fail.
type Fault struct {
	Kinds   []Kind // that can fail; none means all that change the disk
	At      int    // the At-th of them fails, counted from 1 and from Inject on
	Forever bool   // and all behind it
	Err     error  // nil: EIO. disk.ErrNoSpace for a full disk
	Short   bool   // half of the sectors of a write are written before it fails
	Dead    bool   // the process is dead, not the disk: a sync that fails loses nothing
}

// changing are the kinds that a Fault without Kinds matches.
var changing = []Kind{Create, Mkdir, Rename, Remove, Write, Allocate, Sync, SyncDir}

type injected struct {
	Fault
	match [kinds]bool
	seen  int
	hits  int
}

// Inject arms a fault, in place of any that was armed before.
func (d *Disk) Inject(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	in := &injected{Fault: f}
	if in.Err == nil {
		in.Err = syscall.EIO
	}
	if len(f.Kinds) == 0 {
		f.Kinds = changing
	}
	for _, k := range f.Kinds {
		in.match[k] = true
	}
	d.fault = in
}

// Heal disarms the fault and returns how many operations it made fail.
func (d *Disk) Heal() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	if d.fault != nil {
		n = d.fault.hits
	}
	d.fault = nil
	return n
}

// failLocked returns the error that an operation is to fail with, if it is.
func (d *Disk) failLocked(k Kind, name string) error {
	f := d.fault
	if f == nil || !f.match[k] {
		return nil
	}
	f.seen++
	if f.seen < f.At || f.seen > f.At && !f.Forever {
		return nil
	}
	f.hits++
	return &fs.PathError{Op: k.String(), Path: name, Err: f.Err}
}

var _ disk.FS = (*Disk)(nil)

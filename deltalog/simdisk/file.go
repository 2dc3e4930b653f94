package simdisk

import (
	"io"
	"io/fs"
	"slices"
	"sync/atomic"

	"deltafs/deltalog/disk"
)

// file is an open file.
type file struct {
	d      *Disk
	n      *inode
	name   string
	write  bool
	closed atomic.Bool
}

// enter takes the disk's lock for an operation, which the caller releases if
// there is no error.
func (f *file) enter(k Kind, write bool, fail bool) error {
	f.d.mu.Lock()
	var err error
	switch {
	case f.closed.Load():
		err = errClosed
	case write && !f.write:
		err = errReadOnly
	case fail:
		if err := f.d.failLocked(k, f.name); err != nil {
			f.d.mu.Unlock()
			return err
		}
		return nil
	default:
		return nil
	}
	f.d.mu.Unlock()
	return &fs.PathError{Op: k.String(), Path: f.name, Err: err}
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.enter(Read, false, true); err != nil {
		return 0, err
	}
	defer f.d.mu.Unlock()
	if off < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: fs.ErrInvalid}
	}
	n := int(min(int64(len(p)), max(0, f.n.size-off)))
	f.n.read(p[:n], off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteParts writes each part by itself: a crash can come between.
func (f *file) WriteParts(parts [][]byte, off int64) error { return disk.WriteEach(f, parts, off) }

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if err := f.enter(Write, true, false); err != nil {
		return 0, err
	}
	defer f.d.mu.Unlock()
	if off < 0 {
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: fs.ErrInvalid}
	}
	err := f.d.failLocked(Write, f.name)
	if err != nil {
		if !f.d.fault.Short {
			return 0, err
		}
		p = p[:half(off, len(p))]
	}
	if len(p) > 0 {
		f.n.content.write(p, off)
		f.d.trace = append(f.d.trace, Op{Kind: Write, Name: f.name, Off: off, Data: slices.Clone(p), id: f.n.id})
	}
	return len(p), err
}

// half returns how much of a write of n bytes at off a short one does: about
// half of the sectors, since none is written in part.
func half(off int64, n int) int {
	return int(max(0, (off+int64(n)/2)/SectorSize*SectorSize-off))
}

func (f *file) Sync() error {
	if err := f.enter(Sync, false, false); err != nil {
		return err
	}
	defer f.d.mu.Unlock()
	err := f.d.failLocked(Sync, f.name)
	if err != nil && f.d.fault.Dead {
		return err
	}
	f.d.trace = append(f.d.trace, Op{Kind: Sync, Name: f.name, Failed: err != nil, id: f.n.id})
	return err
}

func (f *file) Allocate(size int64) error {
	if err := f.enter(Allocate, true, true); err != nil {
		return err
	}
	defer f.d.mu.Unlock()
	if size < 0 {
		return &fs.PathError{Op: "allocate", Path: f.name, Err: fs.ErrInvalid}
	}
	if size != f.n.size {
		f.n.resize(size)
		f.d.trace = append(f.d.trace, Op{Kind: Allocate, Name: f.name, Off: size, id: f.n.id})
	}
	return nil
}

func (f *file) Size() (int64, error) {
	if err := f.enter(Read, false, false); err != nil {
		return 0, err
	}
	defer f.d.mu.Unlock()
	return f.n.size, nil
}

func (f *file) Close() error {
	if f.closed.Swap(true) {
		return &fs.PathError{Op: "close", Path: f.name, Err: errClosed}
	}
	return nil
}

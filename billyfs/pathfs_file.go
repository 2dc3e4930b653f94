package billyfs

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"sync"

	"github.com/go-git/go-billy/v5"
)

// pathFile is an open file of an FS. It holds nothing open below: a file whose
// last name is removed is gone for it too.
type pathFile struct {
	fs     *FS
	name   string
	ino    Ino
	flag   int
	off    int64
	closed bool
	locked bool
}

var (
	_ billy.File  = (*pathFile)(nil)
	_ io.WriterAt = (*pathFile)(nil)
)

func writable(flag int) bool { return flag&(os.O_WRONLY|os.O_RDWR) != 0 }

var (
	errNotReadable = errors.New("file is not open for reading")
	errNotWritable = errors.New("file is not open for writing")
	errAppending   = errors.New("file is open for appending")
)

// Name returns the name as it was given to OpenFile, cleaned.
func (f *pathFile) Name() string { return f.name }

// ready returns why a call cannot be made.
func (f *pathFile) ready(op string, write bool) error {
	switch {
	case f.closed:
		return &fs.PathError{Op: op, Path: f.name, Err: fs.ErrClosed}
	case write && !writable(f.flag):
		return &fs.PathError{Op: op, Path: f.name, Err: errNotWritable}
	case !write && f.flag&os.O_WRONLY != 0:
		return &fs.PathError{Op: op, Path: f.name, Err: errNotReadable}
	}
	return nil
}

// Read reads from the file's offset.
func (f *pathFile) Read(p []byte) (int, error) {
	if err := f.ready("read", false); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, eof, err := f.fs.t.ReadAt(f.ino, p, f.off)
	f.off += int64(n)
	if err == nil && n == 0 && eof {
		return 0, io.EOF
	}
	return n, pathError("read", f.name, err)
}

// ReadAt reads all of p, or up to the end of the file and returns io.EOF.
func (f *pathFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.ready("read", false); err != nil {
		return 0, err
	}
	n := 0
	for n < len(p) {
		m, eof, err := f.fs.t.ReadAt(f.ino, p[n:], off+int64(n))
		n += m
		if err != nil {
			return n, pathError("read", f.name, err)
		}
		if eof && n < len(p) || m == 0 {
			return n, io.EOF
		}
	}
	return n, nil
}

// Write writes at the file's offset, or behind all there is if the file is
// open for appending. Appends through one FS do not overwrite each other.
func (f *pathFile) Write(p []byte) (int, error) {
	if err := f.ready("write", true); err != nil {
		return 0, err
	}
	off := f.off
	if f.flag&os.O_APPEND != 0 {
		f.fs.shared.appending.Lock()
		defer f.fs.shared.appending.Unlock()
		a, err := f.fs.t.Attr(f.ino)
		if err != nil {
			return 0, pathError("write", f.name, err)
		}
		off = int64(a.Size)
	}
	n, err := f.writeAt(p, off)
	if n > 0 {
		f.off = off + int64(n)
	}
	return n, err
}

// WriteAt writes at off; not for files open for appending.
func (f *pathFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.ready("write", true); err != nil {
		return 0, err
	}
	if f.flag&os.O_APPEND != 0 {
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: errAppending}
	}
	return f.writeAt(p, off)
}

// maxWrite is how many bytes one change of the tree writes here.
const maxWrite = 1 << 20

func (f *pathFile) writeAt(p []byte, off int64) (int, error) {
	if off < 0 || off > math.MaxInt64-int64(len(p)) {
		return 0, pathError("write", f.name, fail("write", f.ino, Invalid, nil))
	}
	n := 0
	for n < len(p) {
		part := p[n:min(len(p), n+maxWrite)]
		if _, err := f.fs.t.WriteAt(f.fs.caller, f.ino, part, off+int64(n)); err != nil {
			return n, pathError("write", f.name, err)
		}
		n += len(part)
	}
	return n, nil
}

// Seek sets the offset; beyond the end is allowed.
func (f *pathFile) Seek(off int64, whence int) (int64, error) {
	if f.closed {
		return 0, &fs.PathError{Op: "seek", Path: f.name, Err: fs.ErrClosed}
	}
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		off += f.off
	case io.SeekEnd:
		a, err := f.fs.t.Attr(f.ino)
		if err != nil {
			return 0, pathError("seek", f.name, err)
		}
		off += int64(a.Size)
	default:
		off = -1
	}
	if off < 0 {
		return 0, pathError("seek", f.name, fail("seek", f.ino, Invalid, nil))
	}
	f.off = off
	return off, nil
}

// Truncate sets the size; the offset stays.
func (f *pathFile) Truncate(size int64) error {
	if err := f.ready("truncate", true); err != nil {
		return err
	}
	if size < 0 {
		return pathError("truncate", f.name, fail("truncate", f.ino, Invalid, nil))
	}
	n := uint64(size)
	_, err := f.fs.t.SetAttr(f.fs.caller, f.ino, SetAttr{Size: &n})
	return pathError("truncate", f.name, err)
}

// Close unlocks the file. A second one is fs.ErrClosed.
func (f *pathFile) Close() error {
	if f.closed {
		return &fs.PathError{Op: "close", Path: f.name, Err: fs.ErrClosed}
	}
	f.closed = true
	if f.locked {
		f.fs.shared.locks.unlock(f.ino)
		f.locked = false
	}
	return nil
}

// Lock waits until no other file of this FS holds the lock of the same object.
// It keeps out nobody else: neither NFS clients nor other processes.
func (f *pathFile) Lock() error {
	if f.closed {
		return &fs.PathError{Op: "lock", Path: f.name, Err: fs.ErrClosed}
	}
	if !f.locked {
		f.fs.shared.locks.lock(f.ino)
		f.locked = true
	}
	return nil
}

// Unlock gives the lock back.
func (f *pathFile) Unlock() error {
	if f.closed {
		return &fs.PathError{Op: "unlock", Path: f.name, Err: fs.ErrClosed}
	}
	if f.locked {
		f.fs.shared.locks.unlock(f.ino)
		f.locked = false
	}
	return nil
}

// fileLocks are the objects that are locked.
type fileLocks struct {
	mu   *sync.Mutex
	free *sync.Cond
	held map[Ino]bool
}

func newFileLocks() fileLocks {
	mu := new(sync.Mutex)
	return fileLocks{mu: mu, free: sync.NewCond(mu), held: make(map[Ino]bool)}
}

func (l *fileLocks) lock(ino Ino) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.held[ino] {
		l.free.Wait()
	}
	l.held[ino] = true
}

func (l *fileLocks) unlock(ino Ino) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, ino)
	l.free.Broadcast()
}

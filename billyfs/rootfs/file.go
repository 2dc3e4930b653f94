package rootfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/go-git/go-billy/v5"
)

// File is an open regular file. It is read only: what os.File could change,
// this cannot.
type File struct {
	file *os.File
	name string
}

var _ billy.File = (*File)(nil)

// Name returns the name that the file was opened by.
func (f *File) Name() string { return f.name }

// Stat describes the open file, whatever has become of its name.
func (f *File) Stat() (fs.FileInfo, error) { return f.file.Stat() }

func (f *File) Read(p []byte) (int, error) { return f.file.Read(p) }

// ReadAt may be called concurrently.
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.file.ReadAt(p, off) }

// ReadAhead reads n bytes at off, or up to the end of the file, so that the system has them in
// memory when they are asked for. It may be called concurrently.
func (f *File) ReadAhead(off, n int64) error {
	buf := aheadBuffers.Get().(*[aheadBuffer]byte)
	defer aheadBuffers.Put(buf)
	for n > 0 {
		got, err := f.file.ReadAt(buf[:min(n, aheadBuffer)], off)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		off, n = off+int64(got), n-int64(got)
	}
	return nil
}

const aheadBuffer = 128 << 10

var aheadBuffers = sync.Pool{New: func() any { return new([aheadBuffer]byte) }}

func (f *File) Seek(offset int64, whence int) (int64, error) { return f.file.Seek(offset, whence) }

func (f *File) Close() error { return f.file.Close() }

func (f *File) Write([]byte) (int, error) { return 0, readOnly("write", f.name) }

// Truncate fails: the tree is read-only.
func (f *File) Truncate(int64) error { return readOnly("truncate", f.name) }

// Lock fails: a lock that nobody else would see is worth nothing.
func (f *File) Lock() error { return readOnly("lock", f.name) }

// Unlock fails as Lock does.
func (f *File) Unlock() error { return readOnly("unlock", f.name) }

func readOnly(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: billy.ErrReadOnly}
}

// Calls that would write.

func (f *FS) Create(name string) (billy.File, error) { return nil, readOnly("create", name) }

func (f *FS) Rename(from, _ string) error { return readOnly("rename", from) }

func (f *FS) Remove(name string) error { return readOnly("remove", name) }

func (f *FS) MkdirAll(name string, _ fs.FileMode) error { return readOnly("mkdir", name) }

func (f *FS) Symlink(_, link string) error { return readOnly("symlink", link) }

func (f *FS) TempFile(dir, _ string) (billy.File, error) { return nil, readOnly("create", dir) }

// nameOnly describes a file of which the name is all that may be known.
type nameOnly struct{ name string }

func (n nameOnly) Name() string     { return n.name }
func (nameOnly) Size() int64        { return 0 }
func (nameOnly) Mode() fs.FileMode  { return fs.ModeIrregular }
func (nameOnly) ModTime() time.Time { return time.Unix(0, 0) }
func (nameOnly) IsDir() bool        { return false }
func (nameOnly) Sys() any           { return nil }

package gonfs

import (
	"io"
	"math"

	"github.com/go-git/go-billy/v5"

	"deltafs/billyfs"
)

// file is an inode with an offset. It holds nothing open.
type file struct {
	v    *view
	path string
	ino  billyfs.Ino
	off  int64
}

// Name returns the path as it was given; go-nfs looks the file up by it.
func (f *file) Name() string { return f.path }

func (f *file) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.off)
	f.off += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, f.v.done("read", f.path, invalid("read", f.path))
	}
	n := 0
	for n < len(p) {
		m, eof, err := f.v.h.fs.ReadAt(f.ino, p[n:], off+int64(n))
		n += m
		if err != nil {
			return n, f.v.done("read", f.path, err)
		}
		if eof || m == 0 {
			break
		}
	}
	f.v.note(nil)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) Write(p []byte) (int, error) {
	if f.off < 0 || f.off > math.MaxInt64-int64(len(p)) {
		return 0, f.v.done("write", f.path, tooBig("write", f.path))
	}
	if len(p) == 0 {
		return 0, nil
	}
	ch, err := f.v.h.fs.WriteSummed(f.v.caller(), f.ino, p, nil, f.off)
	f.v.acked(ch)
	if err == nil && f.v.call != nil && f.v.call.stable != 0 {
		err = f.v.h.fs.Sync(ch.LSN)
	}
	if err := f.v.done("write", f.path, err); err != nil {
		return 0, err
	}
	f.off += int64(len(p))
	return len(p), nil
}

func (f *file) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += f.off
	case io.SeekEnd:
		a, err := f.v.h.fs.Attr(f.ino)
		if err != nil {
			return 0, f.v.done("seek", f.path, err)
		}
		off += int64(a.Size)
	}
	if off < 0 { // NFS offsets are unsigned
		return 0, f.v.done("seek", f.path, tooBig("seek", f.path))
	}
	f.off = off
	return off, nil
}

func (f *file) Truncate(size int64) error {
	if size < 0 {
		return f.v.done("truncate", f.path, invalid("truncate", f.path))
	}
	n := uint64(size)
	ch, err := f.v.h.fs.SetAttr(f.v.caller(), f.ino, billyfs.SetAttr{Size: &n})
	f.v.acked(ch)
	return f.v.done("truncate", f.path, err)
}

func (f *file) Close() error  { return nil }
func (f *file) Lock() error   { return billy.ErrNotSupported }
func (f *file) Unlock() error { return billy.ErrNotSupported }

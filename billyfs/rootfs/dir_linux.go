package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Dir is a directory that is held open: what is in it is looked at without a walk, by one call of the
// system. It stays that directory if it is moved. Its methods may be called concurrently.
type Dir = interface {
	// Lstat describes what goes by a name in the directory, of a symlink itself.
	Lstat(name string) (fs.FileInfo, error)
	// LstatInto is Lstat that leaves less garbage: it takes the memory of fi, if that is one of a Dir's, which nobody needs any more.
	LstatInto(fi fs.FileInfo, name string) (fs.FileInfo, error)
	// Close gives the directory back; calls that come later fail with os.ErrClosed.
	Close() error
}

// OpenDir opens a directory, as Lstat finds it. errors.ErrUnsupported: the kernel has no openat2(2). Systems where
// a walk safe from symlinks takes a call for each directory on the way have no such method.
func (f *FS) OpenDir(name string) (Dir, error) {
	w, ok := f.walk.(*beneath)
	if !ok {
		return nil, f.wrap("open", name, errors.ErrUnsupported)
	}
	fd, err := w.openat(local(name), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return nil, f.wrap("open", name, err)
	}
	return &dir{fd: fd, fs: f, name: name}, nil
}

// dir has no os.File, which costs one more call of the system.
type dir struct {
	fd    int          // for those who are counted by users
	users atomic.Int64 // and closed
	fs    *FS
	name  string
}

// closed is part of dir.users: no more come, and the last one closes fd.
const closed = 1 << 32

func (d *dir) Close() error {
	switch users := d.users.Or(closed); {
	case users&closed != 0:
		return d.fs.wrap("close", d.name, os.ErrClosed)
	case users > 0: // a look may take long
		return nil
	}
	return unix.Close(d.fd)
}

// use tells whether fd may be used, until release.
func (d *dir) use() bool {
	for {
		n := d.users.Load()
		if n&closed != 0 {
			return false
		}
		if d.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (d *dir) release() {
	if d.users.Add(-1) == closed {
		_ = unix.Close(d.fd) // nothing was written
	}
}

func (d *dir) Lstat(name string) (fs.FileInfo, error) { return d.LstatInto(nil, name) }

func (d *dir) LstatInto(into fs.FileInfo, name string) (fs.FileInfo, error) {
	fi, ok := into.(*info)
	if !ok {
		fi = new(info)
	}
	fi.name = name
	err := os.ErrClosed
	if d.use() {
		for err = error(unix.EINTR); err == unix.EINTR; {
			// Both packages have the kernel's struct stat.
			err = unix.Fstatat(d.fd, name, (*unix.Stat_t)(unsafe.Pointer(&fi.st)), unix.AT_SYMLINK_NOFOLLOW)
		}
		d.release()
	}
	if err != nil {
		return nil, d.fs.wrap("lstat", path.Join(d.name, name), err)
	}
	return fi, nil
}

// It does not compile where they differ in size.
var _ = [1]byte{}[unsafe.Sizeof(unix.Stat_t{})-unsafe.Sizeof(syscall.Stat_t{})]

package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Dir is a directory that is held open: what is in it is looked at without a walk, by one call of the
// system. It stays that directory if it is moved. Its methods may be called concurrently.
type Dir = interface {
	// Lstat describes what goes by a name in the directory, of a symlink itself.
	Lstat(name string) (fs.FileInfo, error)
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
	file, err := w.at(local(name), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return nil, f.wrap("open", name, err)
	}
	return &dir{file, f, name}, nil
}

type dir struct {
	file *os.File
	fs   *FS
	name string
}

func (d *dir) Close() error { return d.file.Close() }

func (d *dir) Lstat(name string) (fs.FileInfo, error) {
	fi := &info{name: name}
	conn, err := d.file.SyscallConn()
	if err == nil {
		closed := conn.Control(func(fd uintptr) {
			for {
				// Both packages have the kernel's struct stat.
				if err = unix.Fstatat(int(fd), name, (*unix.Stat_t)(unsafe.Pointer(&fi.st)), unix.AT_SYMLINK_NOFOLLOW); err != unix.EINTR {
					return
				}
			}
		})
		if closed != nil {
			err = os.ErrClosed
		}
	}
	if err != nil {
		return nil, d.fs.wrap("lstat", path.Join(d.name, name), err)
	}
	return fi, nil
}

// It does not compile where they differ in size.
var _ = [1]byte{}[unsafe.Sizeof(unix.Stat_t{})-unsafe.Sizeof(syscall.Stat_t{})]

package rootfs

import (
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxTries bounds the repeats of a walk that was disturbed.
const maxTries = 100

// newWalker walks with openat2(2) where the kernel has it (5.6), and nothing
// forbids it.
func newWalker(root *os.Root) (walker, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	w := &beneath{rootWalk{root}, dir}
	probe, err := w.at(".", unix.O_PATH)
	if err != nil {
		dir.Close()
		return rootWalk{root}, nil
	}
	probe.Close()
	return w, nil
}

// beneath lets the kernel walk a path in one call, without leaving the root
// and without following any symlink. It needs no more than search permission
// on the way, and costs the same at every depth.
type beneath struct {
	rootWalk
	dir *os.File
}

func (w *beneath) Close() error { return w.dir.Close() }

// at opens a path below the root.
func (w *beneath) at(name string, flags int) (*os.File, error) {
	fd, err := w.openat(name, flags)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (w *beneath) openat(name string, flags int) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	conn, err := w.dir.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	if ctlErr := conn.Control(func(dir uintptr) {
		for range maxTries {
			fd, err = unix.Openat2(int(dir), name, &how)
			// EAGAIN: something on the way was renamed meanwhile.
			if err != unix.EINTR && err != unix.EAGAIN {
				return
			}
		}
	}); ctlErr != nil {
		return -1, ctlErr
	}
	if err == unix.ELOOP {
		err = unix.ENOTDIR // a symlink on the way is not a directory
	}
	return fd, err
}

func (w *beneath) lstat(name string) (fs.FileInfo, error) {
	if !strings.Contains(name, "/") {
		return w.rootWalk.lstat(name) // one call instead of three
	}
	fd, err := w.openat(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	fi := &info{name: path.Base(name)}
	for {
		switch err := syscall.Fstat(fd, &fi.st); err {
		case nil:
			return fi, nil
		case syscall.EINTR:
		default:
			return nil, err
		}
	}
}

func (w *beneath) open(name string, flags int) (*os.File, error) {
	return w.at(name, syscall.O_RDONLY|flags)
}

func (w *beneath) readlink(name string) (string, error) {
	f, err := w.at(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, 256)
	for {
		n, err := unix.Readlinkat(int(f.Fd()), "", buf)
		switch {
		case err == unix.ENOENT: // what an empty path gives for all but symlinks
			return "", unix.EINVAL
		case err == unix.EINTR:
		case err != nil:
			return "", err
		case n < len(buf):
			return string(buf[:n]), nil
		default:
			buf = make([]byte, 2*len(buf))
		}
	}
}

package rootfs

import (
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	describers   = 8   // at once: where the directory is far away, each call waits
	describePart = 128 // names for each of them at a time
)

// describe describes what goes by names in a directory, in their order, without those that are gone.
func (f *FS) describe(d *os.File, _ string, names []string) ([]fs.FileInfo, error) {
	conn, err := d.SyscallConn()
	if err != nil {
		return nil, err
	}
	all := make([]info, len(names)) // one piece of memory, not one for each
	closed := conn.Control(func(fd uintptr) {
		var wg sync.WaitGroup
		var next atomic.Int64
		var failed atomic.Pointer[fs.PathError]
		work := func() {
			for failed.Load() == nil {
				to := int(next.Add(describePart))
				from := to - describePart
				if from >= len(names) {
					return
				}
				to = min(to, len(names))
				if err := describeAt(int(fd), names[from:to], all[from:to]); err != nil {
					failed.Store(err)
				}
			}
		}
		for range min(describers, (len(names)-1)/describePart) {
			wg.Go(work)
		}
		work()
		wg.Wait()
		if e := failed.Load(); e != nil {
			err = e
		}
	})
	if closed != nil {
		err = closed
	}
	if err != nil {
		return nil, err
	}
	infos := make([]fs.FileInfo, 0, len(names))
	for i := range all {
		if all[i].name != "" {
			infos = append(infos, &all[i])
		}
	}
	return infos, nil
}

// describeAt fills in infos; that of a name that is gone is left without one.
func describeAt(dir int, names []string, infos []info) *fs.PathError {
	for i, name := range names {
		fi := &infos[i]
		err := unix.EINTR
		for err == unix.EINTR {
			err, _ = unix.Fstatat(dir, name, (*unix.Stat_t)(unsafe.Pointer(&fi.st)), unix.AT_SYMLINK_NOFOLLOW).(unix.Errno)
		}
		switch err {
		case 0:
			fi.name = name
		case unix.ENOENT:
		default:
			return &fs.PathError{Op: "lstat", Path: name, Err: err}
		}
	}
	return nil
}

package disk

import (
	"golang.org/x/sys/unix"
)

// syncData asks for F_FULLFSYNC, since fsync(2) on macOS does not reach the
// medium. Network and foreign file systems do not know it; they get fsync.
func syncData(fd uintptr) error {
	err := retry(func() error {
		_, err := unix.FcntlInt(fd, unix.F_FULLFSYNC, 0)
		return err
	})
	if err == unix.ENOTSUP || err == unix.EOPNOTSUPP || err == unix.ENOTTY || err == unix.EINVAL {
		return retry(func() error { return unix.Fsync(int(fd)) })
	}
	return err
}

// reserve allocates space behind the end of the file; the caller sets the
// length. Where that is not supported, the file only gets longer.
func reserve(fd uintptr, have, size int64) error {
	err := retry(func() error {
		return unix.FcntlFstore(fd, unix.F_PREALLOCATE, &unix.Fstore_t{
			Flags:   unix.F_ALLOCATEALL,
			Posmode: unix.F_PEOFPOSMODE,
			Length:  size - have,
		})
	})
	if err == unix.ENOTSUP || err == unix.EOPNOTSUPP || err == unix.EINVAL {
		return nil
	}
	return err
}

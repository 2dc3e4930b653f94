package disk

import (
	"golang.org/x/sys/unix"
)

func syncData(fd uintptr) error {
	return retry(func() error { return unix.Fdatasync(int(fd)) })
}

// reserve allocates blocks for bytes have..size, so that writing them later
// neither finds the disk full nor changes metadata that fdatasync must write.
// File systems without fallocate (NFS, FAT, some FUSE) get a longer file only.
func reserve(fd uintptr, have, size int64) error {
	err := retry(func() error { return unix.Fallocate(int(fd), 0, have, size-have) })
	if err == unix.EOPNOTSUPP || err == unix.ENOSYS {
		return nil
	}
	return err
}

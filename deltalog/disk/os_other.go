//go:build unix && !linux && !darwin

package disk

import (
	"golang.org/x/sys/unix"
)

func syncData(fd uintptr) error {
	return retry(func() error { return unix.Fsync(int(fd)) })
}

// reserve does nothing: these systems get a longer file, without its space
// reserved (ZFS, common there, could not keep the promise anyway).
func reserve(uintptr, int64, int64) error { return nil }

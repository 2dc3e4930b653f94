package disk

import (
	"errors"

	"golang.org/x/sys/windows"
)

func isNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

func syncData(fd uintptr) error { return windows.FlushFileBuffers(windows.Handle(fd)) }

// reserve does nothing: NTFS allocates the clusters of a file when its length
// is set.
func reserve(uintptr, int64, int64) error { return nil }

// syncDir does nothing: Windows cannot flush a directory through a handle that
// an ordinary user gets, and NTFS journals names in order.
func syncDir(string) error { return nil }

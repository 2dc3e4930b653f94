//go:build darwin || freebsd

package rootfs

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func checkWritable(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err == nil && st.Flags&unix.MNT_RDONLY != 0 {
		return errReadOnlyBase
	}
	return unix.Access(dir, unix.W_OK|unix.X_OK)
}

func mknodAt(*os.File, string, uint32, uint32, uint32) error {
	return fmt.Errorf("special files cannot be made here: %w", errors.ErrUnsupported)
}

func chtimesAt(dir *os.File, name string, atime, mtime time.Time) error {
	ts := []unix.Timespec{unix.NsecToTimespec(atime.UnixNano()), unix.NsecToTimespec(mtime.UnixNano())}
	return unix.UtimesNanoAt(int(dir.Fd()), name, ts, unix.AT_SYMLINK_NOFOLLOW)
}

// syncAll is sync(2), which the systems with no syncfs have for all of their disks; the directory is
// synced by itself too.
func syncAll(dir *os.File) error {
	if err := unix.Sync(); err != nil {
		return err
	}
	return dir.Sync()
}

const syncsContents = false

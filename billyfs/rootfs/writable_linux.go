package rootfs

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func checkWritable(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err == nil && st.Flags&unix.ST_RDONLY != 0 {
		return errReadOnlyBase
	}
	return unix.Access(dir, unix.W_OK|unix.X_OK)
}

func mknodAt(dir *os.File, name string, mode, major, minor uint32) error {
	return unix.Mknodat(int(dir.Fd()), name, mode, int(unix.Mkdev(major, minor)))
}

func chtimesAt(dir *os.File, name string, atime, mtime time.Time) error {
	ts := []unix.Timespec{unix.NsecToTimespec(atime.UnixNano()), unix.NsecToTimespec(mtime.UnixNano())}
	return unix.UtimesNanoAt(int(dir.Fd()), name, ts, unix.AT_SYMLINK_NOFOLLOW)
}

func syncAll(dir *os.File) error { return unix.Syncfs(int(dir.Fd())) }

const syncsContents = true

package rootfs

import (
	"io/fs"
	"syscall"
)

const (
	fileFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	dirFlags  = syscall.O_NOFOLLOW | syscall.O_DIRECTORY
	noAtime   = syscall.O_NOATIME
	foldsCase = false
)

// errNoAtime is what O_NOATIME is refused with.
const errNoAtime = syscall.EPERM

// isUnlinked tells of an open directory whether it has been removed.
func isUnlinked(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 0
}

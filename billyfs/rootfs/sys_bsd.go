//go:build darwin || freebsd

package rootfs

import (
	"io/fs"
	"runtime"
	"syscall"
)

const (
	fileFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	dirFlags  = syscall.O_NOFOLLOW | syscall.O_DIRECTORY
	noAtime   = 0
	foldsCase = runtime.GOOS == "darwin"
)

// errNoAtime is never met: there is no O_NOATIME.
const errNoAtime = syscall.EPERM

// isUnlinked tells of an open directory whether it has been removed.
func isUnlinked(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 0
}

//go:build !linux && !darwin && !freebsd

package rootfs

import (
	"io/fs"
	"runtime"
	"syscall"
)

const (
	fileFlags = 0
	dirFlags  = 0
	noAtime   = 0
	foldsCase = runtime.GOOS == "windows"
)

// errNoAtime is never met: there is no O_NOATIME.
const errNoAtime = syscall.EPERM

// isUnlinked cannot be told here.
func isUnlinked(fs.FileInfo) bool { return false }

//go:build darwin || freebsd

package billyfs

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func sysOf(a Attr) any {
	s := &syscall.Stat_t{Ino: uint64(a.Ino), Uid: a.UID, Gid: a.GID}
	setInt(&s.Mode, uint64(a.Mode))
	setInt(&s.Nlink, uint64(a.Nlink))
	setInt(&s.Rdev, unix.Mkdev(a.RdevMajor, a.RdevMinor))
	setInt(&s.Size, a.Size)
	setInt(&s.Blocks, (a.Used+511)/512)
	s.Atimespec = syscall.NsecToTimespec(a.Atime)
	s.Mtimespec = syscall.NsecToTimespec(a.Mtime)
	s.Ctimespec = syscall.NsecToTimespec(a.Ctime)
	return s
}

// setInt sets a field whose width depends on the system.
func setInt[T uint16 | uint32 | uint64 | int32 | int64](p *T, v uint64) { *p = T(v) }

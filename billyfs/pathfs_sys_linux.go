package billyfs

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func sysOf(a Attr) any {
	s := &syscall.Stat_t{Ino: uint64(a.Ino), Mode: a.Mode, Uid: a.UID, Gid: a.GID}
	setInt(&s.Nlink, uint64(a.Nlink))
	setInt(&s.Rdev, unix.Mkdev(a.RdevMajor, a.RdevMinor))
	setInt(&s.Size, a.Size)
	setInt(&s.Blocks, (a.Used+511)/512)
	s.Atim = syscall.NsecToTimespec(a.Atime)
	s.Mtim = syscall.NsecToTimespec(a.Mtime)
	s.Ctim = syscall.NsecToTimespec(a.Ctime)
	return s
}

// setInt sets a field whose width depends on the architecture.
func setInt[T uint16 | uint32 | uint64 | int32 | int64](p *T, v uint64) { *p = T(v) }

package billyfs

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// forbidden are the bytes that no name can hold here.
const forbidden = "/\x00"

func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

// fill takes what only the system's stat tells.
func (s *stat) fill(sys any) {
	t, ok := sys.(*syscall.Stat_t)
	if !ok {
		return
	}
	s.sysStat = sysStat{known: true, dev: uint64(t.Dev), inode: t.Ino}
	a := &s.attr
	a.Mode, a.Nlink, a.UID, a.GID = t.Mode, uint32(t.Nlink), t.Uid, t.Gid
	a.RdevMajor, a.RdevMinor = unix.Major(uint64(t.Rdev)), unix.Minor(uint64(t.Rdev))
	a.Used = uint64(t.Blocks) * 512
	a.Atime, a.Mtime, a.Ctime = t.Atim.Nano(), t.Mtim.Nano(), t.Ctim.Nano()
}

// openDirs is how many directories of bases may be held open: an eighth of what the process may open.
func openDirs() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	return int(min(1<<30, uint64(l.Cur)/8))
}

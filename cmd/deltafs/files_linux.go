package main

import "golang.org/x/sys/unix"

// manyFiles is how many files a server of one base has open at most, unless many clients are connected: the directories and
// files of the base that are held open are most of them.
const manyFiles = 1500

// tuneFiles has the kernel make room for descriptors at once, as far as the process may have so many. It doubles the table
// of them when it is full, and waits each time until no other thread can be in the old one, for some milliseconds, in which
// everybody who opens something waits, too.
func tuneFiles() {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil || l.Cur == 0 {
		return // it is only slower
	}
	fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, int(min(manyFiles, l.Cur-1))); err == nil {
		unix.Close(high)
	}
}

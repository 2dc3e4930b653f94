package bench

import (
	"os"

	"golang.org/x/sys/unix"
)

// settleDisk waits until nothing is left to be written that others have left.
func settleDisk() { unix.Sync() }

// dataSync makes the data of a file durable.
func dataSync(f *os.File) error { return os.NewSyscallError("fdatasync", unix.Fdatasync(int(f.Fd()))) }

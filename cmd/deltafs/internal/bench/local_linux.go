package bench

import (
	"os"

	"golang.org/x/sys/unix"
)

// dataSync makes the data of a file durable.
func dataSync(f *os.File) error { return os.NewSyscallError("fdatasync", unix.Fdatasync(int(f.Fd()))) }

//go:build !linux && !darwin && !freebsd

package billyfs

import (
	"errors"
	"syscall"
)

// forbidden are the bytes that no name can hold here: a backslash or a colon
// would leave the directory.
const forbidden = "/\\:\x00"

func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

// fill has nothing to tell: the system has no stat. There are no hard links
// then, and drift is seen by size and mtime.
func (s *stat) fill(any) {}

// openDirs is how many directories of bases may be held open: here they cannot be.
func openDirs() int { return 0 }

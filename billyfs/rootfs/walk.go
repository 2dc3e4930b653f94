package rootfs

import (
	"io/fs"
	"os"
)

// walker finds files below a directory, and never outside.
type walker interface {
	// lstat describes a file itself.
	lstat(name string) (fs.FileInfo, error)
	// open opens a file for reading, with flags of the system.
	open(name string, flags int) (*os.File, error)
	readlink(name string) (string, error)
}

// rootWalk walks with os.Root: it opens directory by directory, and so needs
// to be allowed to read each of them. A symlink on the way is followed if it
// stays inside.
type rootWalk struct{ root *os.Root }

func (w rootWalk) lstat(name string) (fs.FileInfo, error) { return w.root.Lstat(name) }

func (w rootWalk) open(name string, flags int) (*os.File, error) {
	return w.root.OpenFile(name, os.O_RDONLY|flags, 0)
}

func (w rootWalk) readlink(name string) (string, error) { return w.root.Readlink(name) }

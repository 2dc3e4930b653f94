//go:build !linux && !darwin && !freebsd

package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

func checkWritable(dir string) error {
	f, err := os.CreateTemp(dir, ".deltafs-check-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func mknodAt(*os.File, string, uint32, uint32, uint32) error {
	return fmt.Errorf("special files cannot be made here: %w", errors.ErrUnsupported)
}

func chtimesAt(dir *os.File, name string, atime, mtime time.Time) error {
	p := filepath.Join(dir.Name(), name)
	if fi, err := os.Lstat(p); err != nil || fi.Mode()&os.ModeSymlink != 0 {
		return errors.Join(err, errors.ErrUnsupported)
	}
	return os.Chtimes(p, atime, mtime)
}

// syncAll has nothing to sync beside files, which are synced by themselves.
func syncAll(*os.File) error { return nil }

const syncsContents = false

//go:build !linux && !darwin && !freebsd && !windows

package rootfs

import "errors"

// Free is not known on this system.
func (f *FS) Free() (free, total uint64, err error) {
	return 0, 0, f.wrap("statfs", "", errors.ErrUnsupported)
}

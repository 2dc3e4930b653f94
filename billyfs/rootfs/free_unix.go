//go:build linux || darwin || freebsd

package rootfs

import "golang.org/x/sys/unix"

// Free returns the bytes that a user may still write to the file system that
// the directory lies on, and the bytes that it holds in all.
func (f *FS) Free() (free, total uint64, err error) {
	d, err := f.root.Open(".")
	if err != nil {
		return 0, 0, f.wrap("statfs", "", err)
	}
	defer d.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(d.Fd()), &st); err != nil {
		return 0, 0, f.wrap("statfs", "", err)
	}
	size := uint64(st.Bsize)
	return uint64(max(0, int64(st.Bavail))) * size, st.Blocks * size, nil
}

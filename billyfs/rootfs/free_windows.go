package rootfs

import "golang.org/x/sys/windows"

// Free returns the bytes that the user may still write to the volume that the
// directory lies on, and the bytes that it holds in all.
func (f *FS) Free() (free, total uint64, err error) {
	dir, err := windows.UTF16PtrFromString(f.dir)
	if err != nil {
		return 0, 0, f.wrap("statfs", "", err)
	}
	err = windows.GetDiskFreeSpaceEx(dir, &free, &total, nil)
	return free, total, f.wrap("statfs", "", err)
}

//go:build !linux

package rootfs

import (
	"io/fs"
	"os"
	"slices"
	"strings"
)

// describe describes what is in a directory, in order of names: what is there by now.
func (f *FS) describe(_ *os.File, dir string, _ []string) ([]fs.FileInfo, error) {
	d, err := f.open(dir, dirFlags)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	infos, err := d.Readdir(-1)
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return strings.Compare(a.Name(), b.Name()) })
	return infos, err
}

package billyfs

import (
	"io/fs"
	"slices"
	"strings"
	"time"
)

// pathInfo is what FS tells of an object.
type pathInfo struct {
	name string
	attr Attr
}

var _ fs.FileInfo = (*pathInfo)(nil)

// AttrOf returns all attributes of an object that an FS told of.
func AttrOf(fi fs.FileInfo) (Attr, bool) {
	if i, ok := fi.(*pathInfo); ok {
		return i.attr, true
	}
	return Attr{}, false
}

func (i *pathInfo) Name() string       { return i.name }
func (i *pathInfo) Size() int64        { return int64(i.attr.Size) }
func (i *pathInfo) IsDir() bool        { return i.attr.Mode&TypeMask == TypeDir }
func (i *pathInfo) ModTime() time.Time { return time.Unix(0, i.attr.Mtime) }

// Sys returns what package os would: a *syscall.Stat_t where the system has
// one, else nil.
func (i *pathInfo) Sys() any { return sysOf(i.attr) }

// Mode returns type and permissions as package os has them.
func (i *pathInfo) Mode() fs.FileMode {
	m := fs.FileMode(i.attr.Mode & 0o777)
	for _, b := range [...]struct {
		bit  uint32
		mode fs.FileMode
	}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}} {
		if i.attr.Mode&b.bit != 0 {
			m |= b.mode
		}
	}
	return m | fileTypes[i.attr.Mode&TypeMask]
}

var fileTypes = map[uint32]fs.FileMode{
	TypeDir: fs.ModeDir, TypeSymlink: fs.ModeSymlink, TypeFIFO: fs.ModeNamedPipe,
	TypeSocket: fs.ModeSocket, TypeBlock: fs.ModeDevice, TypeChar: fs.ModeDevice | fs.ModeCharDevice,
}

// list returns a directory by name. Names that go while it is read are left out.
func (t *Tree) list(dir Ino) ([]fs.FileInfo, error) {
	var infos []fs.FileInfo
	var failed error
	_, err := t.ReadDir(dir, 0, func(e DirEntry) bool {
		if e.Name == "." || e.Name == ".." {
			return true
		}
		a, err := t.Attr(e.Ino)
		switch KindOf(err) {
		case 0:
			infos = append(infos, &pathInfo{name: e.Name, attr: a})
		case NotExist, Stale:
		default:
			failed = err
		}
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return strings.Compare(a.Name(), b.Name()) })
	return infos, err
}

package gonfs

import (
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	nfsfile "github.com/willscott/go-nfs/file"

	"deltafs/billyfs"
)

// types are the type bits of os.FileMode.
var types = map[uint32]os.FileMode{
	billyfs.TypeDir: os.ModeDir, billyfs.TypeSymlink: os.ModeSymlink, billyfs.TypeFIFO: os.ModeNamedPipe,
	billyfs.TypeSocket: os.ModeSocket, billyfs.TypeBlock: os.ModeDevice,
	billyfs.TypeChar: os.ModeDevice | os.ModeCharDevice,
}

// goMode is a mode for go-nfs: the type where os.FileMode has it, but all 12
// permission bits as they go over the wire, because go-nfs sends the low bits
// as they are.
func goMode(mode uint32) os.FileMode {
	return types[mode&billyfs.TypeMask] | os.FileMode(mode&0o7777)
}

// wireMode is the reverse, for modes from go-nfs and from other programs.
func wireMode(m os.FileMode) uint32 {
	w := uint32(m & 0o7777)
	if m&os.ModeSetuid != 0 {
		w |= 0o4000
	}
	if m&os.ModeSetgid != 0 {
		w |= 0o2000
	}
	if m&os.ModeSticky != 0 {
		w |= 0o1000
	}
	return w
}

// info is the fs.FileInfo of one object. Those of a listing have a source, and
// look the object up again whenever Mode is called, which go-nfs does first:
// a listing may be served for minutes, and must not show old sizes then.
type info struct {
	name string
	attr atomic.Pointer[billyfs.Attr]
	from func() (billyfs.Attr, error) // nil if attr is all there is
}

var _ fs.FileInfo = (*info)(nil)

func newInfo(name string, a billyfs.Attr) *info {
	i := &info{name: name}
	i.attr.Store(&a)
	return i
}

func (i *info) Name() string { return i.name }

func (i *info) Mode() fs.FileMode {
	if i.from != nil {
		if a, err := i.from(); err == nil {
			i.attr.Store(&a)
		}
	}
	return goMode(i.attr.Load().Mode)
}

func (i *info) IsDir() bool { return i.attr.Load().Mode&billyfs.TypeMask == billyfs.TypeDir }
func (i *info) Size() int64 { return int64(i.attr.Load().Size) }

// ModTime is all that go-nfs shows of times.
func (i *info) ModTime() time.Time { return time.Unix(0, i.attr.Load().Mtime) }

// Sys returns what go-nfs takes links, owner, device and fileid from.
func (i *info) Sys() any {
	a := i.attr.Load()
	return &nfsfile.FileInfo{
		Nlink: a.Nlink, UID: a.UID, GID: a.GID,
		Major: a.RdevMajor, Minor: a.RdevMinor, Fileid: uint64(a.Ino),
	}
}

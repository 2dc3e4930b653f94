package billyfs

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/go-git/go-billy/v5"
)

// FS is the merged tree by path, a billy.Filesystem and billy.Change. Paths
// are relative to its root, with or without a leading slash. Symlinks are
// resolved inside that root: an absolute target begins there, and a path that
// climbs above it is billy.ErrCrossedBoundary. As go-billy wants it, calls that
// make a name make its missing parents too, with mode 0755.
//
// Errors are *fs.PathError, so that os.IsNotExist and the like work. A change
// is atomic and has left the process when the call returns. An FS may be used
// concurrently; a File by one goroutine at a time.
type FS struct {
	t      *Tree
	caller Caller
	prefix string // path of the root in the tree; it need not exist yet
	shared *shared
}

// shared is what the files of an FS and of what was made from it by Chroot
// have in common.
type shared struct {
	appending sync.Mutex // held between reading the size and writing there
	locks     fileLocks
}

// parentMode is the mode of parents that were missing.
const parentMode = 0o755

// maxTries is how often a new temporary name is tried.
const maxTries = 1000

// NewFS returns t by path; new objects belong to c.
func NewFS(t *Tree, c Caller) *FS {
	return &FS{t: t, caller: c, shared: &shared{locks: newFileLocks()}}
}

var (
	_ billy.Filesystem = (*FS)(nil)
	_ billy.Change     = (*FS)(nil)
	_ billy.Capable    = (*FS)(nil)
)

// Create opens a file for reading and writing, made or truncated.
func (f *FS) Create(name string) (billy.File, error) {
	return f.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
}

// Open opens a file for reading.
func (f *FS) Open(name string) (billy.File, error) { return f.OpenFile(name, os.O_RDONLY, 0) }

// OpenFile opens a regular file with the flags of package os; perm is the mode
// of a file that is made, there is no umask. Directories are IsDir, and
// special files NotSupported: a tree never opens those.
func (f *FS) OpenFile(name string, flag int, perm os.FileMode) (billy.File, error) {
	const op = "open"
	w := newResolver(f, op, flag&os.O_CREATE != 0)
	at, err := w.find(name, flag&(os.O_CREATE|os.O_EXCL) != os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, pathError(op, name, err)
	}
	a := at.attr
	switch {
	case flag&os.O_CREATE != 0 && at.name != "":
		how := CreateHow{Mode: Unchecked, Attr: SetAttr{Mode: permOf(perm)}}
		if flag&os.O_EXCL != 0 {
			how.Mode = Guarded
		}
		if flag&os.O_TRUNC != 0 {
			how.Attr.Size = new(uint64)
		}
		a, _, err = f.t.Create(f.caller, at.dir, at.name, how)
	case !at.found:
		err = failName(op, at.dir, at.name, NotExist, nil)
	case a.Mode&TypeMask == TypeRegular && flag&os.O_TRUNC != 0 && writable(flag):
		_, err = f.t.SetAttr(f.caller, a.Ino, SetAttr{Size: new(uint64)})
	}
	if err == nil {
		switch a.Mode & TypeMask {
		case TypeRegular:
			return &pathFile{fs: f, name: clean(name), ino: a.Ino, flag: flag}, nil
		case TypeDir:
			err = fail(op, a.Ino, IsDir, nil)
		default:
			err = fail(op, a.Ino, NotSupported, nil)
		}
	}
	return nil, pathError(op, name, err)
}

// Stat follows symlinks; the name is that of the path.
func (f *FS) Stat(name string) (fs.FileInfo, error) { return stating(f, "stat", name, true) }

// Lstat does not follow a symlink that name itself is.
func (f *FS) Lstat(name string) (fs.FileInfo, error) { return stating(f, "lstat", name, false) }

func stating(f *FS, op, name string, follow bool) (fs.FileInfo, error) {
	at, err := newResolver(f, op, false).must(name, follow)
	if err != nil {
		return nil, pathError(op, name, err)
	}
	return &pathInfo{name: lastName(name), attr: at.attr}, nil
}

// Rename moves a name; what the new one held is replaced.
func (f *FS) Rename(from, to string) error {
	const op = "rename"
	src, err := newResolver(f, op, false).must(from, false)
	if err != nil {
		return pathError(op, from, err)
	}
	dst, err := newResolver(f, op, true).find(to, false)
	if err != nil {
		return pathError(op, to, err)
	}
	if src.name == "" || dst.name == "" {
		return pathError(op, from, fail(op, src.dir, Invalid, nil))
	}
	_, _, err = f.t.Rename(f.caller, src.dir, src.name, dst.dir, dst.name)
	return pathError(op, from, err)
}

// Remove removes a name, or an empty directory.
func (f *FS) Remove(name string) error {
	const op = "remove"
	at, err := newResolver(f, op, false).must(name, false)
	switch {
	case err != nil:
	case at.name == "":
		err = fail(op, at.dir, Invalid, nil)
	case at.attr.Mode&TypeMask == TypeDir:
		_, err = f.t.Rmdir(f.caller, at.dir, at.name)
	default:
		_, err = f.t.Remove(f.caller, at.dir, at.name)
	}
	return pathError(op, name, err)
}

// Join is filepath.Join.
func (f *FS) Join(elem ...string) string { return filepath.Join(elem...) }

// TempFile makes a new file in dir, open for reading and writing.
func (f *FS) TempFile(dir, prefix string) (billy.File, error) {
	for range maxTries {
		var rnd [10]byte
		if _, err := rand.Read(rnd[:]); err != nil {
			return nil, pathError("open", dir, err)
		}
		name := f.Join(dir, prefix+base32.HexEncoding.EncodeToString(rnd[:]))
		file, err := f.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return file, err
		}
	}
	return nil, pathError("open", f.Join(dir, prefix), fs.ErrExist)
}

// ReadDir lists a directory by name; infos do not follow symlinks.
func (f *FS) ReadDir(name string) ([]fs.FileInfo, error) {
	const op = "readdir"
	at, err := newResolver(f, op, false).must(name, true)
	if err != nil {
		return nil, pathError(op, name, err)
	}
	list, err := f.t.list(at.attr.Ino)
	return list, pathError(op, name, err)
}

// MkdirAll makes a directory and its missing parents, all with mode perm. An
// existing directory is success.
func (f *FS) MkdirAll(name string, perm os.FileMode) error {
	const op = "mkdir"
	w := newResolver(f, op, true)
	w.perm = *permOf(perm)
	at, err := w.find(name, true)
	switch {
	case err != nil:
	case !at.found:
		_, _, err = f.t.Mkdir(f.caller, at.dir, at.name, SetAttr{Mode: &w.perm})
		if KindOf(err) == Exist { // somebody was faster
			_, err = newResolver(f, op, false).mustDir(name)
		}
	case at.attr.Mode&TypeMask != TypeDir:
		err = fail(op, at.attr.Ino, NotDir, nil)
	}
	return pathError(op, name, err)
}

// Symlink makes a symlink; target is kept as it is.
func (f *FS) Symlink(target, link string) error {
	return making(f, "symlink", link, func(at spot) error {
		_, _, err := f.t.Symlink(f.caller, at.dir, at.name, target, SetAttr{})
		return err
	})
}

// Readlink returns the target as it was given.
func (f *FS) Readlink(link string) (string, error) {
	const op = "readlink"
	at, err := newResolver(f, op, false).must(link, false)
	if err != nil {
		return "", pathError(op, link, err)
	}
	target, err := f.t.Readlink(at.attr.Ino)
	return target, pathError(op, link, err)
}

// Chroot returns the same tree with its root at path, which need not exist yet.
func (f *FS) Chroot(path string) (billy.Filesystem, error) {
	if _, err := split(path); err != nil {
		return nil, err
	}
	g := *f
	g.prefix = filepath.Join(f.prefix, clean(path))
	return &g, nil
}

// Root returns the path of the root in the tree, "/" for the whole of it.
func (f *FS) Root() string { return filepath.Join(string(filepath.Separator), f.prefix) }

// Capabilities says that all is supported.
func (f *FS) Capabilities() billy.Capability { return billy.AllCapabilities }

// making calls fn for a name that is to be made, parents made.
func making(f *FS, op, name string, fn func(spot) error) error {
	at, err := newResolver(f, op, true).find(name, false)
	switch {
	case err != nil:
	case at.found:
		err = fail(op, at.attr.Ino, Exist, nil)
	default:
		err = fn(at)
	}
	return pathError(op, name, err)
}

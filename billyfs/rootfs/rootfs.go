// Package rootfs shows a directory of the host as a read-only
// billy.Filesystem that nothing in the directory can lead out of: not a
// symlink, not "..", not a directory that is swapped for a symlink in the
// middle of a call. Paths are walked by the kernel where it can do that
// (openat2 on Linux), else by an os.Root.
//
// It is made for serving a tree that others own:
//
//   - Only regular files and directories are ever opened. FIFOs, sockets and
//     devices are shown by Lstat and never touched: opening one can block, or
//     do something.
//   - Reading a file or listing a directory leaves its atime alone where the
//     system allows it (Linux, for files that the process owns or with
//     CAP_FOWNER). Nothing can be done for Readlink.
//   - All calls that would write fail with billy.ErrReadOnly.
//
// FileInfo.Sys is a *syscall.Stat_t where the system has one; it is taken
// without following anything.
package rootfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-billy/v5"
)

// FS is a directory of the host. All methods may be called concurrently.
// Paths are relative to it, with slashes; a leading slash means the same.
type FS struct {
	root *os.Root
	walk walker
	dir  string // for messages
}

var (
	_ billy.Filesystem = (*FS)(nil)
	_ billy.Capable    = (*FS)(nil)
)

// Open opens a directory. Symlinks in dir itself are followed, once, now.
func Open(dir string) (*FS, error) {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &fs.PathError{Op: "open base", Path: dir, Err: cause(err)}
	}
	return newFS(root, dir)
}

func newFS(root *os.Root, dir string) (*FS, error) {
	walk, err := newWalker(root)
	if err != nil {
		root.Close()
		return nil, &fs.PathError{Op: "open base", Path: dir, Err: cause(err)}
	}
	return &FS{root: root, walk: walk, dir: dir}, nil
}

// Close gives the directory back. Files that are open stay so.
func (f *FS) Close() error {
	err := f.root.Close()
	if c, ok := f.walk.(io.Closer); ok {
		err = errors.Join(err, c.Close())
	}
	return err
}

// Root returns the directory as an absolute path of the host.
func (f *FS) Root() string { return f.dir }

// Capabilities are those of a tree that is only read.
func (f *FS) Capabilities() billy.Capability {
	return billy.ReadCapability | billy.SeekCapability
}

// FoldsCase tells whether the system may find a file by a name that differs
// from its own, in case or in the form of its letters.
func (f *FS) FoldsCase() bool { return foldsCase }

// Lstat describes a file, of a symlink itself.
func (f *FS) Lstat(name string) (fs.FileInfo, error) {
	fi, err := f.walk.lstat(local(name))
	return fi, f.wrap("lstat", name, err)
}

// Stat describes a file behind symlinks, if they stay inside.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	fi, err := f.root.Stat(local(name))
	return fi, f.wrap("stat", name, err)
}

// Readlink returns the target of a symlink as it is written there.
func (f *FS) Readlink(name string) (string, error) {
	target, err := f.walk.readlink(local(name))
	return target, f.wrap("readlink", name, err)
}

// Open opens a regular file for reading. It never blocks on a file of another
// kind: that is an error.
func (f *FS) Open(name string) (billy.File, error) {
	before, err := f.walk.lstat(local(name))
	if err != nil {
		return nil, f.wrap("open", name, err)
	}
	if !before.Mode().IsRegular() {
		return nil, f.wrap("open", name, errNotRegular)
	}
	file, err := f.open(name, fileFlags)
	if err != nil {
		return nil, f.wrap("open", name, err)
	}
	// It may have been swapped since: for a FIFO (which O_NONBLOCK has kept
	// from blocking), or for a symlink (which os.Root has followed inside).
	after, err := file.Stat()
	if err == nil && !sameFile(before, after) {
		err = errReplaced
	}
	if err != nil {
		file.Close()
		return nil, f.wrap("open", name, err)
	}
	return &File{file: file, name: name}, nil
}

// OpenFile is Open: flags that ask for more are refused.
func (f *FS) OpenFile(name string, flag int, _ fs.FileMode) (billy.File, error) {
	if flag&(os.O_WRONLY|os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_TRUNC) != 0 {
		return nil, f.wrap("open", name, billy.ErrReadOnly)
	}
	return f.Open(name)
}

// open opens without moving the atime if that is allowed for this file.
func (f *FS) open(name string, flags int) (*os.File, error) {
	file, err := f.walk.open(local(name), flags|noAtime)
	if noAtime != 0 && errors.Is(err, errNoAtime) {
		// Refused for files of others. The next one may be ours again.
		file, err = f.walk.open(local(name), flags)
	}
	return file, err
}

// ReadDir lists a directory in order of names, each described as by Lstat.
// Entries of a directory that may be listed but not searched have the mode
// fs.ModeIrregular, and nothing else is known of them.
func (f *FS) ReadDir(name string) ([]fs.FileInfo, error) {
	d, err := f.open(name, dirFlags)
	if err != nil {
		return nil, f.wrap("readdir", name, err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, f.wrap("readdir", name, err)
	}
	slices.Sort(names)
	infos, err := f.describe(d, name, names)
	if errors.Is(err, fs.ErrPermission) {
		infos, err = nil, nil
		for _, n := range names {
			infos = append(infos, nameOnly{n})
		}
	}
	return infos, f.wrap("readdir", name, err)
}

// Names lists a directory as the system does, in no order: names and types,
// without looking at the entries where the system can do that. It is what to
// use when a directory is large and little of it matters. Info must not be
// called on what it returns.
func (f *FS) Names(name string) ([]fs.DirEntry, error) {
	d, err := f.open(name, dirFlags)
	if err != nil {
		return nil, f.wrap("readdir", name, err)
	}
	defer d.Close()
	list, err := d.ReadDir(-1)
	return list, f.wrap("readdir", name, err)
}

// Chroot returns the tree below a directory. It must be closed by itself.
func (f *FS) Chroot(name string) (billy.Filesystem, error) {
	root, err := f.root.OpenRoot(local(name))
	if err != nil {
		return nil, f.wrap("chroot", name, err)
	}
	return newFS(root, filepath.Join(f.dir, local(name)))
}

// Join joins parts of a path with slashes.
func (f *FS) Join(elem ...string) string { return path.Join(elem...) }

var (
	errNotRegular = errors.New("not a regular file")
	errReplaced   = errors.New("replaced while it was opened")
	errVanished   = errors.New("the base directory was removed")
)

// wrap gives an error the path on the host, and tells "this file is not there"
// from "all of the base is gone".
func (f *FS) wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		if fi, rootErr := f.root.Lstat("."); rootErr != nil || isUnlinked(fi) {
			return fmt.Errorf("%s %s: %w", op, f.dir, errVanished)
		}
	}
	return &fs.PathError{Op: op, Path: filepath.Join(f.dir, filepath.FromSlash(name)), Err: cause(err)}
}

// cause strips the paths that package os has put around an error.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// local turns a path of billy into one of os.Root.
func local(name string) string {
	name = strings.TrimLeft(name, "/")
	if name == "" {
		return "."
	}
	return filepath.FromSlash(name)
}

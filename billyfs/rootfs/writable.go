package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/go-git/go-billy/v5"
)

// Writable is a directory of the host for committing changes to: as FS, and what it takes to
// make it another tree. Nothing in it leads out of the directory, and symlinks are never
// followed. What the system lacks fails with errors.ErrUnsupported.
type Writable struct{ *FS }

var _ billy.Filesystem = Writable{}

// OpenWritable opens a directory that is to be changed. It fails if the file system is
// mounted read-only, or the directory may not be written to, before anything has happened.
func OpenWritable(dir string) (Writable, error) {
	f, err := Open(dir)
	if err != nil {
		return Writable{}, err
	}
	if err := checkWritable(f.dir); err != nil {
		f.Close()
		return Writable{}, &fs.PathError{Op: "write to base", Path: f.dir, Err: cause(err)}
	}
	return Writable{f}, nil
}

// Capabilities are those of any tree.
func (w Writable) Capabilities() billy.Capability {
	return billy.DefaultCapabilities &^ billy.LockCapability
}

// WritableFile is a regular file that is open for writing.
type WritableFile struct{ File }

func (f *WritableFile) Write(p []byte) (int, error) { return f.file.Write(p) }

// WriteAt writes at an offset, in bytes.
func (f *WritableFile) WriteAt(p []byte, off int64) (int, error) { return f.file.WriteAt(p, off) }

// Truncate sets the length, in bytes.
func (f *WritableFile) Truncate(n int64) error { return f.file.Truncate(n) }

// Sync returns when what was written survives the machine's death.
func (f *WritableFile) Sync() error { return f.file.Sync() }

// OpenFile opens a regular file for reading and writing; with os.O_CREATE and os.O_EXCL it makes it.
func (w Writable) OpenFile(name string, flag int, perm fs.FileMode) (billy.File, error) {
	if flag&(os.O_WRONLY|os.O_RDWR) == 0 {
		return w.FS.OpenFile(name, flag, perm)
	}
	f, err := w.root.OpenFile(local(name), flag|fileFlags, perm)
	if err != nil {
		return nil, w.wrap("open", name, err)
	}
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		f.Close()
		return nil, w.wrap("open", name, errors.Join(err, errNotRegular))
	}
	return &WritableFile{File{file: f, name: name}}, nil
}

// Create makes a file that is not there yet.
func (w Writable) Create(name string) (billy.File, error) {
	return w.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// Rename moves a name over another, as rename(2) does.
func (w Writable) Rename(from, to string) error {
	return w.wrap("rename", from, linkCause(w.root.Rename(local(from), local(to))))
}

// Remove takes away a name, or an empty directory.
func (w Writable) Remove(name string) error {
	return w.wrap("remove", name, w.root.Remove(local(name)))
}

// Mkdir makes a directory.
func (w Writable) Mkdir(name string, perm fs.FileMode) error {
	return w.wrap("mkdir", name, w.root.Mkdir(local(name), perm))
}

// MkdirAll makes a directory and those above it.
func (w Writable) MkdirAll(name string, perm fs.FileMode) error {
	return w.wrap("mkdir", name, w.root.MkdirAll(local(name), perm))
}

// Symlink makes a symlink.
func (w Writable) Symlink(target, name string) error {
	return w.wrap("symlink", name, linkCause(w.root.Symlink(target, local(name))))
}

// Link gives a file another name.
func (w Writable) Link(old, name string) error {
	return w.wrap("link", name, linkCause(w.root.Link(local(old), local(name))))
}

// Mknod makes a FIFO, a socket or a device; mode has its type as in S_IFMT.
func (w Writable) Mknod(name string, mode uint32, major, minor uint32) error {
	return w.wrap("mknod", name, w.inParent(name, func(dir *os.File, base string) error {
		return mknodAt(dir, base, mode, major, minor)
	}))
}

// Chmod sets the 12 permission bits of anything but a symlink.
func (w Writable) Chmod(name string, perm uint32) error {
	m := fs.FileMode(perm & 0o777)
	for _, bit := range [...]struct {
		from uint32
		to   fs.FileMode
	}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}} {
		if perm&bit.from != 0 {
			m |= bit.to
		}
	}
	return w.wrap("chmod", name, w.root.Chmod(local(name), m))
}

// Lchown sets the owner, of a symlink itself.
func (w Writable) Lchown(name string, uid, gid int) error {
	return w.wrap("chown", name, w.root.Lchown(local(name), uid, gid))
}

// Chtimes sets atime and mtime, of a symlink itself.
func (w Writable) Chtimes(name string, atime, mtime time.Time) error {
	return w.wrap("chtimes", name, w.inParent(name, func(dir *os.File, base string) error {
		return chtimesAt(dir, base, atime, mtime)
	}))
}

// SyncAll returns when all that was changed in the file system of a directory survives the
// machine's death.
func (w Writable) SyncAll(name string) error {
	d, err := w.root.OpenFile(local(name), os.O_RDONLY|dirFlags, 0)
	if err != nil {
		return w.wrap("sync", name, err)
	}
	defer d.Close()
	return w.wrap("sync", name, syncAll(d))
}

// SyncsContents tells whether SyncAll makes contents of files durable, too, and says so if it could not:
// syncfs(2) does, sync(2) only begins to.
func (w Writable) SyncsContents() bool { return syncsContents }

// inParent calls fn with the directory that a name is in.
func (w Writable) inParent(name string, fn func(dir *os.File, base string) error) error {
	d, err := w.root.OpenFile(path.Dir(local(name)), os.O_RDONLY|dirFlags, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	return fn(d, path.Base(local(name)))
}

// linkCause strips the paths of an error about two files.
func linkCause(err error) error {
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
	}
	return err
}

var errReadOnlyBase = fmt.Errorf("%w: it is mounted read-only", fs.ErrPermission)

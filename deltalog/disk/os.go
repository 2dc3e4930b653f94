package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// OS returns the tree under dir of the operating system. Nothing is touched
// until a method is called; dir need not exist before Mkdir(".").
//
// Files are made with mode 0600 and directories with 0700, less the umask:
// a store holds what its owner wrote, whoever could read it in the base.
//
// On Windows a file that is open cannot be renamed or removed; close it first.
func OS(dir string) FS { return osFS{dir: dir} }

type osFS struct{ dir string }

// path turns a name of the tree into a path of the OS. It refuses names that
// would leave the tree, and names that mean a device or another drive to the OS.
func (o osFS) path(op, name string) (string, error) {
	local, err := filepath.Localize(name)
	if err != nil {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return filepath.Join(o.dir, local), nil
}

func (o osFS) Open(name string, write bool) (File, error) {
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	return o.open("open", name, flag)
}

func (o osFS) Create(name string) (File, error) {
	return o.open("create", name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (o osFS) open(op, name string, flag int) (File, error) {
	p, err := o.path(op, name)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(p, flag, 0o600)
	if err != nil {
		return nil, Wrap(err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = &fs.PathError{Op: op, Path: p, Err: errors.New("not a regular file")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	file := &osFile{f: f}
	file.quick.init(f)
	return file, nil
}

// Mkdir syncs the directory above a top that it makes, since SyncDir cannot
// reach it.
func (o osFS) Mkdir(name string) error {
	p, err := o.path("mkdir", name)
	if err != nil {
		return err
	}
	if name == "." {
		return o.mkTop(p)
	}
	if err := os.Mkdir(p, 0o700); err != nil {
		if st, serr := os.Stat(p); serr == nil && st.IsDir() {
			return nil
		}
		return Wrap(err)
	}
	return nil
}

func (o osFS) mkTop(p string) error {
	if st, err := os.Stat(p); err == nil && st.IsDir() {
		return nil
	}
	if err := os.MkdirAll(p, 0o700); err != nil {
		return Wrap(err)
	}
	return Wrap(syncDir(filepath.Dir(p)))
}

func (o osFS) List(dir string) ([]string, error) {
	p, err := o.path("list", dir)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

func (o osFS) Rename(oldname, newname string) error {
	p, err := o.path("rename", oldname)
	if err != nil {
		return err
	}
	q, err := o.path("rename", newname)
	if err != nil {
		return err
	}
	return Wrap(os.Rename(p, q))
}

func (o osFS) Remove(name string) error {
	p, err := o.path("remove", name)
	if err != nil {
		return err
	}
	return Wrap(os.Remove(p))
}

func (o osFS) SyncDir(dir string) error {
	p, err := o.path("syncdir", dir)
	if err != nil {
		return err
	}
	return Wrap(syncDir(p))
}

type osFile struct {
	f     *os.File
	quick quick
}

func (o *osFile) ReadAt(p []byte, off int64) (int, error) { return o.f.ReadAt(p, off) }

func (o *osFile) WriteAt(p []byte, off int64) (int, error) {
	n := o.quick.writeAt(p, off)
	if n == len(p) {
		return n, nil
	}
	more, err := o.f.WriteAt(p[n:], off+int64(n)) // which says why, if there is a reason
	return n + more, Wrap(err)
}

func (o *osFile) WriteParts(parts [][]byte, off int64) error {
	parts, off, err := o.writeVector(parts, off)
	if err != nil {
		return Wrap(&fs.PathError{Op: "write", Path: o.f.Name(), Err: err})
	}
	return WriteEach(o, parts, off)
}

func (o *osFile) Size() (int64, error) {
	st, err := o.f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (o *osFile) Close() error {
	o.quick.close()
	return Wrap(o.f.Close())
}

func (o *osFile) Sync() error { return o.syncFailed(o.control(syncData)) }

// syncAlone implements SyncAlone. What has failed is not tried again.
func (o *osFile) syncAlone() error {
	if done, err := o.quick.sync(); done {
		return o.syncFailed(err)
	}
	return o.Sync()
}

func (o *osFile) syncFailed(err error) error {
	if err != nil {
		return Wrap(&fs.PathError{Op: "sync", Path: o.f.Name(), Err: err})
	}
	return nil
}

// Allocate leaves a file that is already that long as it is, contents included.
func (o *osFile) Allocate(size int64) error {
	if size < 0 {
		return &fs.PathError{Op: "allocate", Path: o.f.Name(), Err: fs.ErrInvalid}
	}
	have, err := o.Size()
	if err != nil {
		return err
	}
	if have < size {
		err = o.control(func(fd uintptr) error { return reserve(fd, have, size) })
		if err != nil {
			return Wrap(&fs.PathError{Op: "allocate", Path: o.f.Name(), Err: err})
		}
	}
	// Cuts a longer file, and sets the length where reserve does not.
	return Wrap(o.f.Truncate(size))
}

// control runs fn with the file's descriptor, which stays valid meanwhile even
// if the file is closed concurrently.
func (o *osFile) control(fn func(fd uintptr) error) error {
	c, err := o.f.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := c.Control(func(fd uintptr) { ferr = fn(fd) }); err != nil {
		return err
	}
	return ferr
}

// Wrap puts ErrNoSpace into the chain of an error that a full disk caused.
func Wrap(err error) error {
	if err == nil || !isNoSpace(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrNoSpace, err)
}

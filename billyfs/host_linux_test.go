package billyfs

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// host plays histories on a plain directory, by file descriptors that name an
// object without opening it (O_PATH), so that they outlive a rename.
type host struct {
	t   tester
	top *hostObj
}

type hostObj struct{ fd int }

func (o *hostObj) close() { unix.Close(o.fd) }

// path names the object itself, also if it is a symlink.
func (o *hostObj) path() string { return fmt.Sprintf("/proc/self/fd/%d", o.fd) }

func openHost(t tester, dir string) *host {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	return &host{t: t, top: &hostObj{fd}}
}

func (h *host) root() obj { return h.top }

// kind translates an errno. EBUSY is what Linux says of "." and ".." in a
// rename, and ENXIO and ELOOP what it says of opening what is no file.
func (h *host) kind(err error) Kind {
	h.t.Helper()
	if err == nil {
		return 0
	}
	var no unix.Errno
	if !errors.As(err, &no) {
		h.t.Fatalf("not an errno: %v", err)
	}
	k, ok := map[unix.Errno]Kind{
		unix.ENOENT: NotExist, unix.EEXIST: Exist, unix.ENOTDIR: NotDir, unix.EISDIR: IsDir,
		unix.ENOTEMPTY: NotEmpty, unix.EINVAL: Invalid, unix.EBUSY: Invalid, unix.ENAMETOOLONG: NameTooLong,
		unix.EFBIG: TooBig, unix.EPERM: NotPermitted, unix.EMLINK: TooManyLinks, unix.EXDEV: CrossDevice,
	}[no]
	if !ok {
		h.t.Fatalf("the host says %v", no)
	}
	return k
}

func (h *host) stat(o obj) (Attr, Kind) {
	var st unix.Stat_t
	if err := unix.Fstat(o.(*hostObj).fd, &st); err != nil {
		return Attr{}, h.kind(err)
	}
	if st.Nlink == 0 {
		return Attr{}, Stale
	}
	a := Attr{Ino: Ino(st.Ino), Mode: st.Mode, Nlink: uint32(st.Nlink), UID: st.Uid, GID: st.Gid, Size: uint64(st.Size)}
	if t := st.Mode & TypeMask; t == TypeChar || t == TypeBlock {
		a.RdevMajor, a.RdevMinor = unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))
	}
	return a, 0
}

func (h *host) lookup(dir obj, name string) (obj, Kind) {
	d := dir.(*hostObj)
	if name == ".." && d == h.top {
		name = "."
	}
	fd, err := unix.Openat(d.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, h.kind(err)
	}
	o := &hostObj{fd}
	if a, _ := h.stat(o); name == ".." {
		if top, _ := h.stat(h.top); a.Ino == top.Ino {
			return h.top, 0
		}
	}
	return o, 0
}

// made finds what a call has made and gives it the mode that was asked for,
// whatever the umask.
func (h *host) made(dir obj, name string, mode uint32, err error) (obj, Kind) {
	h.t.Helper()
	if err != nil {
		return nil, h.kind(err)
	}
	o, k := h.lookup(dir, name)
	if k != 0 {
		h.t.Fatalf("made %q and cannot find it: %v", name, k)
	}
	a, _ := h.stat(o)
	if a.Mode&TypeMask == TypeSymlink {
		return o, 0
	}
	if a.Mode&TypeMask == TypeDir {
		mode |= a.Mode & setGID // inherited
	}
	return o, h.kind(unix.Chmod(o.(*hostObj).path(), mode&allPerms))
}

func (h *host) create(c Caller, dir obj, name string, how CreateHow) (obj, Kind) {
	d := dir.(*hostObj)
	old, k := h.lookup(dir, name)
	if k == 0 && old != h.top {
		defer old.(*hostObj).close()
	}
	flags := unix.O_CREAT | unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	if how.Mode != Unchecked {
		flags |= unix.O_EXCL
	} else if a, k2 := h.stat(d); k == 0 && k2 == 0 && a.Mode&TypeMask == TypeDir {
		// What open(2) does with links and FIFOs is not for NFS to do.
		if a, _ := h.stat(old); a.Mode&TypeMask != TypeRegular && a.Mode&TypeMask != TypeDir {
			return nil, Exist
		}
	}
	fd, err := unix.Openat(d.fd, name, flags, 0o600)
	if err != nil {
		return nil, h.kind(err)
	}
	unix.Close(fd)
	mode := *how.Attr.Mode
	if k == 0 {
		a, _ := h.stat(old)
		mode = a.Mode
	}
	o, k2 := h.lookup(dir, name)
	if k2 != 0 {
		return nil, k2
	}
	if k != 0 {
		if err := unix.Chmod(o.(*hostObj).path(), mode&allPerms); err != nil {
			return nil, h.kind(err)
		}
	}
	if how.Attr.Size != nil {
		return o, h.truncate(o, *how.Attr.Size)
	}
	return o, 0
}

func (h *host) mkdir(c Caller, dir obj, name string, mode uint32) (obj, Kind) {
	return h.made(dir, name, mode, unix.Mkdirat(dir.(*hostObj).fd, name, 0o700))
}

func (h *host) symlink(c Caller, dir obj, name, target string) (obj, Kind) {
	return h.made(dir, name, 0, unix.Symlinkat(target, dir.(*hostObj).fd, name))
}

func (h *host) mknod(c Caller, dir obj, name string, mode, major, minor uint32) (obj, Kind) {
	return h.made(dir, name, mode, unix.Mknodat(dir.(*hostObj).fd, name, mode&TypeMask|0o600, int(unix.Mkdev(major, minor))))
}

func (h *host) link(c Caller, o, dir obj, name string) Kind {
	return h.kind(unix.Linkat(unix.AT_FDCWD, o.(*hostObj).path(), dir.(*hostObj).fd, name, unix.AT_SYMLINK_FOLLOW))
}

func (h *host) remove(c Caller, dir obj, name string) Kind {
	return h.kind(unix.Unlinkat(dir.(*hostObj).fd, name, 0))
}

func (h *host) rmdir(c Caller, dir obj, name string) Kind {
	return h.kind(unix.Unlinkat(dir.(*hostObj).fd, name, unix.AT_REMOVEDIR))
}

func (h *host) rename(c Caller, from obj, fromName string, to obj, toName string) Kind {
	return h.kind(unix.Renameat(from.(*hostObj).fd, fromName, to.(*hostObj).fd, toName))
}

func (h *host) setattr(c Caller, o obj, s SetAttr) Kind {
	p := o.(*hostObj).path()
	if s.Size != nil {
		if k := h.truncate(o, *s.Size); k != 0 {
			return k
		}
	}
	if s.Mode != nil {
		if err := unix.Chmod(p, *s.Mode); err != nil {
			return h.kind(err)
		}
	}
	if s.UID != nil || s.GID != nil {
		uid, gid := -1, -1
		if s.UID != nil {
			uid = int(*s.UID)
		}
		if s.GID != nil {
			gid = int(*s.GID)
		}
		if err := unix.Fchownat(o.(*hostObj).fd, "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
			return h.kind(err)
		}
	}
	if s.Mtime != nil {
		return h.kind(utimes(p, *s.Atime, *s.Mtime))
	}
	return 0
}

// truncate uses ftruncate(2), which moves the times also if the size stays.
func (h *host) truncate(o obj, size uint64) Kind {
	fd, k := h.open(o, unix.O_WRONLY)
	if k != 0 {
		return k
	}
	defer unix.Close(fd)
	return h.kind(unix.Ftruncate(fd, int64(size)))
}

func utimes(p string, atime, mtime int64) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{unix.NsecToTimespec(atime), unix.NsecToTimespec(mtime)}, 0)
}

// open opens a regular file; others get the error that the tree gives.
func (h *host) open(o obj, flags int) (int, Kind) {
	a, k := h.stat(o)
	switch t := a.Mode & TypeMask; {
	case k != 0:
		return -1, k
	case t == TypeDir:
		flags = unix.O_WRONLY // which fails with EISDIR
	case t != TypeRegular:
		return -1, Invalid
	}
	fd, err := unix.Open(o.(*hostObj).path(), flags|unix.O_CLOEXEC, 0)
	return fd, h.kind(err)
}

func (h *host) write(c Caller, o obj, p []byte, off int64) Kind {
	fd, k := h.open(o, unix.O_WRONLY)
	if k != 0 {
		return k
	}
	defer unix.Close(fd)
	_, err := unix.Pwrite(fd, p, off)
	return h.kind(err)
}

func (h *host) read(o obj, size int, off int64) (string, Kind) {
	fd, k := h.open(o, unix.O_RDONLY)
	if k != 0 {
		return "", k
	}
	defer unix.Close(fd)
	p := make([]byte, size)
	n, err := unix.Pread(fd, p, off)
	return string(p[:max(n, 0)]), h.kind(err)
}

func (h *host) readlink(o obj) (string, Kind) {
	if a, k := h.stat(o); k != 0 || a.Mode&TypeMask != TypeSymlink {
		if k == 0 {
			k = Invalid
		}
		return "", k
	}
	p := make([]byte, 5000)
	n, err := unix.Readlinkat(o.(*hostObj).fd, "", p)
	return string(p[:max(n, 0)]), h.kind(err)
}

func (h *host) list(dir obj) (map[string]uint32, Kind) {
	f, err := os.Open(dir.(*hostObj).path())
	if err != nil {
		h.t.Fatalf("%v", err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		h.t.Fatalf("%v", err)
	}
	all := map[string]uint32{".": TypeDir, "..": TypeDir}
	for _, name := range names {
		var st unix.Stat_t
		if err := unix.Fstatat(dir.(*hostObj).fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			h.t.Fatalf("%v", err)
		}
		all[name] = st.Mode & TypeMask
	}
	return all, 0
}

// mark sets the host's mtime to one that no call can give, so that moved sees
// a change also within one tick of the kernel's clock.
const markTime = 86_400_000_000_000

func (h *host) mark(o obj) any {
	if _, k := h.stat(o); k != 0 {
		return false
	}
	if err := utimes(o.(*hostObj).path(), markTime, markTime); err != nil {
		h.t.Fatalf("%v", err)
	}
	return true
}

func (h *host) moved(o obj, mark any) (mtime, ctime, knows bool) {
	var st unix.Stat_t
	if err := unix.Fstat(o.(*hostObj).fd, &st); err != nil {
		h.t.Fatalf("%v", err)
	}
	return mark.(bool) && unix.TimespecToNsec(st.Mtim) != markTime, false, false
}

// TestTreeBehavesAsHost plays histories against a plain directory of this
// machine that began as a copy of the base: the same errno for every call, and
// the same tree at the end.
func TestTreeBehavesAsHost(t *testing.T) {
	if runtime.GOOS == "android" {
		t.Skip("no plain Linux")
	}
	base, stores, plains := newBase(t), storesDir(t), t.TempDir()
	if !countsSubdirs(t, base) {
		t.Skip("the temporary directory's file system does not count subdirectories in nlink")
	}
	checks(t, 1000)
	fsys := openRoot(t, base)
	rapid.Check(t, func(rt *rapid.T) {
		r := newRigSized(t, fsys, freshDir(stores), smallSegment)
		plain := freshDir(plains)
		if err := os.Mkdir(plain, 0o755); err != nil {
			t.Fatal(err)
		}
		populate(t, plain)
		want := openHost(rt, plain)
		h := newHistory(rt, r, want)
		h.onHost = true
		defer func() {
			for _, p := range h.held {
				p.want.(*hostObj).close()
			}
			os.RemoveAll(plain)
		}()
		for range steps {
			h.play()
		}
		h.finish()
		r.close()
		os.RemoveAll(r.dir)
	})
}

func countsSubdirs(t *testing.T, dir string) bool {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	return st.Nlink == 5 && !strings.HasPrefix(dir, "/proc")
}

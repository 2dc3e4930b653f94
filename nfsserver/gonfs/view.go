package gonfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/go-git/go-billy/v5"
	nfs "github.com/willscott/go-nfs"

	"deltafs/billyfs"
	"deltafs/nfsserver/handle"
)

// A path of a view is made for go-nfs and means an inode. FromHandle returns
// two elements, "P" and "I" with the inode's number: the first is its parent,
// which go-nfs gets by cutting off the last element; the second is the inode.
// A third is a name in that directory, just as it came from the client. Join
// makes "I…" or "I…/name" of them; what it has made it leaves alone. No
// element is ever guessed at: only the third can come from outside.
const tokenSize = 17 // a letter and 16 hexadecimal digits

func token(kind byte, ino billyfs.Ino) string { return fmt.Sprintf("%c%016x", kind, uint64(ino)) }

func pathOf(ino billyfs.Ino) []string { return []string{token('P', ino), token('I', ino)} }

// view is the tree as go-nfs sees it during one call.
type view struct {
	h    *Handler
	call *call // nil if the guard is not in front
	root billyfs.Ino
}

// place is what a path means: an inode, or a name in one.
type place struct {
	ino   billyfs.Ino
	name  string
	named bool
}

// Join implements billy.Basic for the paths that go-nfs makes.
func (v *view) Join(elem ...string) string {
	switch len(elem) {
	case 0:
		return token('I', v.root)
	case 1:
		return elem[0]
	case 2:
		return elem[1]
	}
	return elem[1] + "/" + strings.Join(elem[2:], "/")
}

func (v *view) place(p string) (place, error) {
	tok, name, named := strings.Cut(p, "/")
	if len(tok) != tokenSize {
		return place{}, invalid("resolve", strconv.Quote(p))
	}
	n, err := strconv.ParseUint(tok[1:], 16, 64)
	if err != nil {
		return place{}, invalid("resolve", strconv.Quote(p))
	}
	if tok[0] == 'P' {
		return place{ino: billyfs.Ino(n), name: "..", named: true}, nil
	}
	return place{ino: billyfs.Ino(n), name: name, named: named}, nil
}

// child is place for a path that must be a name that can be made or removed.
func (v *view) child(op, p string) (place, error) {
	at, err := v.place(p)
	if err != nil {
		return place{}, err
	}
	if !at.named {
		return place{}, invalid(op, p)
	}
	return at, checkName(op, at.name)
}

// checkName refuses the names that mean something else.
func checkName(op, name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return invalid(op, strconv.Quote(name))
	}
	return nil
}

// attr returns the attributes of what a path means.
func (v *view) attr(p string) (billyfs.Attr, error) {
	at, err := v.place(p)
	if err != nil {
		return billyfs.Attr{}, err
	}
	if !at.named {
		return v.h.fs.Attr(at.ino)
	}
	if at.name == "" || strings.ContainsAny(at.name, "/\x00") {
		return billyfs.Attr{}, invalid("lookup", strconv.Quote(at.name))
	}
	return v.h.fs.Lookup(at.ino, at.name)
}

// handle returns the handle of an inode, nil if there is none any more.
func (v *view) handle(ino billyfs.Ino) []byte {
	id, err := v.h.fs.Handle(ino)
	if err != nil {
		v.h.log.Debug("no handle", "inode", uint64(ino), "error", err)
		return nil
	}
	return v.h.codec.Append(nil, &id)
}

// note remembers how the last call on the tree ended, for the reply.
func (v *view) note(err error) {
	if v.call == nil {
		return
	}
	s := statusOf(err)
	if errors.Is(err, handle.ErrBad) {
		s = nfs.NFSStatusBadHandle
	}
	v.call.status.Store(uint32(s))
}

// acked remembers changes that the client is going to be told of.
func (v *view) acked(chs ...billyfs.Change) {
	for _, ch := range chs {
		v.h.acked(ch)
	}
	if v.call != nil {
		v.call.changes = chs
	}
}

// done ends each operation: it notes its outcome and dresses its error.
func (v *view) done(op, p string, err error) error {
	v.note(err)
	if err == nil {
		return nil
	}
	if k := billyfs.KindOf(err); k == billyfs.KindIO || k == billyfs.Drifted {
		v.h.log.Error("i/o error", "op", op, "error", err)
	} else {
		v.h.log.Debug("refused", "op", op, "error", err)
	}
	return osError(op, p, err)
}

func (v *view) caller() billyfs.Caller {
	if v.call == nil {
		return billyfs.Caller{UID: uint32(max(os.Getuid(), 0)), GID: uint32(max(os.Getgid(), 0))}
	}
	return v.call.caller
}

// wanted returns the attributes for a new object: what the call says, or perm.
func (v *view) wanted(perm os.FileMode) billyfs.SetAttr {
	var s billyfs.SetAttr
	if v.call != nil {
		s = v.call.set
	}
	if s.Mode == nil {
		m := wireMode(perm)
		s.Mode = &m
	}
	return s
}

// Stat does not follow symlinks, whatever its name says: that is the client's
// part, and go-nfs would follow them on its behalf in the wrong places.
func (v *view) Stat(p string) (fs.FileInfo, error) { return v.Lstat(p) }

// Lstat returns the attributes of what a path means.
func (v *view) Lstat(p string) (fs.FileInfo, error) {
	a, err := v.attr(p)
	if err := v.done("lstat", p, err); err != nil {
		return nil, err
	}
	return newInfo(p, a), nil
}

// ReadDir returns the whole directory; see listings.
func (v *view) ReadDir(p string) ([]fs.FileInfo, error) {
	at, err := v.place(p)
	if err == nil && at.named {
		err = invalid("readdir", p)
	}
	if err != nil {
		return nil, v.done("readdir", p, err)
	}
	infos, err := list(v.h.fs, at.ino)
	return infos, v.done("readdir", p, err)
}

// Readlink returns the target of a symlink.
func (v *view) Readlink(p string) (string, error) {
	a, err := v.attr(p)
	if err != nil {
		return "", v.done("readlink", p, err)
	}
	target, err := v.h.fs.Readlink(a.Ino)
	return target, v.done("readlink", p, err)
}

// Create makes a regular file as the call says. An existing one is not
// truncated: a size that the call asks for is part of its attributes.
func (v *view) Create(p string) (billy.File, error) {
	at, err := v.child("create", p)
	if err != nil {
		return nil, v.done("create", p, err)
	}
	var how billyfs.CreateHow
	if v.call != nil {
		how = v.call.how
	}
	if how.Attr.Mode == nil {
		m := uint32(0o644)
		how.Attr.Mode = &m
	}
	a, ch, err := v.h.fs.Create(v.caller(), at.ino, at.name, how)
	v.acked(ch)
	if err := v.done("create", p, err); err != nil {
		return nil, err
	}
	return &file{v: v, path: p, ino: a.Ino}, nil
}

// Open opens for reading.
func (v *view) Open(p string) (billy.File, error) { return v.OpenFile(p, os.O_RDONLY, 0) }

// OpenFile opens an existing file; flags that would make or truncate one are
// not supported.
func (v *view) OpenFile(p string, flag int, _ os.FileMode) (billy.File, error) {
	a, err := v.attr(p)
	switch {
	case err != nil:
	case flag&(os.O_CREATE|os.O_TRUNC|os.O_APPEND) != 0:
		err = unsupported("open", p)
	case a.Mode&billyfs.TypeMask == billyfs.TypeDir:
		err = &billyfs.Error{Op: "open", Path: p, Kind: billyfs.IsDir}
	case a.Mode&billyfs.TypeMask != billyfs.TypeRegular:
		err = invalid("open", p)
	}
	if err := v.done("open", p, err); err != nil {
		return nil, err
	}
	return &file{v: v, path: p, ino: a.Ino}, nil
}

// Remove removes what the call may remove: REMOVE no directory, RMDIR nothing
// else, and without the guard, both.
func (v *view) Remove(p string) error {
	at, err := v.child("remove", p)
	if err != nil {
		return v.done("remove", p, err)
	}
	dir := v.call != nil && v.call.proc == nfs.NFSProcedureRmDir
	if v.call == nil {
		a, err := v.attr(p)
		if err != nil {
			return v.done("remove", p, err)
		}
		dir = a.Mode&billyfs.TypeMask == billyfs.TypeDir
	}
	remove := v.h.fs.Remove
	if dir {
		remove = v.h.fs.Rmdir
	}
	ch, err := remove(v.caller(), at.ino, at.name)
	v.acked(ch)
	return v.done("remove", p, err)
}

// Rename moves a name.
func (v *view) Rename(from, to string) error {
	src, err := v.child("rename", from)
	if err != nil {
		return v.done("rename", from, err)
	}
	dst, err := v.child("rename", to)
	if err != nil {
		return v.done("rename", to, err)
	}
	a, b, err := v.h.fs.Rename(v.caller(), src.ino, src.name, dst.ino, dst.name)
	v.acked(a, b)
	return v.done("rename", from, err)
}

// MkdirAll makes one directory; MKDIR wants an error if there is one.
func (v *view) MkdirAll(p string, perm os.FileMode) error {
	at, err := v.child("mkdir", p)
	if err == nil {
		if v.call != nil {
			perm = 0o755 // go-nfs's own default is 755 in decimal
		}
		var ch billyfs.Change
		_, ch, err = v.h.fs.Mkdir(v.caller(), at.ino, at.name, v.wanted(perm))
		v.acked(ch)
	}
	return v.done("mkdir", p, err)
}

// Symlink makes a symbolic link.
func (v *view) Symlink(target, p string) error {
	at, err := v.child("symlink", p)
	if err == nil {
		var ch billyfs.Change
		_, ch, err = v.h.fs.Symlink(v.caller(), at.ino, at.name, target, v.wanted(0o777))
		v.acked(ch)
	}
	return v.done("symlink", p, err)
}

// TempFile and Chroot are not supported: no NFS call needs them.
func (v *view) TempFile(dir, prefix string) (billy.File, error) {
	return nil, billy.ErrNotSupported
}

// Chroot is not supported.
func (v *view) Chroot(string) (billy.Filesystem, error) { return nil, billy.ErrNotSupported }

// Root returns the path of the root.
func (v *view) Root() string { return token('I', v.root) }

// Capabilities says that everything but locks works.
func (v *view) Capabilities() billy.Capability {
	return billy.AllCapabilities &^ billy.LockCapability
}

package billyfs

import (
	"errors"
	"fmt"
	"io/fs"

	"deltafs/deltalog"
)

// Kind is one of the closed list of reasons for which a call on the tree can
// fail. Servers map it to their protocol's codes, in one table.
type Kind uint8

const (
	KindIO       Kind = iota + 1 // base or store failed; the cause is wrapped
	NotExist                     // ENOENT
	Exist                        // EEXIST
	NotDir                       // ENOTDIR
	IsDir                        // EISDIR
	NotEmpty                     // ENOTEMPTY
	Invalid                      // EINVAL
	NameTooLong                  // ENAMETOOLONG
	TooBig                       // EFBIG
	NoSpace                      // ENOSPC
	ReadOnly                     // EROFS: the store is read-only or poisoned
	Stale                        // ESTALE: no such object any more
	NotPermitted                 // EPERM
	Access                       // EACCES: the base refuses to show an object
	TooManyLinks                 // EMLINK
	CrossDevice                  // EXDEV
	NotSupported                 // ENOTSUP
	NotSync                      // the guard of a SetAttr did not match
	Busy                         // EAGAIN: the store is making room; nothing has happened
	Drifted                      // EIO: the base changed underneath; the way out is discard or accept-base
)

// Error says which operation failed on which object, and why.
type Error struct {
	Op   string
	Path string // a path of the export, or "inode N"
	Kind Kind
	Err  error // cause, may be nil
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Kind)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is work with the errors of io/fs.
func (e *Error) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return e.Kind == NotExist || e.Kind == Stale
	case fs.ErrExist:
		return e.Kind == Exist || e.Kind == NotEmpty
	case fs.ErrPermission:
		return e.Kind == Access || e.Kind == NotPermitted
	case fs.ErrInvalid:
		return e.Kind == Invalid
	}
	return false
}

// KindOf returns the kind of err, KindIO for an error from elsewhere, 0 for nil.
func KindOf(err error) Kind {
	if err == nil {
		return 0
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindIO
}

var kindNames = [...]string{
	KindIO: "input/output error", NotExist: "no such file or directory", Exist: "file exists",
	NotDir: "not a directory", IsDir: "is a directory", NotEmpty: "directory not empty",
	Invalid: "invalid argument", NameTooLong: "file name too long", TooBig: "file too large",
	NoSpace: "no space left for the delta", ReadOnly: "read-only store", Stale: "stale file handle",
	NotPermitted: "operation not permitted", Access: "permission denied by the base",
	TooManyLinks: "too many links", CrossDevice: "cross-device link", NotSupported: "not supported",
	NotSync: "changed in between", Drifted: "base changed underneath",
	Busy: "busy, try again",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "unknown error"
}

// fail makes the error of an operation on an inode.
func fail(op string, ino Ino, kind Kind, cause error) *Error {
	return &Error{Op: op, Path: fmt.Sprintf("inode %d", ino), Kind: kind, Err: cause}
}

// failName makes the error of an operation on a name in a directory.
func failName(op string, dir Ino, name string, kind Kind, cause error) *Error {
	return &Error{Op: op, Path: fmt.Sprintf("inode %d/%q", dir, name), Kind: kind, Err: cause}
}

// storeKind is the one table from the store's errors to kinds. A poisoned
// store is KindIO, not ReadOnly: data that was taken may be lost, and the
// caller must hear of it.
func storeKind(err error) Kind {
	switch {
	case errors.Is(err, deltalog.ErrNoSpace):
		return NoSpace
	case errors.Is(err, deltalog.ErrBusy):
		return Busy
	case errors.Is(err, deltalog.ErrReadOnly):
		return ReadOnly
	case errors.Is(err, deltalog.ErrTooBig):
		return TooBig
	}
	return KindIO
}

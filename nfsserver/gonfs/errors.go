package gonfs

import (
	"io/fs"
	"syscall"

	nfs "github.com/willscott/go-nfs"

	"deltafs/billyfs"
)

// statuses maps what can go wrong in the tree to NFSv3.
var statuses = [...]nfs.NFSStatus{
	billyfs.KindIO: nfs.NFSStatusIO, billyfs.NotExist: nfs.NFSStatusNoEnt, billyfs.Exist: nfs.NFSStatusExist,
	billyfs.NotDir: nfs.NFSStatusNotDir, billyfs.IsDir: nfs.NFSStatusIsDir, billyfs.NotEmpty: nfs.NFSStatusNotEmpty,
	billyfs.Invalid: nfs.NFSStatusInval, billyfs.NameTooLong: nfs.NFSStatusNameTooLong, billyfs.TooBig: nfs.NFSStatusFBig,
	billyfs.NoSpace: nfs.NFSStatusNoSPC, billyfs.ReadOnly: nfs.NFSStatusROFS, billyfs.Stale: nfs.NFSStatusStale,
	billyfs.NotPermitted: nfs.NFSStatusPerm, billyfs.Access: nfs.NFSStatusAccess, billyfs.TooManyLinks: nfs.NFSStatusMlink,
	billyfs.CrossDevice: nfs.NFSStatusXDev, billyfs.NotSupported: nfs.NFSStatusNotSupp, billyfs.NotSync: nfs.NFSStatusNotSync,
	billyfs.Drifted: nfs.NFSStatusIO, billyfs.Busy: nfs.NFSStatusJukebox,
}

// statusOf returns the NFSv3 status of an error of the tree, OK for nil.
func statusOf(err error) nfs.NFSStatus {
	k := billyfs.KindOf(err)
	if int(k) < len(statuses) {
		return statuses[k]
	}
	return nfs.NFSStatusIO
}

// osError dresses an error of the tree so that go-nfs, which asks os.IsNotExist
// and the like, sees what it is.
func osError(op, path string, err error) error {
	switch billyfs.KindOf(err) {
	case billyfs.NotExist, billyfs.Stale:
		err = fs.ErrNotExist
	case billyfs.Exist:
		err = fs.ErrExist
	case billyfs.Access, billyfs.NotPermitted, billyfs.ReadOnly:
		err = fs.ErrPermission
	case billyfs.NoSpace:
		err = syscall.ENOSPC
	case billyfs.TooBig:
		err = syscall.EFBIG
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

func invalid(op, path string) error {
	return &billyfs.Error{Op: op, Path: path, Kind: billyfs.Invalid}
}

func unsupported(op, path string) error {
	return &billyfs.Error{Op: op, Path: path, Kind: billyfs.NotSupported}
}

func tooBig(op, path string) error {
	return &billyfs.Error{Op: op, Path: path, Kind: billyfs.TooBig}
}

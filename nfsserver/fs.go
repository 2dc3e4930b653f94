package nfsserver

import "deltafs/billyfs"

// Reader is the part of a file system that reads. All methods may be called
// concurrently and return *billyfs.Error.
type Reader interface {
	Root() billyfs.Ino
	// Lookup finds a name in a directory; "." and ".." too.
	Lookup(dir billyfs.Ino, name string) (billyfs.Attr, error)
	// Cached is the part of Lookup that leaves no garbage: the number of what a
	// name stands for, if it is known without asking anybody.
	Cached(dir billyfs.Ino, name []byte) (billyfs.Ino, bool)
	Attr(ino billyfs.Ino) (billyfs.Attr, error)
	// Changed is the part of Attr that does not wait for the base.
	Changed(ino billyfs.Ino) (billyfs.Attr, bool)
	Readlink(ino billyfs.Ino) (string, error)
	ReadAt(ino billyfs.Ino, p []byte, off int64) (n int, eof bool, err error)
	// ReadDir lists the entries behind cookie in order of cookie.
	ReadDir(dir billyfs.Ino, cookie uint64, fn func(billyfs.DirEntry) bool) (eof bool, err error)
	// ReadDirPlus is ReadDir with attributes and identities.
	ReadDirPlus(dir billyfs.Ino, cookie uint64, fn func(billyfs.DirEntry, *billyfs.Plus) bool) (eof bool, err error)
	// Stamp is the moment of now; Unchanged tells whether what was read since one would be read again.
	Stamp() billyfs.Stamp
	Unchanged(billyfs.Stamp) bool
	// Ages tells that it is time to call Renew.
	Ages(billyfs.Stamp) bool
	// Renew has a stamp of what ReadDirPlus said of the entries in (cookie, last] hold for longer, if they have not changed.
	Renew(s billyfs.Stamp, dir billyfs.Ino, cookie, last uint64) (billyfs.Stamp, bool)
}

// Writer is the part that changes objects and names that exist. A change is
// atomic, and has left the process when the call returns; Sync makes it
// survive the machine.
type Writer interface {
	SetAttr(c billyfs.Caller, ino billyfs.Ino, s billyfs.SetAttr) (billyfs.Change, error)
	// WriteSummed writes p, whose sums are those of billyfs.AppendSum, or nil.
	WriteSummed(c billyfs.Caller, ino billyfs.Ino, p, sums []byte, off int64) (billyfs.Change, error)
	Remove(c billyfs.Caller, dir billyfs.Ino, name string) (billyfs.Change, error)
	Rmdir(c billyfs.Caller, dir billyfs.Ino, name string) (billyfs.Change, error)
	Rename(c billyfs.Caller, fromDir billyfs.Ino, fromName string, toDir billyfs.Ino, toName string) (from, to billyfs.Change, err error)
	Sync(lsn billyfs.LSN) error
	// SyncAlone is Sync where nothing else goes on in the server, as far as the caller knows.
	SyncAlone(lsn billyfs.LSN) error
	// SyncLater has w told when Sync would return; it is false if that is at once.
	SyncLater(lsn billyfs.LSN, w billyfs.Waiter) bool
	// Tags calls fn with the tags of the last changes, also of an earlier
	// process, oldest first.
	Tags(fn func(tag []byte)) error
}

// Maker is the part that makes names.
type Maker interface {
	Create(c billyfs.Caller, dir billyfs.Ino, name string, how billyfs.CreateHow) (billyfs.Attr, billyfs.Change, error)
	Mkdir(c billyfs.Caller, dir billyfs.Ino, name string, s billyfs.SetAttr) (billyfs.Attr, billyfs.Change, error)
	Symlink(c billyfs.Caller, dir billyfs.Ino, name, target string, s billyfs.SetAttr) (billyfs.Attr, billyfs.Change, error)
	Mknod(c billyfs.Caller, dir billyfs.Ino, name string, typ, major, minor uint32, s billyfs.SetAttr) (billyfs.Attr, billyfs.Change, error)
	Link(c billyfs.Caller, ino, dir billyfs.Ino, name string) (billyfs.Attr, billyfs.Change, error)
}

// Identity is the part that names objects for good.
type Identity interface {
	View() uint64
	Handle(ino billyfs.Ino) (billyfs.Handle, error)
	Resolve(h billyfs.Handle) (billyfs.Ino, error)
}

// FS is what a server needs of a file system.
type FS interface {
	Reader
	Writer
	Maker
	Identity
}

var _ FS = (*billyfs.Tree)(nil)

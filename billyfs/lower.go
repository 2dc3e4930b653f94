package billyfs

// Lower is the read-only inode tree that the delta lies over: the base. All methods may be called concurrently. Errors are *Error;
// an inode that is no longer there is Stale.
type Lower interface {
	Root() Ino
	// Lookup finds a name in a directory; NotExist if there is none.
	Lookup(dir Ino, name string) (Ino, error)
	// Attr returns the attributes. Never opens the object.
	Attr(ino Ino) (Attr, error)
	// ReadDir returns all entries of a directory in order of cookie, then name,
	// without "." and "..". The slice is shared: callers must not change it.
	ReadDir(dir Ino) ([]DirEntry, error)
	// ReadAt reads a regular file as io.ReaderAt does; io.EOF at its end.
	ReadAt(ino Ino, p []byte, off int64) (int, error)
	Readlink(ino Ino) (string, error)
}

package billyfs

import (
	"log/slog"

	"github.com/go-git/go-billy/v5"

	"deltafs/deltalog"
)

// Options of Open. The zero value is what a server wants.
type Options struct {
	// Immutable says that the base cannot change (a read-only image), so that
	// it is never checked for drift.
	Immutable bool
	Log       *slog.Logger // nil: discarded
	Now       func() int64 // nanoseconds since 1970; nil: the clock
}

// Tree is the merged tree of a base and a delta. All methods may be called
// concurrently.
type Tree struct{}

// Open merges base and the live layer of store. The tree neither closes nor
// owns either. Nothing is written until something changes.
func Open(base billy.Filesystem, store *deltalog.Store, o Options) (*Tree, error) {
	panic("not built")
}

func (t *Tree) Root() Ino    { panic("not built") }
func (t *Tree) View() uint64 { panic("not built") }

// Lookup finds a name in a directory; "." and ".." too (".." of the root is the root).
func (t *Tree) Lookup(dir Ino, name string) (Attr, error) { panic("not built") }
func (t *Tree) Attr(ino Ino) (Attr, error)                { panic("not built") }
func (t *Tree) SetAttr(c Caller, ino Ino, s SetAttr) (Change, error) {
	panic("not built")
}
func (t *Tree) Readlink(ino Ino) (string, error) { panic("not built") }

// ReadAt reads up to len(p) bytes; eof says that the file ends at off+n or before.
func (t *Tree) ReadAt(ino Ino, p []byte, off int64) (n int, eof bool, err error) {
	panic("not built")
}

// WriteAt writes all of p.
func (t *Tree) WriteAt(c Caller, ino Ino, p []byte, off int64) (Change, error) {
	panic("not built")
}

// Calls that make a name return the object's attributes and the change of the directory.
func (t *Tree) Create(c Caller, dir Ino, name string, how CreateHow) (Attr, Change, error) {
	panic("not built")
}
func (t *Tree) Mkdir(c Caller, dir Ino, name string, s SetAttr) (Attr, Change, error) {
	panic("not built")
}
func (t *Tree) Symlink(c Caller, dir Ino, name, target string, s SetAttr) (Attr, Change, error) {
	panic("not built")
}

// Mknod makes a FIFO, socket, or device: typ is one of the Type constants.
func (t *Tree) Mknod(c Caller, dir Ino, name string, typ, major, minor uint32, s SetAttr) (Attr, Change, error) {
	panic("not built")
}
func (t *Tree) Link(c Caller, ino, dir Ino, name string) (Attr, Change, error) {
	panic("not built")
}
func (t *Tree) Remove(c Caller, dir Ino, name string) (Change, error) { panic("not built") }
func (t *Tree) Rmdir(c Caller, dir Ino, name string) (Change, error)  { panic("not built") }

// Rename returns the changes of both directories; they are the same if those are.
func (t *Tree) Rename(c Caller, fromDir Ino, fromName string, toDir Ino, toName string) (from, to Change, err error) {
	panic("not built")
}

// ReadDir calls fn for the entries behind cookie (0: from the start, with "."
// and ".." first) in order of cookie until fn returns false. Entries of one
// cookie must be taken or left together: see doc.go, "Listings". eof says that
// fn has seen the last one.
func (t *Tree) ReadDir(dir Ino, cookie uint64, fn func(DirEntry) bool) (eof bool, err error) {
	panic("not built")
}

// Sync returns when all changes up to lsn survive the machine's death.
func (t *Tree) Sync(lsn LSN) error { panic("not built") }

// Handle returns the identity of an object; Resolve finds it again, also in a
// later process. An object that is gone is Stale.
func (t *Tree) Handle(ino Ino) (Handle, error)  { panic("not built") }
func (t *Tree) Resolve(h Handle) (Ino, error)   { panic("not built") }

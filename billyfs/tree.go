package billyfs

import (
	"cmp"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-git/go-billy/v5"

	"deltafs/deltalog"
)

// Options of Open. The zero value is what a server wants.
type Options struct {
	// Immutable says that the base cannot change (a read-only image), so that
	// it is never checked for drift.
	Immutable bool
	Line      string       // name of the live line; empty: main
	Log       *slog.Logger // nil: discarded
	Now       func() int64 // nanoseconds since 1970; nil: the clock
}

// Tree is the merged tree of a base and a delta. All methods may be called
// concurrently. Errors are *Error; a call that fails has changed nothing.
type Tree struct {
	base  *base
	store *deltalog.Store
	line  string
	layer atomic.Uint32 // the live layer of the line: see live
	view  uint64
	// stack is held shared while something is changed, and alone while the line
	// goes on in another layer. It is taken before the locks of inodes.
	stack    sync.RWMutex
	epoch    atomic.Uint64 // moves when the line goes back: see state
	log      *slog.Logger
	now      func() int64
	nodes    nodeTable
	dentries dentryCache
	renames  sync.Mutex // held while a directory moves to another parent
}

// Open merges base and the live layer of store. The tree neither closes nor
// owns either. Nothing is written until something changes.
func Open(fs billy.Filesystem, store *deltalog.Store, o Options) (*Tree, error) {
	line := cmp.Or(o.Line, MainLine)
	layer, ok := store.LayerNamed(line)
	if !ok || !layer.Live() {
		err := fmt.Errorf("%w: there is no live line %q", deltalog.ErrNoLayer, line)
		return nil, &Error{Op: "open", Path: "store", Kind: storeKind(err), Err: err}
	}
	t := &Tree{store: store, line: line, view: layer.View, log: o.Log, now: o.Now}
	t.layer.Store(uint32(layer.ID))
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	if t.now == nil {
		t.now = func() int64 { return time.Now().UnixNano() }
	}
	t.nodes.init()
	t.dentries.init()
	b, err := openBase(fs, store.Key("inode"), baseOptions{immutable: o.Immutable, log: t.log, origin: t.origin, now: t.now})
	if err != nil {
		return nil, err
	}
	t.base = b
	return t, nil
}

// Close gives back the files of the base that the tree keeps open. Base and
// store stay open: they are the caller's. No call may be running or follow.
func (t *Tree) Close() error { return t.base.close() }

// Root returns the number of the root directory.
func (t *Tree) Root() Ino { return t.base.Root() }

// View returns the id of the view, which handles carry beside the store's id.
func (t *Tree) View() uint64 { return t.view }

// Sync returns when all changes up to lsn survive the machine's death.
func (t *Tree) Sync(lsn LSN) error {
	if err := t.store.Sync(lsn); err != nil {
		return &Error{Op: "sync", Path: "store", Kind: storeKind(err), Err: err}
	}
	return nil
}

// Tags calls fn with the tags (Caller.Tag) of the last changes, oldest first,
// those of an earlier process too. A tag is valid until fn returns.
func (t *Tree) Tags(fn func(tag []byte)) error {
	if err := t.store.Tags(fn); err != nil {
		return &Error{Op: "tags", Path: "store", Kind: storeKind(err), Err: err}
	}
	return nil
}

// origin is what the base asks to find an object of which it knows no more
// than the number.
func (t *Tree) origin(ino Ino) (place, bool, error) {
	o, ok, err := t.store.Origin(ino)
	if err != nil {
		return place{}, false, fail("origin", ino, storeKind(err), err)
	}
	return place{parent: o.Parent, name: o.Name}, ok, nil
}

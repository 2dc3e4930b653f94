package billyfs

import (
	"cmp"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/go-git/go-billy/v5"

	"deltafs/billyfs/coarse"
	"deltafs/deltalog"
)

// Options of Open. The zero value is what a server wants.
type Options struct {
	// Immutable says that the base cannot change (a read-only image), so that
	// it is never checked for drift.
	Immutable bool
	Known     int          // files of the base that are kept in mind with their attributes, some 300 bytes each; 0: 131072
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
	changes  eras          // of all that is shown: see Stamp
	shifts   atomic.Uint64 // moves before what a name stands for passes from the delta to the base: see resolve
	log      *slog.Logger
	now      func() int64 // nanoseconds since 1970
	lately   func() int64 // the same, maybe a bit late, and cheap
	nodes    nodeTable
	dentries dentryCache
	renames  sync.Mutex // held while a directory moves to another parent

	committing sync.Mutex  // one commit at a time
	unfinished atomic.Bool // a commit has begun: layers stay as they are until it is done
	applying   sync.Map    // Ino: objects of the base that a commit is changing
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
	if t.lately = t.now; t.now == nil {
		t.now, t.lately = coarse.Precise, coarse.Now
	}
	t.nodes.init()
	bo := t.baseOptions(o)
	err := store.EachEntry(deltalog.BaseLayer, func(Ino, deltalog.DirEntry) bool {
		bo.some = true
		return false
	})
	if err != nil {
		return nil, &Error{Op: "open", Path: "store", Kind: storeKind(err), Err: err}
	}
	if t.base, err = openBase(fs, store.Key("inode"), bo); err != nil {
		return nil, err
	}
	t.dentries.init(t.base.objs.most)
	return t, t.findUnfinished()
}

// Close gives back the files of the base that the tree keeps open. Base and
// store stay open: they are the caller's. No call may be running or follow.
func (t *Tree) Close() error { return t.base.close() }

// Root returns the number of the root directory.
func (t *Tree) Root() Ino { return t.base.Root() }

// View returns the id of the view, which handles carry beside the store's id.
func (t *Tree) View() uint64 { return t.view }

// Sync returns when all changes up to lsn survive the machine's death.
func (t *Tree) Sync(lsn LSN) error { return synced(t.store.Sync(lsn)) }

// SyncAlone is Sync for callers who know of nothing else that goes on in the process, which need
// not be so: it may be done earlier.
func (t *Tree) SyncAlone(lsn LSN) error { return synced(t.store.SyncAlone(lsn)) }

func synced(err error) error {
	if err != nil {
		return &Error{Op: "sync", Path: "store", Kind: storeKind(err), Err: err}
	}
	return nil
}

// Waiter is told by [Tree.SyncLater].
type Waiter = deltalog.Waiter

// SyncLater is Sync for callers that do something else meanwhile: w is told by another goroutine.
// It is false, and w is told nothing, if Sync would return at once. The error that w is told is
// not an *Error: Sync returns that, at once.
func (t *Tree) SyncLater(lsn LSN, w Waiter) bool { return t.store.SyncLater(lsn, w) }

// Tags calls fn with the tags (Caller.Tag) of the last changes, oldest first,
// those of an earlier process too. A tag is valid until fn returns.
func (t *Tree) Tags(fn func(tag []byte)) error {
	if err := t.store.Tags(fn); err != nil {
		return &Error{Op: "tags", Path: "store", Kind: storeKind(err), Err: err}
	}
	return nil
}

// there fails with Stale unless an object in state s is there, as far as that can be told
// without a look at the base.
func (t *Tree) there(op string, ino Ino, s *state) error {
	gone := s.dead()
	if s.rec == nil && ino&deltalog.Born != 0 {
		in, err := t.base.has(ino)
		if err != nil {
			return err
		}
		gone = !in
	}
	if gone {
		return fail(op, ino, Stale, nil)
	}
	return nil
}

// inBase tells whether an object is one of the base: it was always, or a commit has made it one.
func (t *Tree) inBase(ino Ino) bool {
	if ino&deltalog.Born == 0 {
		return true
	}
	in, err := t.base.has(ino)
	return in && err == nil
}

// baseOptions are what the base asks of the store.
func (t *Tree) baseOptions(o Options) baseOptions {
	id := t.store.ID()
	b := baseOptions{immutable: o.Immutable, known: o.Known, log: t.log, now: t.now, lately: t.lately, hidden: fmt.Sprintf(".deltafs-%x-", id[:6])}
	wrap := func(op string, ino Ino, err error) error {
		if err == nil {
			return nil
		}
		return fail(op, ino, storeKind(err), err)
	}
	b.origin = func(ino Ino) (deltalog.Origin, bool, error) {
		o, ok, err := t.store.Origin(ino)
		return o, ok, wrap("origin", ino, err)
	}
	b.pinAt = func(at place) (Ino, error) {
		e, _, err := t.store.Entry(deltalog.BaseLayer, at.parent, t.base.cookie(at.name), at.name)
		return e.Ino, wrap("pin", at.parent, err)
	}
	b.eachPin = func(dir Ino, fn func(string, Ino)) error {
		return wrap("pin", dir, t.store.Entries(deltalog.BaseLayer, dir, 0, func(e deltalog.DirEntry) bool {
			fn(e.Name, e.Ino)
			return true
		}))
	}
	b.recorded = func(ino Ino) (deltalog.Fingerprint, bool, error) {
		r, ok, err := t.store.Inode(t.live(), ino)
		return r.Base, ok, wrap("record", ino, err)
	}
	b.eachPinned = func(fn func(Ino, deltalog.Origin)) error {
		return wrap("pin", RootIno, t.store.EachOrigin(func(ino Ino, o deltalog.Origin) bool {
			if o.Pinned {
				fn(ino, o)
			}
			return true
		}))
	}
	return b
}

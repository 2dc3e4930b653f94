package billyfs

import (
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-git/go-billy/v5"

	"deltafs/billyfs/coarse"
	"deltafs/deltalog"
)

// Bounds of what the base adapter keeps in memory, and for how long it
// believes it if the base can change.
const (
	knownFiles   = 1 << 17 // objects known by number; directories do not count
	maxListed    = 1 << 17 // entries of cached listings
	maxOpenFiles = 256
	maxDepth     = 1 << 12 // directories above an object
	trust        = int64(time.Second)
)

// place is where in the base an object lies: in which directory, by which name.
type place struct {
	parent Ino
	name   string
}

// baseOptions are what openBase needs beside the file system.
type baseOptions struct {
	immutable bool         // the base cannot change: whatever was read once is believed for good
	log       *slog.Logger // nil: discarded
	// origin asks the store where an object lies that this process has not met
	// yet. It is called without locks held. nil: nothing is known.
	origin func(Ino) (deltalog.Origin, bool, error)
	// recorded asks the store what the base said of an object when it was changed. nil: nothing was.
	recorded func(Ino) (deltalog.Fingerprint, bool, error)
	now      func() int64 // nanoseconds since 1970; nil: the clock
	lately   func() int64 // the same, maybe a bit late, and cheap; nil: as now
	known    int          // files that are kept in mind; 0: knownFiles
	hidden   string       // prefix of names that are not shown: a commit's
	// What the store knows of pins; all nil: there can be none.
	pinAt      func(place) (Ino, error)
	eachPin    func(dir Ino, fn func(name string, ino Ino)) error
	eachPinned func(fn func(Ino, deltalog.Origin)) error
	some       bool // there are some
}

// base shows a billy.Filesystem as a Lower. It never writes to it. All methods
// may be called concurrently; no lock is held over a call of the file system
// but those of a file being opened (fdcache.go).
//
// An object is known from its first Lookup or ReadDir on. One that is not
// known (after a restart, or because it was forgotten) is found through its
// origin in the store, or along its handle (find); else it is Stale.
type base struct {
	fs      billy.Filesystem
	id      identity
	secret  [32]byte
	noTimes bool // the file system makes times up: they say nothing
	baseOptions
	opened int64 // now at openBase
	// weakCookie replaces cookieOf in tests of what happens when hashes collide.
	weakCookie func(name string) uint64

	// A commit changes names of the base: moves is odd while it does, and it has moving
	// then. See at.
	moving sync.Mutex
	moves  atomic.Uint64
	seen   eras        // changes of what the base has said
	pinned atomic.Bool // there may be pins

	objs objTable

	// A commit has mu for what must be seen as one change of what is known; who enters objects shares it.
	mu   sync.RWMutex
	pins pins

	lists listCache
	dirs  listCache // subdirectories alone; see subdirs
	fds   fdCache
	reads aheadReads
	held  dirCache
	warns warnings
}

var _ Lower = (*base)(nil)

// openBase adapts fs. key makes the numbers: it must be the same each time a
// store is opened. A root that is no directory, or is gone, is an error that
// names it.
func openBase(fsys billy.Filesystem, key [32]byte, o baseOptions) (*base, error) {
	b := &base{
		fs: fsys, id: newIdentity(key), secret: key, baseOptions: o,
		pins: pins{placed: map[place]Ino{}, lies: map[Ino]deltalog.Origin{}},
	}
	b.pinned.Store(o.some)
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.origin == nil {
		b.origin = func(Ino) (deltalog.Origin, bool, error) { return deltalog.Origin{}, false, nil }
	}
	switch {
	case b.now == nil:
		b.now, b.lately = coarse.Precise, coarse.Now
	case b.lately == nil:
		b.lately = b.now
	}
	if o.known <= 0 {
		o.known = knownFiles
	}
	b.objs.init(o.known)
	b.opened = b.now()
	b.lists.init(maxListed)
	b.dirs.init(maxListed / 4)
	b.fds.init(maxOpenFiles)
	if err := b.openRoot(); err != nil {
		return nil, err
	}
	b.held.init(openDirs())
	return b, nil
}

// openRoot enters the root, and finds out whether times mean anything: memfs
// answers with the time of the question.
func (b *base) openRoot() error {
	fi, err := b.fs.Lstat(rootPath)
	if err != nil {
		return &Error{Op: "open base", Path: b.fs.Root(), Kind: KindIO, Err: err}
	}
	if !fi.IsDir() {
		return &Error{Op: "open base", Path: b.fs.Root(), Kind: NotDir}
	}
	if !statOf(fi).known {
		time.Sleep(time.Microsecond)
		again, err := b.fs.Lstat(rootPath)
		b.noTimes = err == nil && !again.ModTime().Equal(fi.ModTime())
	}
	root := &object{ino: RootIno, typ: TypeDir, gen: b.id.genPlain(0, "", TypeDir)}
	root.st.Store(b.newStat(fi, RootIno))
	b.objs.set(root)
	return nil
}

// close gives back the files that are held open.
func (b *base) close() error {
	b.reads.closed.Store(true)
	return errors.Join(b.fds.close(), b.held.close())
}

// Root returns the number of the root directory.
func (b *base) Root() Ino { return RootIno }

// cookie is where name stands in listings of this store.
func (b *base) cookie(name string) uint64 {
	if b.weakCookie != nil {
		return b.weakCookie(name)
	}
	return cookieOf(b.secret, name)
}

// place returns where in the base an object lies: of a file with several
// names, one of them. The root lies nowhere: {0, ""}. Stale if ino is unknown
// or gone.
func (b *base) place(ino Ino) (place, error) {
	o, err := b.object(ino)
	if err != nil {
		return place{}, err
	}
	return o.place, nil
}

// gen returns the generation of an object that is still in the base. For one
// that may be gone but has a record, genRecorded tells it without the base.
func (b *base) gen(ino Ino) (uint32, error) {
	o, err := b.object(ino)
	if err != nil {
		return 0, err
	}
	return o.gen, nil
}

// genRecorded is gen for an object whose origin and record are in the store:
// the same value, whatever has become of the object in the base.
func (b *base) genRecorded(ino Ino, at deltalog.Origin, typ uint32, fp deltalog.Fingerprint) uint32 {
	if at.Pinned {
		return at.Home.Gen
	}
	if ino == RootIno || b.id.plain(at.Parent, at.Name) == ino {
		return b.id.genPlain(at.Parent, at.Name, typ)
	}
	return b.id.genShared(ino, fp.Ino, typ)
}

// shared tells whether a file has a number that its place does not give (it
// has several names): then the store must hold one place of it before its
// handle leaves.
func (b *base) shared(ino Ino) (bool, error) {
	o, err := b.object(ino)
	if err != nil {
		return false, err
	}
	return o.shared, nil
}

// fingerprint returns what the base says of an object right now.
func (b *base) fingerprint(ino Ino) (deltalog.Fingerprint, error) {
	_, st, err := b.stat(ino, false)
	if err != nil {
		return deltalog.Fingerprint{}, err
	}
	return st.fingerprint(), nil
}

// Attr returns the attributes; those of a mutable base may be a second old.
func (b *base) Attr(ino Ino) (Attr, error) {
	o, st, err := b.stat(ino, true)
	if err != nil {
		return Attr{}, err
	}
	a := st.attr
	a.Ino, a.Gen = o.ino, o.gen
	if o.typ == TypeDir && !st.links {
		if a.Nlink, err = b.dirLinks(ino); err != nil {
			// A directory that may not be listed is shown all the same.
			a.Nlink = 2
		}
	}
	return a, nil
}

// Readlink returns the target of a symlink.
func (b *base) Readlink(ino Ino) (string, error) {
	o, err := b.object(ino)
	if err != nil {
		return "", err
	}
	if o.typ != TypeSymlink {
		return "", &Error{Op: "readlink", Path: inoName(ino), Kind: Invalid}
	}
	var target string
	err = b.at(ino, func(p string, _ uint64) error {
		if target, err = b.fs.Readlink(p); err != nil {
			return b.wrap("readlink", p, err, Stale)
		}
		return nil
	})
	return target, err
}

// rootPath is what the root is called towards billy; the others are relative
// to it, with slashes.
const rootPath = "."

// path returns the path of an object for calls on b.fs.
func (b *base) path(ino Ino) (string, error) {
	var names []string
	for at := ino; at != RootIno; {
		if len(names) > maxDepth {
			return "", staleIno("path", ino)
		}
		o, err := b.object(at)
		if err != nil {
			return "", err
		}
		names = append(names, o.name)
		at = o.parent
	}
	if len(names) == 0 {
		return rootPath, nil
	}
	for i, j := 0, len(names)-1; i < j; i, j = i+1, j-1 {
		names[i], names[j] = names[j], names[i]
	}
	return strings.Join(names, "/"), nil
}

// below appends a name to a path of path.
func below(dir, name string) string {
	if dir == rootPath {
		return name
	}
	return dir + "/" + name
}

// wrap maps an error of the file system. missing is the kind of an object that
// is not there: NotExist for a name that was asked for, Stale for a number.
func (b *base) wrap(op, path string, err error, missing Kind) error {
	kind := KindIO
	switch {
	case errors.Is(err, fs.ErrNotExist):
		kind = missing
	case errors.Is(err, fs.ErrPermission):
		kind = Access
	case isNotDir(err):
		kind = missing
		if missing == NotExist {
			kind = NotDir
		}
	}
	return &Error{Op: op, Path: path, Kind: kind, Err: err}
}

func staleIno(op string, ino Ino) error {
	return &Error{Op: op, Path: inoName(ino), Kind: Stale}
}

func inoName(ino Ino) string { return "inode " + strconv.FormatUint(uint64(ino), 10) }

// validName tells whether the base can hold a name at all.
func validName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= MaxName &&
		!strings.ContainsAny(name, forbidden)
}

// nanos is t in nanoseconds since 1970, kept in the range that fits.
func nanos(t time.Time) int64 {
	const end = math.MaxInt64/int64(time.Second) - 1
	return time.Unix(max(-end, min(end, t.Unix())), int64(t.Nanosecond())).UnixNano()
}

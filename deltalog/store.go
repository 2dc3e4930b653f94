package deltalog

import (
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"deltafs/deltalog/disk"
)

// StoreID tells stores apart.
type StoreID [16]byte

// Options of Open and Create. The zero value is what a server wants.
type Options struct {
	FS          disk.FS           // the tree of the store; nil: the operating system's directory, locked
	Limit       int64             // bytes that the log may take; 0: no limit of our own
	SegmentSize int64             // Create only, for tests; 0: derived from Limit
	ReadOnly    bool              // open without writing: nothing is repaired, nothing is begun
	Labels      map[string]string // Create only: kept in the superblock
	Log         *slog.Logger      // nil: discarded
	Cleaner     CleanerOptions
	// Manual starts no goroutine of the store's own: no timer syncs, no
	// checkpoint begins by itself. For tests that must be deterministic.
	Manual bool

	like   *superblock                  // Create only: take id and key of it
	openKV func(dir string) (kv, error) // nil: bbolt in dir
	rand   io.Reader                    // nil: the operating system's
	now    func() time.Time             // nil: time.Now
}

func (o Options) withDefaults(dir string) Options {
	if o.FS == nil {
		o.FS = disk.OS(dir)
	}
	o.Cleaner = o.Cleaner.withDefaults()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.rand == nil {
		o.rand = rand.Reader
	}
	if o.now == nil {
		o.now = time.Now
	}
	return o
}

// inoStep is how far inode numbers jump at each open: more numbers than can be
// in what a crash loses (at most maxUnsynced of log).
const inoStep = 1 << 20

// Store is an open store.
type Store struct {
	dir  string
	o    Options
	sb   *superblock
	lock *storeLock
	x    *index
	segs *segments

	checkpointing sync.Mutex    // one checkpoint at a time
	ckpt          ckptState     // under checkpointing
	ckptAt        atomic.Uint64 // bytes of log before the last checkpoint

	appending sync.Mutex // the append lock
	head      head       // under appending

	settling sync.Mutex // one Settle at a time
	ballast  ballast
	barren   barren

	cleaner cleaner
	relief  atomic.Pointer[func() bool]

	sync   group         // group commit
	ino    atomic.Uint64 // next inode number
	why    error         // why the store is read-only; set before Open returns
	closed atomic.Bool
	work   upkeep // goroutines
}

// Create makes a store in dir, which must be missing or empty, and opens it.
// What a Create that was cut short has left is taken as empty. When Create
// returns, the store survives the machine's death.
func Create(dir string, o Options) (*Store, error) {
	osLock := o.FS == nil
	o = o.withDefaults(dir)
	lock, err := prepareDir(dir, o, osLock)
	if err != nil {
		return nil, storeError("create", dir, err)
	}
	if err := format(o); err != nil {
		return nil, storeError("create", dir, errors.Join(err, lock.unlock()))
	}
	s, err := openLocked(dir, o, lock)
	if err != nil {
		return nil, storeError("open", dir, errors.Join(err, lock.unlock()))
	}
	return s, nil
}

// Open opens the store in dir and recovers it. A store whose log is damaged
// opens read-only, as far as it is whole: Info says which files are damaged.
func Open(dir string, o Options) (*Store, error) {
	osLock := o.FS == nil
	o = o.withDefaults(dir)
	if _, err := readSuper(o.FS); err != nil { // before a lock file is made in a foreign directory
		return nil, storeError("open", dir, err)
	}
	var lock *storeLock
	if osLock {
		var err error
		if lock, err = lockStore(dir, !o.ReadOnly); err != nil {
			return nil, storeError("open", dir, err)
		}
	}
	s, err := openLocked(dir, o, lock)
	if err != nil {
		return nil, storeError("open", dir, errors.Join(err, lock.unlock()))
	}
	return s, nil
}

// openLocked opens a store whose lock is held. On error the lock stays held.
func openLocked(dir string, o Options, lock *storeLock) (*Store, error) {
	sb, err := readSuper(o.FS)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, o: o, sb: sb, lock: lock}
	s.sync.init()
	s.cleaner.footers, s.cleaner.warm, s.cleaner.bad = map[uint64][]sealEntry{}, map[uint64]bool{}, map[uint64]bool{}
	s.segs = newSegments(s)
	if err := s.recover(); err != nil {
		s.segs.close()
		if s.x != nil {
			s.x.close()
		}
		return nil, err
	}
	if !o.Manual && s.why == nil {
		s.work.start(s)
	}
	return s, nil
}

// Close syncs, writes the closing COMMIT, checkpoints and unlocks. If the store
// has failed before, Close says so; what was acknowledged is safe all the same.
func (s *Store) Close() error {
	if s.closed.Load() {
		return s.fault("close", ErrClosed)
	}
	s.work.stop()
	s.cleaner.mu.Lock() // a Clean under way ends behind the segment that it is at
	defer s.cleaner.mu.Unlock()
	var err error
	if s.why == nil {
		err = s.finish()
	}
	s.closed.Store(true)
	s.appending.Lock() // whoever is in Append gets out first
	s.appending.Unlock()
	if err == nil && s.why == nil {
		err = s.noteEnd()
	}
	s.sync.endTelling()
	err = errors.Join(err, s.x.close(), s.segs.close(), s.lock.unlock())
	return s.fault("close", err)
}

// finish makes what was appended durable and quick to open again.
func (s *Store) finish() error {
	if err := s.Sync(s.LastLSN()); err != nil {
		return err
	}
	if err := s.cover(); err != nil && !errors.Is(err, ErrNoSpace) {
		return err
	}
	s.checkpointing.Lock()
	defer s.checkpointing.Unlock()
	err := s.checkpointLocked()
	if errors.Is(err, disk.ErrNoSpace) && s.dropBallast() {
		err = s.checkpointLocked()
	}
	if errors.Is(err, disk.ErrNoSpace) { // the next open has more to replay
		s.o.Log.Warn("checkpoint", "store", s.dir, "err", err)
		return nil
	}
	return err
}

// noteEnd says in the index that the log ends where the checkpoint is, if that is so. It
// may not be: something was appended while finish ran, or there was no room for a
// checkpoint; and behind a head that is closed there may be a torn tail.
func (s *Store) noteEnd() error {
	s.checkpointing.Lock()
	defer s.checkpointing.Unlock()
	s.appending.Lock()
	h := &s.head
	ends := !h.closed && s.ckpt.lsn == h.lsn && s.ckpt.pos == logPos{h.seg.id, uint32(h.off)}
	s.appending.Unlock()
	if !ends {
		return nil
	}
	if err := s.x.setClosed(true); err != nil && !errors.Is(err, disk.ErrNoSpace) {
		return err
	}
	return nil
}

// path returns where a file of the store is, as the user knows it.
func (s *Store) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

// ID returns the store's id.
func (s *Store) ID() StoreID { return s.sb.id }

// Key derives a secret of the store for one purpose: keys of different
// purposes tell nothing of each other.
func (s *Store) Key(purpose string) [32]byte { return s.sb.secret(purpose) }

// Label returns a label given at Create.
func (s *Store) Label(name string) string { return s.sb.labels[name] }

// SetRelief makes a store that has no room ask fn, which is quick and may be called concurrently, whether
// somebody is about to move changes out of it: then Append fails with ErrBusy, and not with
// ErrNoSpace.
func (s *Store) SetRelief(fn func() bool) { s.relief.Store(&fn) }

// NewIno gives out a number that was never given out before, in this process
// or in an earlier one.
func (s *Store) NewIno() Ino { return Ino(s.ino.Add(1) - 1) }

// storeError wraps an error of Create or Open with the way out.
func storeError(op, dir string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	h := hint(err)
	if op == "open" && errors.Is(err, ErrDamaged) { // what can be saved of a store is saved by opening it
		h = "nothing was changed; put that file back from a copy, or start with an empty directory: the base is as it was"
	}
	return &Error{Op: op, Path: dir, Err: err, Hint: h}
}

func hint(err error) string {
	switch {
	case errors.Is(err, ErrNotStore):
		return "nothing was changed; name another directory, or one that is empty"
	case errors.Is(err, ErrVersion):
		return "nothing was changed; use a newer deltafs"
	case errors.Is(err, ErrInUse):
		return "stop that process first"
	case errors.Is(err, ErrDamaged):
		return "nothing was changed; put that file back from a copy, or save the rest with deltafs fsck --salvage"
	case errors.Is(err, ErrPoisoned):
		return "look after the disk, then start again; what was synced is safe"
	case errors.Is(err, ErrBusy):
		return "try again: room is being made"
	case errors.Is(err, ErrNoSpace):
		return "make room on the disk, raise the limit, or discard changes"
	}
	return ""
}

// fault wraps an error of an operation on an open store.
func (s *Store) fault(op string, err error) error {
	if err == nil {
		return nil
	}
	return storeError(op, s.dir, err)
}

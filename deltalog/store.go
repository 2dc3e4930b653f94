package deltalog

import (
	"log/slog"

	"deltafs/deltalog/disk"
)

// StoreID tells stores apart.
type StoreID [16]byte

// Options of Open and Create. The zero value is what a server wants.
type Options struct {
	FS          disk.FS      // nil: the operating system's
	Limit       int64        // bytes that the log may take; 0: no limit of our own
	SegmentSize int64        // Create only, for tests; 0: derived from Limit
	ReadOnly    bool         // open without writing: nothing is repaired, nothing is begun
	Labels      map[string]string // Create only: kept in the superblock
	Log         *slog.Logger // nil: discarded
	// Manual starts no goroutine of the store's own: no timer syncs, no
	// checkpoint begins by itself. For tests that must be deterministic.
	Manual bool
}

// Store is an open store.
type Store struct{}

// Create makes a store in dir, which must be missing or empty, and opens it.
func Create(dir string, o Options) (*Store, error) { panic("not built") }

// Open opens the store in dir and recovers it.
func Open(dir string, o Options) (*Store, error) { panic("not built") }

// Close syncs, writes the closing COMMIT, checkpoints and unlocks.
func (s *Store) Close() error { panic("not built") }

// ID returns the store's id.
func (s *Store) ID() StoreID { panic("not built") }

// Key derives a secret of the store for one purpose: keys of different
// purposes tell nothing of each other.
func (s *Store) Key(purpose string) [32]byte { panic("not built") }

// Label returns a label given at Create.
func (s *Store) Label(name string) string { panic("not built") }

// NewIno gives out a number that was never given out before, in this process
// or in an earlier one.
func (s *Store) NewIno() Ino { panic("not built") }

// Append applies b as one atomic batch and returns its LSN. On return the
// batch has left the process: it survives its death, but the machine's only
// after Sync.
func (s *Store) Append(b *Batch) (LSN, error) { panic("not built") }

// Sync returns when all batches up to lsn survive the machine's death.
func (s *Store) Sync(lsn LSN) error { panic("not built") }

// LastLSN and SyncedLSN return the LSN of the last batch appended and synced.
func (s *Store) LastLSN() LSN   { panic("not built") }
func (s *Store) SyncedLSN() LSN { panic("not built") }

// Checkpoint moves what the memtable holds into the index, and trims.
func (s *Store) Checkpoint() error { panic("not built") }

// Inode returns the record of an inode, and whether there is one.
func (s *Store) Inode(l LayerID, ino Ino) (Inode, bool, error) { panic("not built") }

// Entry returns what a directory holds for a name, and whether it holds anything.
func (s *Store) Entry(l LayerID, dir Ino, cookie uint64, name string) (Entry, bool, error) {
	panic("not built")
}

// Entries calls fn for each entry and whiteout of dir whose cookie is at least
// from, in order of cookie and name, until fn returns false. fn must not call
// the store.
func (s *Store) Entries(l LayerID, dir Ino, from uint64, fn func(DirEntry) bool) error {
	panic("not built")
}

// Origin returns where in the base an object lies, and whether that is recorded.
func (s *Store) Origin(l LayerID, ino Ino) (Origin, bool, error) { panic("not built") }

// ReadAt fills p with the file's data from off on. Ranges that the layer holds
// no data for are left to lower, called with sub-slices of p in ascending
// order. Every byte from the log is verified by its CRC.
func (s *Store) ReadAt(l LayerID, ino Ino, p []byte, off int64, lower func(p []byte, off int64) error) error {
	panic("not built")
}

// DataRanges calls fn for each range of [off, off+n) that the layer holds data
// for, ascending and merged, until fn returns false.
func (s *Store) DataRanges(l LayerID, ino Ino, off, n int64, fn func(off, n int64) bool) error {
	panic("not built")
}

// EachInode, EachEntry and EachOrigin walk all records of a layer, in no
// promised order, for status and tools. fn must not call the store.
func (s *Store) EachInode(l LayerID, fn func(Ino, Inode) bool) error { panic("not built") }
func (s *Store) EachEntry(l LayerID, fn func(dir Ino, e DirEntry) bool) error {
	panic("not built")
}
func (s *Store) EachOrigin(l LayerID, fn func(Ino, Origin) bool) error { panic("not built") }

// Info is a summary of a store.
type Info struct {
	ID           StoreID
	Version      int
	Created      int64 // nanoseconds since 1970 UTC
	Labels       map[string]string
	SegmentSize  int64
	Segments     int    // part of the log
	Spares       int    // preallocated, not part of the log
	LogBytes     uint64 // bytes ever appended, with headers and padding: frames and segment headers
	LiveBytes    uint64
	DiskBytes    uint64 // segments, spares and index
	LastLSN      LSN
	SyncedLSN    LSN
	Checkpoint   LSN
	ReadOnly     string // why the store is read-only; empty if it is not
	Inodes       int    // records in the main layer
}

// Info returns the summary.
func (s *Store) Info() (Info, error) { panic("not built") }

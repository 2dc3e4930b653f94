package deltalog

import (
	"maps"
	"sync"
	"sync/atomic"
)

// index finds the newest record of everything in the log. It has three levels,
// each newer than the next: the memtable; while a checkpoint runs, the memtable
// that it writes out (frozen, which nobody changes any more); and the database.
//
// One goroutine at a time applies and freezes (the append lock sees to that),
// one flushes, any number read. Readers take mu for as long as a look into the
// memtable lasts, and never wait for the database's writer.
//
// The database is trusted because everything in it is checked: each pair has a
// checksum, verified at every read, and each bucket a count and a sum, verified
// when the index is opened. Whatever does not fit is errIndexBad.
type index struct {
	db      kv
	id      StoreID
	txBytes int // see flushBytes

	mu      sync.RWMutex
	mem     *memtable
	frozen  *memtable  // nil: no checkpoint runs
	asOf    checkpoint // what the database will hold when frozen is flushed
	gen     uint64     // moves when the levels do: see stored
	done    checkpoint // what the database holds
	alive   liveBytes  // live bytes by segment, as of the last batch applied
	then    liveBytes  // alive when frozen was; never changed
	failed  error      // the flush that failed; no other is tried
	maxIno  Ino        // highest born number seen
	changes uint64     // moves with each chunk of extents that is set

	tree atomic.Pointer[layerTree] // what the layer table says
	inos *inoFilter                // of those with a record or an origin, in any layer

	flushed atomic.Uint64 // moves when a checkpoint is done; under mu
	kept    chunkCache

	scratch [2][]extent // of insertExtent
	near    *around     // of whoever applies
	// last is the look that found which extents a write is to be over: it need not be taken again to enter what is written.
	last atomic.Pointer[around]

	flushing sync.Mutex // one flush; taken before mu
	sums     bucketSums // of the database; under flushing
}

// newIndex returns an index over a database whose contents are not looked at.
func newIndex(db kv, id StoreID) *index {
	x := &index{db: db, id: id, txBytes: flushBytes, mem: newMemtable(), alive: liveBytes{}, inos: newInoFilter(0), near: new(around)}
	x.tree.Store(&layerTree{})
	return x
}

// position returns the LSN that the database holds everything up to, and where
// in the log replay goes on. Without ok it holds nothing that can be relied on
// and replay begins with the log.
//
// The caller must see whether its log has that position: an index may come from
// a copy of the store that is older or newer than the log.
func (x *index) position() (lsn LSN, pos logPos, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.done.lsn, x.done.pos, x.done.valid
}

// isFrozen tells whether a checkpoint was begun and is not done.
func (x *index) isFrozen() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.frozen != nil
}

// closedAt tells whether the log ended at that position when the store was closed, and
// was not written to since.
func (x *index) closedAt(pos logPos) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.done.valid && x.done.closed && x.done.pos == pos
}

// highestIno returns the highest born number that a record applied, ever, is
// about; 0 if none is.
func (x *index) highestIno() Ino {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.maxIno
}

// dirty returns how many keys the memtable holds, and their bytes with those of
// their values.
func (x *index) dirty() (keys int, bytes int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.mem.keys, x.mem.bytes
}

// live returns the live bytes of each segment that has any. In a segment that is
// absent here lies nothing that could come back once what was appended until now is
// durable.
func (x *index) live() liveBytes {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return maps.Clone(x.alive)
}

// liveIn is live for one segment.
func (x *index) liveIn(seg uint64) int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.alive[seg]
}

// liveTotal is the sum of live.
func (x *index) liveTotal() int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return total(x.alive)
}

// size returns the bytes of the database on the disk.
func (x *index) size() (int64, error) { return x.db.size() }

// written returns the bytes written to the database since it was opened.
func (x *index) written() uint64 { return x.db.written() }

// close closes the database. What is not flushed is in the log.
func (x *index) close() error { return x.db.close() }

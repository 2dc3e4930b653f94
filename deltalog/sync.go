package deltalog

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"deltafs/deltalog/disk"
)

// maxUnsynced is how many bytes of log may be appended and not synced.
const maxUnsynced = 64 << 20

// dirtySegment is a segment that has something unsynced. It is held.
type dirtySegment struct {
	seg  *segment
	upTo LSN // of its last batch
}

// group is the state of group commit. The goroutine that finds no fdatasync
// under way begins one, for all that was appended until then; the others wait
// for it, and one of those that came too late begins the next.
type group struct {
	lastLSN   atomic.Uint64 // of the last batch appended
	syncedLSN atomic.Uint64
	unsynced  atomic.Int64  // bytes
	total     atomic.Uint64 // bytes ever appended, with headers and padding
	salt      atomic.Uint32 // of the head
	syncs     atomic.Uint64 // fdatasyncs
	failed    atomic.Pointer[error]
	small     atomic.Int32 // see bySmall

	telling sync.WaitGroup // goroutines for those who are told

	mu      sync.Mutex
	done    sync.Cond // an fdatasync has returned
	running bool
	dirty   []dirtySegment // in order of the log
	later   []laterSync    // who is to be told
	tells   bool           // a goroutine sees to them
}

// laterSync is somebody who waits for batches up to lsn and does something else meanwhile.
type laterSync struct {
	lsn LSN
	w   Waiter
}

// Waiter is told by [Store.SyncLater]. No lock is held then.
type Waiter interface {
	// Synced is called once: with nil when what was asked for is durable. It must not wait for
	// anything: others are to be told.
	Synced(err error)
	// Told is called after it, when Synced of all those has been called for whom one sync was made:
	// what belongs together can be done together then. It must not wait either.
	Told()
}

func (g *group) init() {
	g.done.L = &g.mu
	g.small.Store(smallSyncs)
}

const (
	smallSync  = 64 << 10 // bytes that a small sync makes durable, at most
	smallSyncs = 8
)

// bySmall tells whether the log is synced by small pieces.
func (g *group) bySmall() bool {
	return g.small.Load() >= smallSyncs && g.unsynced.Load() <= 2*smallSync
}

// wasOf notes of how many bytes a sync was.
func (g *group) wasOf(bytes int64) {
	if n := g.small.Load(); bytes <= smallSync {
		g.small.Store(min(n+1, 2*smallSyncs))
	} else {
		g.small.Store(max(n-4, 0))
	}
}

// LastLSN returns the LSN of the last batch appended.
func (s *Store) LastLSN() LSN { return LSN(s.sync.lastLSN.Load()) }

// SyncedLSN returns the LSN of the last batch that is known to be durable.
func (s *Store) SyncedLSN() LSN { return LSN(s.sync.syncedLSN.Load()) }

// Sync returns when all batches up to lsn survive the machine's death. On a
// store that has stopped after a failure it always fails.
func (s *Store) Sync(lsn LSN) error { return s.syncTo(lsn, false) }

// SyncAlone is [Store.Sync] for callers who know of nothing else that goes on in the process,
// which need not be so: see [disk.SyncAlone].
func (s *Store) SyncAlone(lsn LSN) error { return s.syncTo(lsn, true) }

func (s *Store) syncTo(lsn LSN, alone bool) error {
	if plantAckEarly && lsn > 0 {
		lsn--
	}
	g := &s.sync
	lsn = min(lsn, s.LastLSN())
	if s.SyncedLSN() >= lsn {
		return s.fault("sync", g.broken())
	}
	if s.closed.Load() {
		return s.fault("sync", ErrClosed)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for s.SyncedLSN() < lsn {
		if err := g.broken(); err != nil {
			return s.fault("sync", err)
		}
		if g.running {
			g.done.Wait()
			continue
		}
		g.leadLocked(s.segs, alone)
	}
	return nil
}

// SyncLater is [Store.Sync] for callers that do something else meanwhile: w is told by another
// goroutine. It is false, and w is told nothing, if Sync would return at once.
func (s *Store) SyncLater(lsn LSN, w Waiter) bool {
	if plantAckEarly && lsn > 0 {
		lsn--
	}
	g := &s.sync
	lsn = min(lsn, s.LastLSN())
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.SyncedLSN() >= lsn || g.broken() != nil || s.closed.Load() {
		return false
	}
	g.later = append(g.later, laterSync{lsn, w})
	if !g.tells {
		g.tells = true
		g.telling.Go(s.tell)
	}
	return true
}

// tell sees that there are syncs for those who are told, and tells them, until there are none.
func (s *Store) tell() {
	g := &s.sync
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.later) > 0 {
		due, err := g.dueLocked()
		switch {
		case len(due) > 0 && len(g.later) > 0: // the disk need not wait until these are told
			g.telling.Go(func() { s.tellAll(due, err) })
		case len(due) > 0:
			g.mu.Unlock()
			s.tellAll(due, err)
			g.mu.Lock()
		case g.running:
			g.done.Wait()
		default:
			g.leadLocked(s.segs, false)
		}
	}
	g.tells = false
}

// endTelling waits until all are told. The store is closed: there will be no others.
func (g *group) endTelling() {
	g.mu.Lock() // whoever is in SyncLater gets out first
	g.mu.Unlock()
	g.telling.Wait()
}

// dueLocked takes out those who are to be told, and returns what.
func (g *group) dueLocked() (due []laterSync, err error) {
	err = g.broken()
	synced := LSN(g.syncedLSN.Load())
	g.later = slices.DeleteFunc(g.later, func(l laterSync) bool {
		if err == nil && l.lsn > synced {
			return false
		}
		due = append(due, l)
		return true
	})
	return due, err
}

func (s *Store) tellAll(due []laterSync, err error) {
	for _, l := range due {
		l.w.Synced(s.fault("sync", err))
	}
	for _, l := range due {
		l.w.Told()
	}
}

// leadLocked makes durable what was appended until now. It gives up mu while
// the disk works. Alone is as for SyncAlone.
func (g *group) leadLocked(t *segments, alone bool) {
	g.running = true
	target, bytes := g.lastLSN.Load(), g.unsynced.Load()
	dirty := append([]dirtySegment(nil), g.dirty...)
	g.mu.Unlock()
	g.syncs.Add(uint64(len(dirty)))
	err := syncAll(dirty, alone)
	g.mu.Lock()
	g.running = false
	defer g.done.Broadcast()
	if err != nil {
		g.poison(err)
		return
	}
	g.syncedLSN.Store(target)
	g.unsynced.Add(-bytes)
	g.wasOf(bytes)
	for len(g.dirty) > 0 && g.dirty[0].upTo <= LSN(target) {
		t.release(g.dirty[0].seg)
		g.dirty = g.dirty[1:]
	}
}

// syncAll syncs segments in the order of the log.
func syncAll(dirty []dirtySegment, alone bool) error {
	syncData := disk.File.Sync
	if alone {
		syncData = disk.SyncAlone
	}
	for _, d := range dirty {
		if plantSkipSync {
			continue
		}
		err := syncData(d.seg.f)
		if err != nil && plantRetryFsync {
			err = syncData(d.seg.f)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", segName(d.seg.id), err)
		}
	}
	return nil
}

// appended notes a batch of n bytes that was written to seg. The caller has
// the append lock.
func (g *group) appended(t *segments, seg *segment, lsn LSN, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lastLSN.Store(uint64(lsn))
	g.unsynced.Add(int64(n))
	g.total.Add(uint64(n))
	if k := len(g.dirty); k > 0 && g.dirty[k-1].seg == seg {
		g.dirty[k-1].upTo = lsn
		return
	}
	t.hold(seg)
	g.dirty = append(g.dirty, dirtySegment{seg, lsn})
}

// began notes that the segment with header h is the head now.
func (g *group) began(h *segHeader) {
	g.salt.Store(h.salt)
	g.total.Store(h.before + segHeaderSize)
}

// recovered sets where group commit begins: everything up to lsn is durable.
func (g *group) recovered(lsn LSN) {
	g.lastLSN.Store(uint64(lsn))
	g.syncedLSN.Store(uint64(lsn))
}

// poison stops the store for good: what the disk holds is not known any more.
// It returns what everybody is told from now on.
func (g *group) poison(err error) error {
	err = fmt.Errorf("%w: %w", ErrPoisoned, err)
	if !g.failed.CompareAndSwap(nil, &err) {
		return g.broken()
	}
	return err
}

// broken returns why the store has stopped, if it has.
func (g *group) broken() error {
	if err := g.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Throttle waits, as Append does, until not too much is unsynced. Callers that
// hold locks over Append call it before they take them, so that who waits for
// those locks does not wait for an fsync.
func (s *Store) Throttle() error { return s.fault("append", s.throttle()) }

// throttle waits until not too much is unsynced.
func (s *Store) throttle() error {
	if s.sync.unsynced.Load() < maxUnsynced {
		return nil
	}
	return s.Sync(s.LastLSN())
}

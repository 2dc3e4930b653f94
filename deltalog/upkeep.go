package deltalog

import (
	"context"
	"errors"
	"sync"
	"time"

	"deltafs/deltalog/disk"
)

// When a checkpoint begins by itself, and when what was appended is synced by
// itself.
const (
	checkpointBytes = 128 << 20 // of log
	checkpointKeys  = 100_000
	syncWithin      = time.Second
	// syncAhead is how much may be unsynced, in bytes, before it is synced while more
	// comes: so the disk is at work, and who waits in the end does not wait for all of it.
	syncAhead = 8 << 20
)

// upkeep is what the store does by itself: syncs and covering COMMITs by time
// (one goroutine), syncs of what has become much (another), spares, checkpoints and
// cleaning (a third), and what dropped layers leave to do (a fourth). A Manual store has none, and all methods do nothing.
type upkeep struct {
	stopped context.CancelFunc
	running sync.WaitGroup
	moved   chan struct{} // something was appended
	much    chan struct{} // so much that it is synced
	due     chan struct{} // a spare was taken, or a checkpoint may be due
	stacked chan struct{} // layers have changed
}

func (u *upkeep) start(s *Store) {
	ctx, stop := context.WithCancel(context.Background())
	u.stopped = stop
	u.moved, u.much = make(chan struct{}, 1), make(chan struct{}, 1)
	u.due, u.stacked = make(chan struct{}, 1), make(chan struct{}, 1)
	wake(u.due)
	wake(u.stacked)
	u.running.Go(func() { u.syncs(ctx, s) })
	u.running.Go(func() { u.syncsAhead(ctx, s) })
	u.running.Go(func() { u.checkpoints(ctx, s) })
	u.running.Go(func() { u.layers(ctx, s) })
}

// stop ends the goroutines and waits for them.
func (u *upkeep) stop() {
	if u.stopped != nil {
		u.stopped()
		u.running.Wait()
	}
}

// appended and rotated wake the goroutines; unsynced is how many bytes are.
func (u *upkeep) appended(unsynced int64) {
	if wake(u.moved); unsynced >= syncAhead {
		wake(u.much)
	}
}
func (u *upkeep) rotated() { wake(u.due) }

// restacked does so for layers.
func (u *upkeep) restacked() { wake(u.stacked) }

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // awake, or there is none: the channel is nil
	}
}

// syncs syncs what was appended within syncWithin, and covers the tail when
// nothing more comes.
func (u *upkeep) syncs(ctx context.Context, s *Store) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.moved:
		}
		for covered := false; !covered; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(syncWithin / 2):
			}
			var err error
			if last := s.LastLSN(); s.SyncedLSN() < last {
				err = s.Sync(last)
			} else {
				err, covered = s.cover(), true
			}
			if err != nil && !errors.Is(err, ErrNoSpace) {
				s.o.Log.Error("sync", "store", s.dir, "err", err)
				return // the store has stopped; callers are told
			}
			wake(u.due)
		}
	}
}

// syncsAhead syncs when much is unsynced.
func (u *upkeep) syncsAhead(ctx context.Context, s *Store) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.much:
		}
		if s.sync.unsynced.Load() < syncAhead {
			continue
		}
		if err := s.Sync(s.LastLSN()); err != nil {
			s.o.Log.Error("sync", "store", s.dir, "err", err)
			return // the store has stopped; callers are told
		}
	}
}

// checkpoints keeps a spare ready and checkpoints when much has changed.
func (u *upkeep) checkpoints(ctx context.Context, s *Store) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.due:
		}
		s.segs.probe()
		if err := s.segs.stock(); err != nil && !errors.Is(err, ErrNoSpace) {
			s.o.Log.Error("new segment", "store", s.dir, "err", err)
			return
		}
		if err := s.holdBallast(); err != nil {
			s.o.Log.Warn("nothing is kept for a full disk", "store", s.dir, "err", err)
		}
		keys, _ := s.x.dirty()
		if keys >= checkpointKeys || s.logBytes()-s.ckptBytes() >= checkpointBytes {
			err := s.Checkpoint()
			if errors.Is(err, disk.ErrNoSpace) && s.dropBallast() {
				err = s.Checkpoint()
			}
			if errors.Is(err, disk.ErrNoSpace) {
				s.o.Log.Warn("checkpoint", "store", s.dir, "err", err)
				continue // until there is room
			}
			if err != nil {
				// The log has everything, and the next open rebuilds the index.
				s.o.Log.Error("checkpoint", "store", s.dir, "err", err)
				return
			}
		}
		if err := s.tidy(ctx); err != nil {
			if errors.Is(err, ErrNoSpace) || errors.Is(err, disk.ErrNoSpace) {
				continue // when something is deleted there is room to clean
			}
			s.o.Log.Error("clean", "store", s.dir, "err", err)
			return
		}
	}
}

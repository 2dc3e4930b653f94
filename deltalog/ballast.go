package deltalog

import (
	"errors"
	"io/fs"
	"sync"

	"deltafs/deltalog/disk"
)

// The ballast is a file of nothing, kept for the day on which the disk of the
// store is full, whatever filled it: then it is removed, so that the index can be
// written. It comes back when there is room. (Segments for that day are kept as
// spares: see reservedSegments.)
const ballastFile = "ballast"

// ballast is held or it is not.
type ballast struct {
	mu   sync.Mutex
	held bool
}

// ballastSize is what the index may have to grow by until there is room again.
func (s *Store) ballastSize() int64 { return min(s.segs.size, 8<<20) }

// holdBallast makes the ballast if it is not there and there is room: twice as much
// as it takes, for it is worth nothing to a disk that is full with it.
func (s *Store) holdBallast() error {
	s.ballast.mu.Lock()
	defer s.ballast.mu.Unlock()
	if s.ballast.held {
		return nil
	}
	err := s.allocate(2 * s.ballastSize())
	if err == nil {
		err = s.allocate(s.ballastSize())
	}
	if errors.Is(err, disk.ErrNoSpace) {
		return nil
	}
	s.ballast.held = err == nil
	return err
}

// allocate makes the ballast of a size, or leaves none.
func (s *Store) allocate(size int64) error {
	if err := s.o.FS.Remove(ballastFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.o.FS.Create(ballastFile)
	if err != nil {
		return err
	}
	if err = errors.Join(f.Allocate(size), f.Close()); err != nil {
		return errors.Join(err, s.o.FS.Remove(ballastFile))
	}
	return nil
}

// dropBallast gives its space back, and tells whether there was any.
func (s *Store) dropBallast() bool {
	s.ballast.mu.Lock()
	defer s.ballast.mu.Unlock()
	err := s.o.FS.Remove(ballastFile)
	s.ballast.held = false
	if err == nil {
		s.o.Log.Warn("the disk of the store is full: what was kept for that is given up", "store", s.dir, "bytes", s.ballastSize())
	}
	return err == nil
}

// Usage is how full a store is, in bytes. It costs little to ask.
type Usage struct {
	Used     uint64 // of the log, that are live
	Limit    uint64 // that may be; 0: there is no limit
	Disk     uint64 // that the files take, the index too
	Dead     uint64 // of the log, that cleaning would give back
	Appended uint64 // to the log, ever, with headers and padding
	Copied   uint64 // by the cleaner, since the store was opened
	Index    uint64 // bytes written to the index, since the store was opened
	Syncs    uint64 // fdatasyncs of the log for those who wait, since the store was opened
	ReadOnly bool   // the store takes no changes
}

// Usage says how full the store is. Limit is without the segments that are kept for removing and
// for cleaning; on a disk that is full it is what the store has got.
func (s *Store) Usage() (Usage, error) {
	size, err := s.x.size()
	if err != nil {
		return Usage{}, s.fault("usage", err)
	}
	log, _, files := s.segs.counts()
	held := uint64(log) * uint64(s.segs.size)
	live := min(uint64(total(s.liveBytes())), held)
	u := Usage{
		Used: live, Disk: uint64(files)*uint64(s.segs.size) + uint64(size), Dead: held - live,
		Appended: s.logBytes(), Copied: s.cleaner.copied.Load(), Index: s.x.written(),
		Syncs: s.sync.syncs.Load(), ReadOnly: s.usable() != nil,
	}
	if most := s.segs.allowed(); most > 0 {
		u.Limit = uint64(max(most-reservedSegments, 0)) * uint64(s.segs.size)
		u.Used = min(u.Used, u.Limit)
	}
	return u, nil
}

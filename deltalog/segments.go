package deltalog

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"deltafs/deltalog/disk"
)

// openFiles is how many segments are kept open that nobody uses.
const openFiles = 256

// segment is one begun segment of the log. What does not change after it was
// begun may be read without a lock by whoever holds a reference.
type segment struct {
	id  uint64
	hdr segHeader
	f   disk.File // nil: not open. Valid while a reference is held.
	// Of a cold segment, how much longer the data in it is when it is expanded.
	saved atomic.Uint64

	refs int // under segments.mu
}

// segments are the files of the log directory: those of the log, oldest first,
// those that are no longer part of it but still read, and spares.
type segments struct {
	d        disk.FS
	size     int64
	most     int // segments that Limit allows; 0: any number
	keep     int // spares that are kept ready
	readOnly bool
	poison   func(error) error

	prep sync.Mutex // one spare is made at a time; taken before mu

	mu      sync.Mutex
	byID    map[uint64]*segment
	order   []uint64  // ids of the hot segments of the log, ascending
	cold    []coldRef // the cold ones, ascending; what COLD frames list. Changed under the append lock, or by who has the cleaner
	trimmed uint64    // the log says that what is below is not part of it; it may be in order still
	retired []*segment
	spares  []uint64        // ascending, all above those of the log
	written map[uint64]bool // those that were part of the log before: their blocks are on the disk
	open    int
	idleMax int // how many are kept open that nobody uses
	nextID  uint64
	fit     int // files that a full disk has room for; 0: it was not full when it was last asked
}

// reservedSegments are kept of those that the limit allows, or that the disk has
// room for: one for changes without data, so that removing works, and one for the
// cleaner.
const reservedSegments = 2

func newSegments(s *Store) *segments {
	t := &segments{
		d: s.o.FS, size: s.sb.segment, readOnly: s.o.ReadOnly, poison: s.sync.poison,
		byID: map[uint64]*segment{}, nextID: 1, written: map[uint64]bool{},
	}
	t.idleMax = openFiles
	t.keep = 1 // what a test does not ask for does not happen
	if !s.o.Manual {
		// One more than is reserved, so that it is known that there are those before
		// data takes the last but those.
		t.keep = reservedSegments + 1
	}
	if s.o.Limit > 0 {
		t.most = int(max(s.o.Limit/t.size, leastSegments))
	}
	return t
}

// leastSegments is how many segments every limit allows: of data, for changes
// that carry none, and for the cleaner.
const leastSegments = 4

// errSegmentGone means that a segment is not part of the log: it was trimmed,
// or it is missing.
var errSegmentGone = errors.New("segment is not part of the log")

// add enters a begun segment at the end of the log.
func (t *segments) add(h segHeader) *segment {
	t.mu.Lock()
	defer t.mu.Unlock()
	seg := &segment{id: h.id, hdr: h}
	t.byID[h.id] = seg
	t.order = append(t.order, h.id)
	t.nextID = max(t.nextID, h.id+1)
	return seg
}

// addCold enters a cold segment, which is not listed yet.
func (t *segments) addCold(h segHeader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byID[h.id] = &segment{id: h.id, hdr: h}
	t.nextID = max(t.nextID, h.id+1)
}

// coldRefs returns the cold segments.
func (t *segments) coldRefs() []coldRef {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.cold)
}

// colds returns how many cold segments there are.
func (t *segments) colds() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.cold)
}

// setCold replaces what is said of the cold segments, and, unless it is 0, which
// hot segment is the oldest. Whoever reads others meanwhile goes on.
func (t *segments) setCold(refs []coldRef, oldest uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cold, t.trimmed = refs, max(t.trimmed, oldest)
}

// retireCold takes a cold segment out of the log that is not listed, durably. Its
// file becomes a spare when nobody reads it any more.
func (t *segments) retireCold(id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.retired = append(t.retired, t.byID[id])
	delete(t.byID, id)
}

// load enters the segments of the log that recovery has found, instead of those
// that were there.
func (t *segments) load(hdrs []segHeader) {
	t.close()
	t.byID, t.order, t.cold = map[uint64]*segment{}, nil, nil
	for _, h := range hdrs {
		t.add(h)
	}
}

// forget takes segments before oldest and behind head out of the log.
func (t *segments) forget(oldest, head uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.order = slices.DeleteFunc(t.order, func(id uint64) bool {
		if id >= oldest && id <= head {
			return false
		}
		t.closeLocked(t.byID[id])
		delete(t.byID, id)
		return true
	})
}

// reserve sees that no id up to most is given out.
func (t *segments) reserve(most uint64) {
	t.mu.Lock()
	t.nextID = max(t.nextID, most+1)
	t.mu.Unlock()
}

// addSpare takes a file that recovery has found as a spare, if that is wanted.
func (t *segments) addSpare(id uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.spares) >= keptFiles {
		return false
	}
	t.spares = append(t.spares, id)
	return true
}

// acquire returns a segment of the log, open, that stays what it is until
// release.
func (t *segments) acquire(id uint64) (*segment, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seg := t.byID[id]
	if seg == nil {
		return nil, fmt.Errorf("%s: %w", segName(id), errSegmentGone)
	}
	if seg.f == nil {
		f, err := t.d.Open(segName(id), !t.readOnly)
		if err != nil {
			return nil, err
		}
		seg.f = f
		t.open++
	}
	seg.refs++ // before others are closed, or it may be this one
	t.closeIdleLocked()
	return seg, nil
}

// hold takes another reference of a segment that is held.
func (t *segments) hold(seg *segment) {
	t.mu.Lock()
	seg.refs++
	t.mu.Unlock()
}

func (t *segments) release(seg *segment) {
	t.mu.Lock()
	seg.refs--
	t.mu.Unlock()
}

func (t *segments) closeIdleLocked() {
	if t.open <= t.idleMax {
		return
	}
	for _, seg := range t.byID {
		if seg.refs == 0 && seg.f != nil {
			seg.f.Close() // it was only read, or synced
			seg.f = nil
			t.open--
			return
		}
	}
}

// ids returns the ids of the log's segments, oldest first.
func (t *segments) ids() []uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.order)
}

func (t *segments) oldest() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.order) == 0 {
		return 0
	}
	return max(t.order[0], t.trimmed)
}

// counts returns the segments of the log, the spares, and all files.
func (t *segments) counts() (log, spares, all int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.logLocked(), len(t.spares), t.filesLocked()
}

func (t *segments) logLocked() int { return len(t.order) + len(t.cold) }

func (t *segments) filesLocked() int { return t.logLocked() + len(t.spares) + len(t.retired) }

// full tells whether the log would have more segments than the limit allows,
// all but spare of them.
func (t *segments) full(more, spare int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	most := t.mostLocked()
	return most > 0 && t.logLocked()+more > most-spare
}

// mostLocked returns how many segments the log may have, 0 if any number.
func (t *segments) mostLocked() int {
	if t.fit > 0 && (t.most == 0 || t.fit < t.most) {
		return t.fit
	}
	return t.most
}

// allowed is mostLocked.
func (t *segments) allowed() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mostLocked()
}

// free returns how many segments more the log may have, if there is a limit.
func (t *segments) free() (n int, limited bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	most := t.mostLocked()
	return most - t.logLocked(), most > 0
}

// endOf returns where the log ends in a hot segment that is not the head.
func (t *segments) endOf(id uint64) (int64, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.order, id)
	if i < 0 || i+1 >= len(t.order) {
		return 0, false
	}
	return int64(t.byID[t.order[i+1]].hdr.prevEnd), true
}

// idle tells whether there is a spare, or a file that can become one.
func (t *segments) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.spares) > 0 || slices.ContainsFunc(t.retired, func(s *segment) bool { return s.refs == 0 })
}

// retire takes the segments before oldest out of the log. Their files become
// spares when nobody reads them any more.
func (t *segments) retire(oldest uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.order) > 0 && t.order[0] < oldest {
		seg := t.byID[t.order[0]]
		delete(t.byID, seg.id)
		t.order = t.order[1:]
		t.retired = append(t.retired, seg)
	}
}

// take returns the id of a spare, making it if there is none, and whether its file was
// part of the log before.
func (t *segments) take() (id uint64, reused bool, err error) {
	t.prep.Lock()
	defer t.prep.Unlock()
	if err := t.makeSpares(1); err != nil {
		return 0, false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	id = t.spares[0]
	t.spares = t.spares[1:]
	reused = t.written[id]
	delete(t.written, id)
	return id, reused, nil
}

// stock makes the spares that are kept ready.
func (t *segments) stock() error {
	t.prep.Lock()
	defer t.prep.Unlock()
	return t.makeSpares(t.keep)
}

// probe asks a disk that was full whether it still is.
func (t *segments) probe() {
	t.prep.Lock()
	defer t.prep.Unlock()
	t.mu.Lock()
	n, files := len(t.spares)+1, t.filesLocked()
	full := t.fit > 0
	t.mu.Unlock()
	if !full || t.makeSpares(n) != nil {
		return
	}
	t.mu.Lock()
	if t.filesLocked() > files { // not one that was there already
		t.fit = 0
	}
	t.mu.Unlock()
}

// diskFull notes that the disk has no room for more files.
func (t *segments) diskFull() {
	t.mu.Lock()
	t.fit = max(t.filesLocked(), 1)
	t.mu.Unlock()
}

// makeSpares sees that there are n spares.
func (t *segments) makeSpares(n int) error {
	for {
		t.mu.Lock()
		there := len(t.spares)
		t.mu.Unlock()
		if there >= n {
			return nil
		}
		if err := t.makeSpare(); err != nil {
			if errors.Is(err, disk.ErrNoSpace) {
				t.diskFull()
			}
			return err
		}
	}
}

// makeSpare makes a spare: a file of full size whose name is durable. prep is held.
func (t *segments) makeSpare() error {
	t.mu.Lock()
	old := t.unreadLocked()
	if old == nil && t.most > 0 && t.filesLocked() >= t.most {
		t.mu.Unlock()
		return fmt.Errorf("%w: the limit of %d segments is reached", ErrNoSpace, t.most)
	}
	id := t.nextID
	t.nextID++
	t.mu.Unlock()
	if err := t.makeFile(id, old); err != nil {
		return err
	}
	t.mu.Lock()
	t.spares = append(t.spares, id)
	if old != nil {
		t.written[id] = true
	}
	t.mu.Unlock()
	return nil
}

// makeFile makes the file of segment id, of a retired segment's if there is one.
func (t *segments) makeFile(id uint64, old *segment) error {
	var err error
	if old != nil {
		err = t.d.Rename(segName(old.id), segName(id))
		if err == nil && !plantSpareSync {
			err = syncDir(t.d, logDir)
		}
	} else {
		err = makeSegment(t.d, segName(id), t.size, nil)
	}
	if errors.Is(err, disk.ErrNoSpace) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	if err != nil { // a sync may have failed: what the disk holds is not known
		return t.poison(fmt.Errorf("new segment: %w", err))
	}
	return nil
}

// unreadLocked takes a retired segment that nobody reads, its file closed.
func (t *segments) unreadLocked() *segment {
	for i, seg := range t.retired {
		if seg.refs == 0 {
			t.retired = slices.Delete(t.retired, i, i+1)
			t.closeLocked(seg)
			return seg
		}
	}
	return nil
}

func (t *segments) closeLocked(seg *segment) error {
	if seg.f == nil {
		return nil
	}
	err := seg.f.Close()
	seg.f = nil
	t.open--
	return err
}

// keptFiles is how many files that are not part of the log are kept for it to
// grow into: blocks that were written before are the fastest to write.
const keptFiles = reservedSegments + 1

// drop removes the files of retired segments that nobody reads and that are too
// many to become spares.
func (t *segments) drop() error {
	var errs []error
	for {
		t.mu.Lock()
		var seg *segment
		if len(t.retired)+len(t.spares) > keptFiles {
			seg = t.unreadLocked()
		}
		t.mu.Unlock()
		if seg == nil {
			return errors.Join(errs...)
		}
		if err := t.d.Remove(segName(seg.id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
}

// close closes all files.
func (t *segments) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, seg := range t.byID {
		errs = append(errs, t.closeLocked(seg))
	}
	for _, seg := range t.retired {
		errs = append(errs, t.closeLocked(seg))
	}
	return errors.Join(errs...)
}

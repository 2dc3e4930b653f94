package deltalog

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
)

// CheckOptions are options of Check.
type CheckOptions struct {
	// Rebuild makes the index anew from the log, if the log is whole.
	Rebuild bool
}

// Report is what Check found. The store is sound if there are no problems.
type Report struct {
	Problems []Problem `json:"problems"`
	// Notes are things worth knowing that are no problems: a torn tail, a missing index.
	Notes []string `json:"notes,omitempty"`

	Segments   int    `json:"segments"` // of the log
	Batches    int64  `json:"batches"`
	Frames     int64  `json:"frames"`     // COMMIT frames not counted
	DataBytes  int64  `json:"data_bytes"` // of file data in frames, live or dead
	LogBytes   int64  `json:"log_bytes"`  // verified, segment headers included
	LiveBytes  int64  `json:"live_bytes"`
	LastLSN    LSN    `json:"last_lsn"`
	Index      string `json:"index"` // "ok", "missing", "damaged", "rebuilt"
	IndexBytes int64  `json:"index_bytes"`

	// Affected are the inodes whose records or data lie where something is
	// damaged, sorted.
	Affected []InodeRef `json:"affected,omitempty"`
}

// Problem is one thing that is not as it should be.
type Problem struct {
	File   string `json:"file"`   // path
	Offset int64  `json:"offset"` // in bytes; -1: the whole file
	Err    string `json:"error"`
	Means  string `json:"means"` // what follows from it, and the way out
}

// String returns the problem in one line.
func (p Problem) String() string {
	at := p.File
	if p.Offset >= 0 {
		at = fmt.Sprintf("%s at %d", p.File, p.Offset)
	}
	return fmt.Sprintf("%s: %s (%s)", at, p.Err, p.Means)
}

// InodeRef names an inode of a layer.
type InodeRef struct {
	Layer LayerID `json:"layer"`
	Ino   Ino     `json:"ino"`
}

// Check verifies the store in dir, which must not be in use: superblock, segment
// headers and chain, every checksum of the log, SEAL footers, the index by its
// own checksums and sums, the index against one made from the log, live bytes
// recounted. It changes nothing unless Rebuild is asked for.
//
// An error means that the check could not be made at all: no store, of another
// version, in use, no log to speak of, or reading fails.
func Check(dir string, o CheckOptions) (Report, error) {
	s, err := Open(dir, Options{ReadOnly: true})
	if err != nil {
		return Report{}, err
	}
	c := checker{s: s}
	err = errors.Join(c.run(), s.Close())
	if err != nil {
		return c.Report, storeError("check", dir, err)
	}
	if o.Rebuild {
		if err = c.rebuildIndex(dir); err != nil {
			err = storeError("rebuild the index of", dir, err)
		}
	}
	return c.Report, err
}

// checker is one run of Check over a store that is open read-only.
type checker struct {
	Report
	s       *Store
	ids     []uint64 // segments of the log
	rebuilt *index   // from the log alone
	bad     []badRange
	damaged bool // the log is
}

func (c *checker) run() error {
	if err := c.log(); err != nil {
		return err
	}
	if err := c.index(); err != nil {
		return err
	}
	return c.affected()
}

func (c *checker) problem(file string, off int64, means string, format string, args ...any) {
	c.Problems = append(c.Problems, Problem{c.s.path(file), off, fmt.Sprintf(format, args...), means})
}

const (
	meansLost    = "acknowledged changes there cannot be read; restore the file from a copy, or save the rest with fsck --salvage"
	meansSeal    = "nothing is lost; the segment cannot be cleaned by its footer"
	meansRebuild = "nothing is lost: the next open for writing rebuilds it, and so does fsck --rebuild"
	meansForeign = "it is not part of the log and takes only space; move it away"
)

// log verifies the log and makes an index from it.
func (c *checker) log() error {
	s := c.s
	c.rebuilt, c.ids = newIndex(emptyKV{}, s.sb.id), s.segs.ids()
	c.Segments, c.LogBytes = len(c.ids), int64(len(c.ids))*segHeaderSize
	v, err := surveyLog(s.o.FS, s.sb.id, s.sb.segment)
	if err == nil {
		err = c.cold(v)
	}
	if err == nil {
		v, err = s.walk(c.batch, c.badRange)
	}
	if err == nil { // dead frames of layers that are gone
		err = c.rebuilt.sweepAll()
	}
	if err != nil {
		return err
	}
	for _, f := range v.segs {
		if f.err != nil && !errors.Is(f.err, errUnbegun) && !slices.Contains(c.ids, f.id) {
			c.headerProblem(f)
		}
	}
	if s.isDamaged() {
		c.damaged = true
		if len(c.bad) == 0 {
			c.problem(logDir, -1, meansLost, "%v", s.why)
		}
	}
	return nil
}

// cold verifies the cold segments, and applies them.
func (c *checker) cold(v *logSurvey) error {
	s := c.s
	refs := s.segs.coldRefs()
	c.Segments += len(refs)
	w := logWalk{fs: s.o.FS, size: s.sb.segment, bad: c.badRange}
	for _, ref := range refs {
		c.ids = append(c.ids, ref.id)
		f := v.findCold(ref.id)
		if f == nil {
			continue // Open has said so
		}
		inos := map[sealKey]LSN{}
		err := w.cold(&f.hdr, int64(ref.end), func(fr *frame, at loc) error {
			c.Frames++
			if fr.typ == frameData {
				c.DataBytes += int64(fr.length)
			}
			if fr.typ == frameSeal {
				return c.coldSeal(fr, at, inos)
			}
			if low, ok := inos[sealKey{fr.layer, fr.ino}]; !ok || fr.lsn < low {
				inos[sealKey{fr.layer, fr.ino}] = fr.lsn
			}
			if err := checkRecord(fr); err != nil {
				c.problem(segName(ref.id), int64(at.off), meansLost, "%v", err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		c.LogBytes += int64(ref.end)
	}
	_, err := s.applyCold(v, refs, c.rebuilt) // what is damaged has been reported
	return err
}

// coldSeal compares a footer with what the segment holds.
func (c *checker) coldSeal(f *frame, at loc, inos map[sealKey]LSN) error {
	entries, err := decodeSeal(f.payload)
	if err == nil && !slices.Equal(entries, sortedSeal(inos)) {
		err = errSealWrong
	}
	if err != nil {
		c.problem(segName(at.seg), int64(at.off), meansSeal, "%v", err)
	}
	return nil
}

func (c *checker) headerProblem(f foundSegment) {
	means := meansForeign
	if c.s.isDamaged() && f.id >= c.s.segs.byID[c.ids[0]].hdr.oldest { // it is where the chain breaks off
		means, c.damaged = meansLost, true
		c.bad = append(c.bad, badRange{seg: f.id, to: c.s.sb.segment})
	}
	c.problem(segName(f.id), -1, means, "%v", f.err)
}

// walk reads the log of a store that does not change meanwhile.
func (s *Store) walk(batch func(*segHeader, *logBatch) error, bad func(badRange) error) (*logSurvey, error) {
	v, err := surveyLog(s.o.FS, s.sb.id, s.sb.segment)
	if err != nil {
		return nil, err
	}
	ch, err := v.chain(s.sb.segment)
	if err != nil {
		return nil, err
	}
	w := logWalk{fs: s.o.FS, size: s.sb.segment, head: s.head.seg.id, end: s.head.off, batch: batch, bad: bad}
	if s.isDamaged() { // the head is where the damage is, not where the log ends
		w.head, w.end = ch.headID(), 0
	}
	ids := s.segs.ids()
	for i := range ch.hdrs {
		if slices.Contains(ids, ch.hdrs[i].id) {
			if err := w.segment(&ch.hdrs[i], ch.ends[i]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// isDamaged tells whether Open has found damage in the log.
func (s *Store) isDamaged() bool { return errors.Is(s.why, ErrDamaged) }

func (c *checker) batch(_ *segHeader, b *logBatch) error {
	c.Batches++
	c.Frames += int64(len(b.frames))
	c.LogBytes += int64(b.end) - int64(b.pos.off)
	c.LastLSN = b.lsn
	for i := range b.frames {
		f := &b.frames[i]
		if f.typ == frameData {
			c.DataBytes += int64(f.length)
		}
		if err := c.rebuilt.apply(f, b.locs[i]); err != nil {
			c.problem(segName(b.pos.seg), int64(b.locs[i].off), meansLost, "%v", err)
		}
		if err := checkRecord(f); err != nil {
			c.problem(segName(b.pos.seg), int64(b.locs[i].off), meansLost, "%v", err)
		}
	}
	return nil
}

// checkRecord tells whether the record in a valid frame makes sense.
func checkRecord(f *frame) (err error) {
	switch f.typ {
	case frameInode:
		_, err = decodeInode(f.payload)
	case frameEntry:
		_, _, err = decodeEntryFrame(f)
	case frameOrigin:
		_, err = decodeOrigin(f.payload)
	case frameLayer:
		_, err = decodeLayer(f.layer, f.payload)
	}
	return err
}

func (c *checker) badRange(r badRange) error {
	switch {
	case r.tail:
		c.Notes = append(c.Notes, fmt.Sprintf("%s at %d: %d bytes of a batch that a crash tore; it was never acknowledged, and the next open for writing moves them aside",
			c.s.path(segName(r.seg)), r.from, r.to-r.from))
	case errors.Is(r.cause, errSealWrong):
		c.problem(segName(r.seg), r.from, meansSeal, "%v", r.cause)
	default:
		c.damaged = true
		c.bad = append(c.bad, r)
		c.problem(segName(r.seg), r.from, meansLost, "%d bytes: %v", r.to-r.from, r.cause)
	}
	return nil
}

// index verifies the index by itself, and against the log if that is whole.
func (c *checker) index() error {
	s := c.s
	place := indexPlace{dir: s.dir, id: s.sb.id, readOnly: true, open: s.o.openKV}
	x, bad, err := place.openIndex()
	if err != nil {
		return err
	}
	defer x.close()
	c.Index = "ok"
	switch {
	case errors.Is(bad, fs.ErrNotExist):
		c.Index = "missing"
		c.Notes = append(c.Notes, s.path(indexFile)+" is missing: "+meansRebuild)
	case bad != nil:
		c.Index = "damaged"
		c.problem(indexFile, -1, meansRebuild, "%v", bad)
	}
	if c.IndexBytes, err = x.size(); err != nil {
		return err
	}
	live, err := s.x.recount()
	if err != nil {
		return err
	}
	c.LiveBytes = total(live)
	if c.damaged || c.Index != "ok" {
		return nil
	}
	s.appending.Lock()
	err = s.x.sweepAll()
	s.appending.Unlock()
	if err == nil {
		err = sameIndex(s.x, c.rebuilt)
	}
	if err == nil {
		err = s.checkPlaces()
	}
	if counted := s.x.live(); err == nil && !maps.Equal(live, counted) {
		err = indexBad("live bytes are counted as %v, and are %v", counted, live)
	}
	if err != nil {
		c.Index = "damaged"
		c.problem(indexFile, -1, "run fsck --rebuild: it makes the index anew from the log, which is whole", "%v", err)
	}
	return nil
}

// sameIndex compares what two indexes hold, and their live bytes.
func sameIndex(x, want *index) error {
	got, err := x.digest()
	if err != nil {
		return err
	}
	exp, err := want.digest()
	if err != nil {
		return err
	}
	if got != exp {
		return indexBad("it differs from the log: digest %016x, from the log %016x", got, exp)
	}
	live, err := x.recount()
	if err != nil {
		return err
	}
	// By the sum: what the cleaner has copied and not freed is in two places.
	if exp, err := want.recount(); err != nil || total(live) != total(exp) {
		return errors.Join(err, indexBad("live bytes differ from the log's: %v, from the log %v", live, exp))
	}
	return nil
}

func total(live map[uint64]int64) (sum int64) {
	for _, n := range live {
		sum += n
	}
	return sum
}

// affected finds whose records and data lie in what is damaged: what headers in
// it tell, and what the index has there.
func (c *checker) affected() error {
	if !c.damaged {
		return nil
	}
	refs := map[InodeRef]bool{}
	for _, r := range c.bad {
		for _, k := range r.inos {
			refs[InodeRef{k.layer, k.ino}] = true
		}
	}
	for t := range tables {
		err := c.s.x.each(t, []byte{}, nil, func(p pair) bool {
			if t != tableLayer && c.points(t, p.val) {
				refs[InodeRef{keyLayer(p.key), keyIno(p.key)}] = true
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	c.Affected = slices.SortedFunc(maps.Keys(refs), func(a, b InodeRef) int {
		if (sealKey{a.Layer, a.Ino}).less(sealKey{b.Layer, b.Ino}) {
			return -1
		}
		return 1
	})
	return nil
}

// points tells whether a value points into what is damaged.
func (c *checker) points(t table, val []byte) bool {
	hit := func(seg uint64, off uint32) bool {
		return !slices.Contains(c.ids, seg) || slices.ContainsFunc(c.bad, func(r badRange) bool {
			return r.seg == seg && int64(off) >= r.from && int64(off) < r.to && !r.whole[int64(off)]
		})
	}
	if t != tableExtent {
		at := valuePointer(val)
		return hit(at.seg, at.off)
	}
	for i := range chunkLen(val) {
		if e := chunkAt(val, i); hit(e.seg, e.frameOff) {
			return true
		}
	}
	return false
}

// rebuildIndex replaces the index by one that is made from the log.
func (c *checker) rebuildIndex(dir string) error {
	if c.damaged {
		return fmt.Errorf("%w: the index is kept, since it knows what the log has lost", ErrDamaged)
	}
	lock, err := lockStore(dir, true)
	if err != nil {
		return err
	}
	if err := removeBolt(dir); err != nil {
		return errors.Join(err, lock.unlock())
	}
	s, err := openLocked(dir, Options{}.withDefaults(dir), lock)
	if err != nil {
		return errors.Join(err, lock.unlock())
	}
	if err := s.Close(); err != nil {
		return err
	}
	c.Index = "rebuilt"
	c.Problems = slices.DeleteFunc(c.Problems, func(p Problem) bool { return p.File == filepath.Join(dir, indexFile) })
	return nil
}

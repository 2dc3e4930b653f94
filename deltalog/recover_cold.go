package deltalog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"deltafs/deltalog/disk"
)

// loadCold enters the cold segments that the log lists. One that was written
// when the process died is taken as far as its frames are valid: the index may
// know of more than the list does. Nothing is added to it any more.
func (r *recovery) loadCold() error {
	there := make([]coldRef, 0, len(r.cold))
	defer func() { r.s.segs.setCold(there, 0) }()
	for i := range r.cold {
		ref := &r.cold[i]
		f := r.v.findCold(ref.id)
		if f == nil {
			why := error(fs.ErrNotExist)
			if bad := r.v.find(ref.id); bad != nil && bad.err != nil {
				why = bad.err
			}
			r.damage = append(r.damage, &damage{segName(ref.id), -1, why})
			continue
		}
		r.s.segs.addCold(f.hdr)
		if ref.seal == 0 && !r.s.o.ReadOnly {
			if err := r.growCold(ref); err != nil {
				return err
			}
		}
		if err := r.weighCold(*ref); err != nil {
			return err
		}
		there = append(there, *ref)
	}
	return nil
}

// weighCold finds out how much compression has saved in a cold segment. Damage is found
// by who reads it.
func (r *recovery) weighCold(ref coldRef) error {
	seg, err := r.s.segs.acquire(ref.id)
	if err != nil {
		return err
	}
	defer r.s.segs.release(seg)
	from := int64(segHeaderSize)
	if ref.seal != 0 {
		from = int64(ref.seal)
	}
	err = scanCold(seg.f, &seg.hdr, from, int64(ref.end), func(f *frame, _ loc) error {
		switch {
		case f.typ == frameSeal:
			seg.saved.Store(f.offset)
		case f.flags&flagCompressed != 0:
			seg.saved.Add(uint64(f.length - f.size))
		}
		return nil
	})
	if errors.Is(err, errFrame) || errors.Is(err, errTruncated) {
		return nil
	}
	return err
}

// growCold finds out how far an unfinished cold segment goes, and makes that
// durable.
func (r *recovery) growCold(ref *coldRef) error {
	seg, err := r.s.segs.acquire(ref.id)
	if err != nil {
		return err
	}
	defer r.s.segs.release(seg)
	end, err := coldEnd(seg.f, &seg.hdr, int64(ref.end), r.s.segs.size)
	if err != nil {
		return fmt.Errorf("%s: %w", segName(ref.id), err)
	}
	if end == int64(ref.end) {
		return nil
	}
	// Written anew first, as in rewrite.
	p := make([]byte, end-int64(ref.end))
	if _, err := seg.f.ReadAt(p, int64(ref.end)); err != nil {
		return err
	}
	if _, err := seg.f.WriteAt(p, int64(ref.end)); err != nil {
		return err
	}
	if err := seg.f.Sync(); err != nil {
		return err
	}
	ref.end = uint32(end)
	return nil
}

// coldFrame is where a frame of a cold segment lies, and when it was written
// first.
type coldFrame struct {
	lsn  LSN
	gone bool // a tombstone
	ref  int  // place in the list
	off  uint32
}

// rebuildCold applies what the cold segments hold, before anything of the hot
// log, all of which is newer or the same.
//
// It returns the place in the chain where the hot log begins: what was trimmed,
// though its file may still be there, must not take back what was copied from it.
func (r *recovery) rebuildCold() (first int, err error) {
	refs, oldest, err := lastCold(r.s.o.FS, r.c, r.s.segs.size)
	if err != nil {
		return 0, err
	}
	bad, err := r.s.applyCold(r.v, refs, r.s.x)
	r.damage = append(r.damage, bad...)
	for first < len(r.c.hdrs)-1 && r.c.hdrs[first].id < oldest {
		first++
	}
	return first, err
}

// redo lets the index know what the cleaner had moved after the checkpoint that it
// holds, up to where replay is: the lists of cold segments tell up to where copies are
// durable whose pointers were moved.
func (r *recovery) redo() error {
	for _, ref := range r.cold {
		from := int64(segHeaderSize)
		if i := slices.IndexFunc(r.moved, func(m coldRef) bool { return m.id == ref.id }); i >= 0 {
			from = int64(r.moved[i].end)
		}
		f := r.v.findCold(ref.id)
		if f == nil || from >= int64(ref.end) {
			continue // loadCold says so if it is missing
		}
		file, err := r.s.o.FS.Open(segName(ref.id), false)
		if err != nil {
			return err
		}
		last := from
		err = scanCold(file, &f.hdr, from, int64(ref.end), func(fr *frame, at loc) error {
			last = int64(at.off) + int64(at.size)
			return r.s.x.redo(fr, at)
		})
		file.Close()
		if errors.Is(err, errFrame) || errors.Is(err, errTruncated) {
			r.damage = append(r.damage, &damage{segName(ref.id), last, err})
		} else if err != nil {
			return fmt.Errorf("%s: %w", segName(ref.id), err)
		}
	}
	r.moved = r.cold
	return nil
}

// logEnd returns the place in the chain of the segment that the log ends in: one may be
// torn, and those behind it whole, so long as nothing says that all of it was synced.
func logEnd(d disk.FS, c *chain) (end int, err error) {
	end = len(c.hdrs) - 1
	for i := end; i >= 0 && !plantBehindEnd; i-- {
		f, err := d.Open(segName(c.hdrs[i].id), false)
		if err != nil {
			return 0, err
		}
		var synced LSN
		_, err = scanSegment(f, &c.hdrs[i], c.ends[i], func(b *logBatch) error {
			synced = max(synced, b.commit.synced)
			return nil
		})
		f.Close()
		switch {
		case errors.Is(err, errFrame) || errors.Is(err, errTruncated):
			end = i
		case err != nil:
			return 0, err
		}
		if synced+1 >= c.hdrs[i].first {
			return end, nil
		}
	}
	return end, nil
}

// lastCold returns the last list of cold segments in the log, and the oldest hot
// segment. Each segment begins with a list unless there were none.
func lastCold(d disk.FS, c *chain, size int64) (refs []coldRef, oldest uint64, err error) {
	end, err := logEnd(d, c)
	if err != nil {
		return nil, 0, err
	}
	for i := end; i >= 0; i-- {
		oldest = c.hdrs[i].oldest
		f, err := d.Open(segName(c.hdrs[i].id), false)
		if err != nil {
			return nil, 0, err
		}
		batches := 0
		_, err = scanSegment(f, &c.hdrs[i], c.ends[i], func(b *logBatch) error {
			batches++
			for j := range b.frames {
				switch f := &b.frames[j]; f.typ {
				case frameTrim:
					oldest = trimOldest(f)
				case frameCold:
					var err error
					if refs, err = decodeCold(f.payload, size); err != nil {
						return err
					}
				}
			}
			return nil
		})
		f.Close()
		if err != nil && !errors.Is(err, errFrame) && !errors.Is(err, errTruncated) {
			return nil, 0, err
		}
		if batches > 0 {
			return refs, oldest, nil
		}
	}
	return nil, 0, nil
}

// applyCold applies the frames of cold segments to an index, oldest first.
// Frames of one batch are applied with the tombstones first: what they were
// written after is dead and was not copied. It returns what is damaged.
func (s *Store) applyCold(v *logSurvey, refs []coldRef, x *index) (bad []*damage, err error) {
	var all []coldFrame
	for i, ref := range refs {
		f := v.findCold(ref.id)
		if f == nil {
			continue // loadCold says so
		}
		file, err := s.o.FS.Open(segName(ref.id), false)
		if err != nil {
			return bad, err
		}
		for from := int64(segHeaderSize); from < int64(ref.end); {
			err = scanCold(file, &f.hdr, from, int64(ref.end), func(fr *frame, at loc) error {
				from = int64(at.off) + int64(at.size)
				if fr.typ.record() {
					all = append(all, coldFrame{fr.lsn, fr.typ.tombstone(), i, at.off})
				}
				return nil
			})
			if err == nil || !errors.Is(err, errFrame) && !errors.Is(err, errTruncated) {
				break
			}
			// What is behind is of use all the same: frames stand for themselves.
			bad = append(bad, &damage{segName(ref.id), from, err})
			from, err = nextFrame(file, &f.hdr, from+8, int64(ref.end)), nil
		}
		file.Close()
		if err != nil {
			return bad, err
		}
	}
	slices.SortFunc(all, func(a, b coldFrame) int {
		switch {
		case a.lsn != b.lsn:
			return cmp.Compare(a.lsn, b.lsn)
		case a.gone != b.gone && a.gone:
			return -1
		case a.gone != b.gone:
			return 1
		case a.ref != b.ref:
			return cmp.Compare(a.ref, b.ref)
		}
		return cmp.Compare(a.off, b.off)
	})
	read := coldReader{s: s, v: v, open: map[uint64]*scanner{}}
	defer read.close()
	for _, c := range all {
		f, at, err := read.frame(refs[c.ref], c.off)
		if err != nil {
			return bad, err
		}
		if err := x.apply(&f, at); err != nil {
			return bad, err
		}
	}
	return bad, nil
}

// nextFrame returns where the next frame with a valid header begins in [from, end) of
// a segment, end if there is none.
func nextFrame(r io.ReaderAt, h *segHeader, from, end int64) int64 {
	p := make([]byte, max(end-from, 0))
	n, _ := r.ReadAt(p, from) // what cannot be read has no frames
	for at := 0; at+frameHeaderSize <= n; at += 8 {
		var f frame
		if decodeFrameHeader(p[at:], h.salt, &f) == nil {
			return from + int64(at)
		}
	}
	return end
}

// coldReader reads frames of cold segments in any order. Neighbours mostly follow
// each other, so a part of each of some segments is kept.
type coldReader struct {
	s    *Store
	v    *logSurvey
	open map[uint64]*scanner
}

// coldReaders is how many segments are kept open.
const coldReaders = 64

func (r *coldReader) frame(ref coldRef, off uint32) (frame, loc, error) {
	sc := r.open[ref.id]
	if sc == nil {
		if len(r.open) >= coldReaders {
			for id := range r.open { // any
				r.drop(id)
				break
			}
		}
		f, err := r.s.o.FS.Open(segName(ref.id), false)
		if err != nil {
			return frame{}, loc{}, err
		}
		sc = &scanner{r: f, id: ref.id, salt: r.v.findCold(ref.id).hdr.salt, end: int64(ref.end)}
		r.open[ref.id] = sc
	}
	sc.pos = int64(off)
	return sc.cold()
}

func (r *coldReader) drop(id uint64) {
	r.open[id].r.(disk.File).Close() // it was only read
	delete(r.open, id)
}

func (r *coldReader) close() {
	for id := range r.open {
		r.drop(id)
	}
}

package deltalog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
)

// keptAside is how many files of earlier recoveries are kept.
const keptAside = 8

// clean makes the log end behind the last complete batch, for good. Each step
// can be repeated by the next recovery if a crash comes between.
func (r *recovery) clean() error {
	s := r.s
	if err := r.harden(); err != nil {
		return err
	}
	s.segs.forget(r.old, r.at.seg)
	if err := r.setAside(); err != nil {
		return err
	}
	for _, name := range r.v.temps {
		if err := s.o.FS.Remove(name); err != nil {
			return err
		}
	}
	if err := r.spares(); err != nil {
		return err
	}
	return syncDir(s.o.FS, logDir) // names made by a process that was killed
}

// harden makes durable what was replayed and is not known to be. It is written
// anew first: if a sync has failed before the process ended, the kernel may
// show data that it has given up, and say that there is nothing to sync.
func (r *recovery) harden() error {
	if plantSkipHarden {
		return nil
	}
	for i := r.first; i < len(r.c.hdrs) && r.c.hdrs[i].id <= r.at.seg; i++ {
		end, last := r.c.ends[i], r.lsn
		if r.c.hdrs[i].id == r.at.seg {
			end = int64(r.at.off)
		} else {
			last = r.c.hdrs[i+1].first - 1
		}
		if last <= r.synced && r.c.hdrs[i].first <= r.synced {
			continue
		}
		if err := r.rewrite(&r.c.hdrs[i], end); err != nil {
			return fmt.Errorf("%s: %w", segName(r.c.hdrs[i].id), err)
		}
	}
	return nil
}

// rewrite writes and syncs what a segment holds that is not known to be synced.
func (r *recovery) rewrite(h *segHeader, end int64) error {
	seg, err := r.s.segs.acquire(h.id)
	if err != nil {
		return err
	}
	defer r.s.segs.release(seg)
	from := int64(0)
	if h.first <= r.synced {
		sc := newScanner(seg.f, h, end)
		for sc.lsn <= r.synced {
			if _, err := sc.batch(); err != nil {
				return err
			}
		}
		from = sc.pos
	}
	p := make([]byte, min(end-from, 1<<20))
	for ; from < end; from += int64(len(p)) {
		p = p[:min(end-from, int64(len(p)))]
		if _, err := seg.f.ReadAt(p, from); err != nil {
			return err
		}
		if _, err := seg.f.WriteAt(p, from); err != nil {
			return err
		}
	}
	if plantSkipSync {
		return nil
	}
	return seg.f.Sync()
}

// setAside keeps what is cut off: the torn tail as a copy, and the segments
// that are not part of the log any more.
func (r *recovery) setAside() error {
	orphans := r.orphans()
	if r.torn == 0 && len(orphans) == 0 {
		return nil
	}
	d := r.s.o.FS
	if err := d.Mkdir(asideDir); err != nil {
		return err
	}
	if r.torn > 0 {
		name := fmt.Sprintf("%s/%016x-%08x.tail", asideDir, r.at.seg, r.at.off)
		if err := r.copyTail(name); err != nil {
			// A courtesy, not worth failing for: say, the disk is full.
			r.s.o.Log.Warn("torn tail not kept", "store", r.s.dir, "err", err)
		} else {
			r.s.o.Log.Warn("torn tail of a crash cut off", "store", r.s.dir, "after LSN", r.lsn, "kept", name)
		}
	}
	// The newest first, each durably: a crash must not leave a segment whose
	// predecessor has gone, for that looks like damage.
	for _, id := range slices.Backward(orphans) {
		name := path.Join(asideDir, path.Base(segName(id)))
		r.s.o.Log.Warn("segment behind a torn tail cut off", "store", r.s.dir, "kept", name)
		if err := d.Rename(segName(id), name); err != nil {
			return err
		}
		if err := errors.Join(syncDir(d, asideDir), syncDir(d, logDir)); err != nil {
			return err
		}
	}
	if err := r.pruneAside(); err != nil {
		return err
	}
	return syncDir(d, asideDir)
}

// orphans returns the begun segments that are not part of the log, but those
// that were trimmed.
func (r *recovery) orphans() []uint64 {
	var ids []uint64
	for i := range r.v.segs {
		f := &r.v.segs[i]
		if f.err != nil || f.id < r.old {
			continue
		}
		lost := slices.ContainsFunc(r.lost, func(h segHeader) bool { return h.id == f.id })
		if lost || r.c.index(f.id) < 0 {
			ids = append(ids, f.id)
		}
	}
	return ids
}

// copyTail copies what lies behind the last complete batch.
func (r *recovery) copyTail(name string) error {
	d := r.s.o.FS
	src, err := d.Open(segName(r.at.seg), false)
	if err != nil {
		return err
	}
	defer src.Close()
	p := make([]byte, r.torn-int64(r.at.off))
	if _, err := src.ReadAt(p, int64(r.at.off)); err != nil && err != io.EOF {
		return err
	}
	if err := d.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return writeFile(d, name, p)
}

// pruneAside removes the oldest of too many files.
func (r *recovery) pruneAside() error {
	names, err := r.s.o.FS.List(asideDir)
	if err != nil {
		return err
	}
	for len(names) > keptAside {
		if err := r.s.o.FS.Remove(path.Join(asideDir, names[0])); err != nil {
			return err
		}
		names = names[1:]
	}
	return nil
}

// highest returns the highest id that a begun segment has.
func (r *recovery) highest() (id uint64) {
	for i := range r.v.segs {
		if r.v.segs[i].err == nil {
			id = max(id, r.v.segs[i].id)
		}
	}
	return id
}

// spares takes the files behind the log as spares, and removes those of
// segments that were trimmed.
func (r *recovery) spares() error {
	t := r.s.segs
	t.reserve(r.v.most)
	for i := range r.v.segs {
		f := &r.v.segs[i]
		unbegun := errors.Is(f.err, errUnbegun)
		if unbegun && f.id > r.highest() && t.addSpare(f.id) {
			continue
		}
		if unbegun || f.id < r.old {
			if err := t.d.Remove(segName(f.id)); err != nil {
				return err
			}
		}
	}
	for i := range r.v.cold { // freed, or begun and not listed
		id := r.v.cold[i].id
		if slices.ContainsFunc(r.cold, func(c coldRef) bool { return c.id == id }) {
			continue
		}
		if err := t.d.Remove(segName(id)); err != nil {
			return err
		}
	}
	return nil
}

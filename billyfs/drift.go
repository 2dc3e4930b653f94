package billyfs

import (
	"sync"

	"deltafs/deltalog"
)

// driftState says how the base's object differs from what it was when it was
// first changed in the delta.
type driftState uint8

const (
	driftNone driftState = iota
	driftSoft            // inode number or ctime only: a warning, and a conflict at commit
	driftHard            // size or mtime, or it is gone: its data can no longer be mixed with ours
)

// compareFingerprints tells how far now is from then. A base that has no inode
// numbers (0) does not differ in them.
func compareFingerprints(then, now deltalog.Fingerprint) driftState {
	switch {
	case then.Size != now.Size || then.Mtime != now.Mtime:
		return driftHard
	case then != now:
		return driftSoft
	}
	return driftNone
}

// drift compares an object with the fingerprint that its record holds. The
// base is asked at most once a second per object, and never if it is
// immutable. An object that is gone, or is of another type now, is driftHard;
// an error means that the base could not be asked.
func (b *base) drift(ino Ino, fp deltalog.Fingerprint) (driftState, error) {
	if b.immutable {
		return driftNone, nil
	}
	state := driftHard
	_, st, err := b.stat(ino, true)
	switch {
	case err == nil:
		now := st.fingerprint()
		if b.noTimes {
			// Times made up by the file system differ at every start.
			now.Mtime, now.Ctime = fp.Mtime, fp.Ctime
		}
		state = compareFingerprints(fp, now)
	case KindOf(err) != Stale:
		return 0, err
	}
	if state != driftNone && b.warns.first(ino, state) {
		b.warnDrift(ino, state)
	}
	return state, nil
}

// drift is that of the base, but for what a commit is writing to just now: that has changed, and
// what shows of it has not.
func (t *Tree) drift(ino Ino, fp deltalog.Fingerprint) (driftState, error) {
	if _, ours := t.applying.Load(ino); ours {
		return driftNone, nil
	}
	return t.base.drift(ino, fp)
}

func (b *base) warnDrift(ino Ino, state driftState) {
	p, err := b.path(ino)
	if err != nil {
		p = inoName(ino)
	}
	if state == driftHard {
		b.log.Warn("the base changed under a changed file: what is not in the delta cannot be read",
			"path", p, "hint", "discard the change, or accept the base")
		return
	}
	b.log.Warn("the base's copy of a changed file was replaced or its attributes changed", "path", p)
}

// warnings remembers what was logged, so that it is logged once per object.
type warnings struct {
	mu   sync.Mutex
	seen map[Ino]driftState
}

// maxWarnings bounds the memory of warnings; beyond it they are not logged.
const maxWarnings = 1 << 16

// first tells whether an object was not yet warned of in this state or a worse one.
func (w *warnings) first(ino Ino, s driftState) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen == nil {
		w.seen = make(map[Ino]driftState)
	}
	if w.seen[ino] >= s || len(w.seen) >= maxWarnings {
		return false
	}
	w.seen[ino] = s
	return true
}

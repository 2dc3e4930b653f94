package billyfs

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"deltafs/deltalog"
)

// A line is a live view of a store: "main", or a fork. It goes on in a new layer
// when a snapshot freezes the one it was in, and from an older one when it goes
// back. Its handles stay good, as far as their objects are there.

// MainLine is the line that every store begins with.
const MainLine = "main"

// live returns the layer that changes go to. It stays the same as long as stack
// is held.
func (t *Tree) live() deltalog.LayerID { return deltalog.LayerID(t.layer.Load()) }

// Line returns the name of the tree's line.
func (t *Tree) Line() string { return t.line }

// checkLineName refuses what cannot name a snapshot or a fork.
func checkLineName(op, name string) error {
	if err := checkName(op, 0, name); err != nil {
		return err
	}
	if isDot(name) || name[0] == '@' || name[0] == '-' {
		return &Error{Op: op, Path: name, Kind: Invalid, Err: errors.New("a name cannot be . or .. or begin with @ or -")}
	}
	return nil
}

// layerFail is an error of an operation on lines and snapshots.
func layerFail(op, name string, err error) error {
	kind := storeKind(err)
	switch {
	case errors.Is(err, deltalog.ErrExists), errors.Is(err, errChanged):
		kind = Exist
	case errors.Is(err, deltalog.ErrNoLayer):
		kind = NotExist
	case errors.Is(err, deltalog.ErrLastLine), errors.Is(err, deltalog.ErrDepth), errors.Is(err, errOwnLine), errors.Is(err, errNotFrozen):
		kind = Invalid
	}
	return &Error{Op: op, Path: name, Kind: kind, Err: err}
}

var (
	errOwnLine   = errors.New("it is the line itself")
	errNotFrozen = errors.New("it is not a snapshot")
)

// Snapshot freezes what the tree is now under a name, and is durable when it
// returns. It takes as long whatever the tree holds, and changes that are under
// way wait for one append at most. Exist: the name is taken.
func (t *Tree) Snapshot(name string) error {
	const op = "snapshot"
	if err := checkLineName(op, name); err != nil {
		return err
	}
	return t.step(op, name)
}

// step goes on in a new layer; name is that of the one below, or empty.
func (t *Tree) step(op, name string) error {
	if err := t.changeable(op, name); err != nil {
		return err
	}
	t.stack.Lock()
	l, lsn, err := t.store.Snapshot(t.live(), name)
	if err == nil {
		t.layer.Store(uint32(l.ID))
	}
	t.stack.Unlock()
	if err != nil {
		return layerFail(op, name, err)
	}
	return t.Sync(lsn)
}

// Fork makes another live line, of what a snapshot holds or, if from is empty, of
// what the tree is now. It is durable when Fork returns. Open with Line opens it.
func (t *Tree) Fork(name, from string) error {
	const op = "fork"
	if err := checkLineName(op, name); err != nil {
		return err
	}
	if err := t.changeable(op, name); err != nil {
		return err
	}
	if _, taken := t.store.LayerNamed(name); taken {
		return layerFail(op, name, fmt.Errorf("%w: %q", deltalog.ErrExists, name))
	}
	if from == "" {
		if err := t.step(op, ""); err != nil {
			return err
		}
	}
	var view [8]byte
	if _, err := rand.Read(view[:]); err != nil {
		return layerFail(op, name, err)
	}
	lsn, err := again(func() (LSN, error) {
		below, err := t.below(from)
		if err != nil {
			return 0, err
		}
		_, lsn, err := t.store.Fork(below, name, binary.LittleEndian.Uint64(view[:])|1)
		return lsn, err
	})
	if err != nil {
		return layerFail(op, name, err)
	}
	return t.Sync(lsn)
}

// again calls fn once more if the layer that it has found is not there any more:
// layers that have settled have other numbers.
func again(fn func() (LSN, error)) (LSN, error) {
	for n := 0; ; n++ {
		lsn, err := fn()
		if n == 10 || !errors.Is(err, deltalog.ErrNoLayer) {
			return lsn, err
		}
	}
}

// below returns the layer of a snapshot, or, without a name, that under the
// live one.
func (t *Tree) below(name string) (deltalog.LayerID, error) {
	if name != "" {
		l, err := t.snapshot(name)
		return l.ID, err
	}
	l, _, err := t.store.Layer(t.live())
	return l.Parent, err
}

// snapshot returns the snapshot of that name.
func (t *Tree) snapshot(name string) (deltalog.Layer, error) {
	l, ok := t.store.LayerNamed(name)
	switch {
	case !ok:
		return l, fmt.Errorf("%w named %q", deltalog.ErrNoLayer, name)
	case l.Live():
		return l, fmt.Errorf("%w: %q is live", errNotFrozen, name)
	}
	return l, nil
}

// Rollback makes the tree what a snapshot holds. What it was before is kept as
// an automatic snapshot, whose name is returned. It is durable when Rollback
// returns. Objects that the snapshot does not have are Stale from then on; those that
// were changed since, and the directories of names that were, get a new mtime and ctime,
// so that clients look again.
func (t *Tree) Rollback(to string) (saved string, err error) {
	return t.goBack("rollback", to, func() (deltalog.LayerID, error) { return t.below(to) })
}

// Discard makes the tree what the base is, for good: all changes of the line are given
// up, durably. Snapshots and other lines stay. What was changed, and is still there, gets
// a new mtime and ctime, as with Rollback.
func (t *Tree) Discard() error {
	const op = "discard"
	saved, err := t.goBack(op, t.line, func() (deltalog.LayerID, error) { return 0, nil })
	if err != nil {
		return err
	}
	return t.Drop(saved)
}

// Accept makes the tree what a fork of it is, durably, and gives up the fork's name: the
// tree's own line goes on from there. Exist: the tree has changed since the fork was begun,
// and so would lose something; the error names what. Whoever writes to the fork must
// have stopped.
func (t *Tree) Accept(fork *Tree) error {
	const op = "accept"
	if fork.line == t.line {
		return layerFail(op, fork.line, errOwnLine)
	}
	if err := fork.step(op, ""); err != nil {
		return err
	}
	saved, err := t.goBack(op, fork.line, func() (deltalog.LayerID, error) {
		to, err := fork.below("")
		if err != nil {
			return 0, err
		}
		changed := map[Ino]bool{}
		if err := t.store.Since(t.live(), to, func(ino Ino, _ int64) { changed[ino] = true }); err != nil {
			return 0, err
		}
		if len(changed) > 0 {
			return 0, t.changedSince(changed)
		}
		return to, nil
	})
	if err != nil {
		return err
	}
	if err := t.Drop(saved); err != nil { // it is what the fork began with
		return err
	}
	return t.Drop(fork.line)
}

// errChanged means that a line has changed where that is not wanted.
var errChanged = errors.New("the line has changed since the fork was begun")

// changedSince names what has changed, or some of it.
func (t *Tree) changedSince(inos map[Ino]bool) error {
	c, err := t.collect()
	if err != nil {
		return err
	}
	var paths []string
	for ino := range inos {
		if ino == RootIno {
			continue // names in it: others say which
		}
		paths = append(paths, c.anyPath(ino))
	}
	slices.Sort(paths)
	more := ""
	if n := len(paths); n > 20 {
		paths, more = paths[:20], fmt.Sprintf(" and %d more", n-20)
	}
	return fmt.Errorf("%w: %s%s", errChanged, strings.Join(paths, ", "), more)
}

// goBack makes the line go on over the layer that find returns.
func (t *Tree) goBack(op, to string, find func() (deltalog.LayerID, error)) (saved string, err error) {
	if err := t.changeable(op, to); err != nil {
		return "", err
	}
	at := time.Unix(0, t.now()).UTC().Format("20060102T150405.000Z")
	t.stack.Lock()
	was := t.live()
	var l deltalog.Layer
	var lsn LSN
	for n := 0; ; n++ {
		saved = t.line + "-before-" + at
		if n > 0 {
			saved += fmt.Sprint("-", n)
		}
		lsn, err = again(func() (lsn LSN, err error) {
			below, err := find()
			if err == nil {
				l, lsn, err = t.store.Rollback(t.live(), below, saved)
			}
			return lsn, err
		})
		if !errors.Is(err, deltalog.ErrExists) {
			break
		}
	}
	if err == nil {
		t.changes.begin()
		t.layer.Store(uint32(l.ID))
		t.epoch.Add(1)
		t.dentries.clear()
		t.changes.end()
	}
	t.stack.Unlock()
	if err != nil {
		return "", layerFail(op, to, err)
	}
	return saved, t.Sync(max(lsn, t.touchDiffering(op, was)))
}

// touchDiffering gives new times to what the live layer shows otherwise than another
// one, or has other names in. What cannot be touched is seen by clients when what they
// know of it has grown old.
func (t *Tree) touchDiffering(op string, was deltalog.LayerID) (last LSN) {
	seen := map[Ino]int64{} // the highest ctime that clients can know
	err := t.store.Differing(was, t.live(), func(ino Ino, ctime int64) { seen[ino] = max(seen[ino], ctime) })
	for ino, ctime := range seen {
		lsn, terr := t.touch(op, ino, ctime)
		if k := KindOf(terr); k != Stale && k != NotExist && err == nil { // those are not there any more
			err = terr
		}
		last = max(last, lsn)
	}
	if err != nil {
		t.log.Warn("not all that has changed has new times", "op", op, "line", t.line, "err", err)
	}
	return last
}

// touch gives an object an mtime and a ctime that are later than after. An object that has
// the mtime of the base is not taken for changed by that.
func (t *Tree) touch(op string, ino Ino, after int64) (LSN, error) {
	set := t.lock(ino)
	defer set.unlock()
	u := t.begin(op, Caller{}, set)
	s, err := t.load(u.node(ino))
	if err != nil {
		return 0, err
	}
	if err := t.there(op, ino, s); err != nil {
		return 0, err
	}
	e, err := u.edit(ino)
	if err != nil {
		return 0, err
	}
	if after < math.MaxInt64 {
		e.stamp = max(e.stamp, after+1)
	}
	asBase := e.rec.Flags&deltalog.InodeBase != 0 && e.before.Mtime == e.rec.Base.Mtime
	touched := e.rec.Flags & deltalog.InodeTouched
	e.modified()
	if e.rec.Flags |= touched; asBase {
		e.rec.Flags |= deltalog.InodeTouched
	}
	return u.commit()
}

// Drop gives up a snapshot or another line, durably. What only it held is gone
// for good; its space comes back by and by.
func (t *Tree) Drop(name string) error {
	const op = "drop"
	if name == t.line {
		return layerFail(op, name, errOwnLine)
	}
	if err := t.changeable(op, name); err != nil {
		return err
	}
	var dropped deltalog.LayerID
	lsn, err := again(func() (LSN, error) {
		l, ok := t.store.LayerNamed(name)
		if !ok {
			return 0, fmt.Errorf("%w named %q", deltalog.ErrNoLayer, name)
		}
		dropped = l.ID
		return t.store.Drop(l.ID)
	})
	if err != nil {
		return layerFail(op, name, err)
	}
	if live, ok, _ := t.store.Layer(t.live()); ok && live.Parent == dropped {
		if err := t.stepOver(op); err != nil {
			return err
		}
	}
	return t.Sync(max(lsn, t.store.LastLSN()))
}

// stepOver freezes what came after a snapshot that was given up: only then can the two become one. With as many layers
// as there can be those below have to do so first, and what came after stays apart until another step.
func (t *Tree) stepOver(op string) error {
	if err := t.step(op, ""); !errors.Is(err, deltalog.ErrDepth) {
		return err
	}
	return nil
}

// Flatten gives up all snapshots that the line goes back to, durably and at once, and returns their names, the newest
// first. What forks have begun with is kept for them, and so are snapshots that a rollback has made. Space
// of what only the snapshots had comes back by and by.
func (t *Tree) Flatten() ([]string, error) {
	const op = "flatten"
	if err := t.changeable(op, t.line); err != nil {
		return nil, err
	}
	t.stack.Lock()
	names, lsn, err := t.store.Flatten(t.live())
	t.stack.Unlock()
	if err != nil {
		return nil, layerFail(op, t.line, err)
	}
	if len(names) > 0 {
		if err := t.stepOver(op); err != nil {
			return names, err
		}
	}
	return names, t.Sync(max(lsn, t.store.LastLSN()))
}

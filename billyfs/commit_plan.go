package billyfs

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"deltafs/deltalog"
)

// plan is what a commit, or a discard, is about: records of a layer and what the base holds
// where they say something.
type plan struct {
	*changes
	holder   map[place]Ino   // what the base has at the places of entries
	at       map[Ino][]place // the same the other way round
	children map[Ino][]place // entries by directory
	known    map[Ino]bool    // a commit is at these: that they differ is its own doing
	undo     bool            // to be given up, not to be done

	entries map[place]bool // chosen
	inodes  map[Ino]bool   // chosen
	also    map[string]bool
	blocked map[Ino]string   // objects that stay as they are, and why
	barred  map[place]string // places that stay as they are, and why
}

// Conflict is a path where the base is not what it was when the delta changed it.
type Conflict struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// makePlan chooses what lies at and below paths, all if there are none, and what that
// cannot be done without; again after a commit was cut short.
func (t *Tree) makePlan(layer deltalog.LayerID, paths []string, ignore func(string) bool, again bool) (*plan, error) {
	p, err := t.gatherPlan(layer)
	if err != nil {
		return nil, err
	}
	if again {
		if err := p.findStaged(); err != nil {
			return nil, err
		}
		t.applying.Range(func(ino, _ any) bool {
			p.known[ino.(Ino)] = true
			p.chooseObject(ino.(Ino))
			p.chooseInode(ino.(Ino))
			return true
		})
		for ino, places := range p.at {
			if slices.ContainsFunc(places, func(at place) bool { return t.base.hides(at.name) }) {
				p.chooseObject(ino)
			}
		}
	}
	p.choose(paths, ignore)
	return p, nil
}

// gatherPlan asks the base about all that a layer says.
func (t *Tree) gatherPlan(layer deltalog.LayerID) (*plan, error) {
	c, err := t.collectAt(layer)
	if err != nil {
		return nil, err
	}
	p := &plan{
		changes: c, holder: map[place]Ino{}, at: map[Ino][]place{}, children: map[Ino][]place{}, known: map[Ino]bool{},
		entries: map[place]bool{}, inodes: map[Ino]bool{}, also: map[string]bool{},
		blocked: map[Ino]string{}, barred: map[place]string{},
	}
	if err := t.base.held.clear(); err != nil { // the base may have been changed just now
		t.log.Warn("a directory of the base does not close", "err", err)
	}
	for at := range c.entries {
		p.children[at.parent] = append(p.children[at.parent], at)
		if !t.inBase(at.parent) {
			continue
		}
		ino, err := t.base.Lookup(at.parent, at.name)
		switch KindOf(err) {
		case 0:
			p.holder[at] = ino
			p.at[ino] = append(p.at[ino], at)
		case NotExist:
		case Stale, NotDir, Access: // the directory is not there any more
			p.barred[at] = "its directory in the base: " + KindOf(err).String()
		default:
			return nil, err
		}
	}
	return p, nil
}

// findStaged finds what an earlier run has moved to hidden names, and chooses it: it has to be
// somewhere.
func (p *plan) findStaged() error {
	b := p.t.base
	err := p.t.store.EachEntry(deltalog.BaseLayer, func(dir Ino, e deltalog.DirEntry) bool {
		if b.hides(e.Name) {
			p.gain(e.Ino, place{dir, e.Name})
		}
		return true
	})
	if err != nil {
		return &Error{Op: commitOp, Path: "store", Kind: storeKind(err), Err: err}
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	for at, ino := range b.pins.placed {
		switch was := p.holder[at]; {
		case !b.hides(at.name):
		case ino != 0:
			p.gain(ino, at)
		case was != 0:
			p.lose(was, at)
		}
	}
	return nil
}

func (p *plan) choose(paths []string, ignore func(string) bool) {
	wanted := func(at place) bool {
		path, ok := p.path(at)
		if !ok { // in a directory that is gone, or by a name that only the base knows
			return len(paths) == 0
		}
		return Under(paths, path) && (ignore == nil || !ignore(path))
	}
	for at := range p.changes.entries {
		if wanted(at) {
			p.chooseEntry(at)
		}
	}
	for ino := range p.changes.inodes {
		at, ok := p.mergedPlace(ino)
		if ino == RootIno && Under(paths, ".") || ino != RootIno && (ok && wanted(at) || !ok && len(paths) == 0) {
			p.chooseInode(ino)
		}
	}
	for _, path := range paths { // a name that only the base knows
		if ino, err := (patcher{t: p.t}).after().find(path); err == nil {
			p.chooseInode(ino)
		}
	}
	for !p.undo && p.chooseWay() {
	}
	if len(paths) == 0 {
		return
	}
	for at := range p.entries {
		if path, ok := p.path(at); ok && !Under(paths, path) {
			p.also[path] = true
		}
	}
}

// chooseEntry chooses what a directory holds for a name, and what goes with that.
func (p *plan) chooseEntry(at place) {
	e, ok := p.changes.entries[at]
	if !ok || p.entries[at] {
		return
	}
	p.entries[at] = true
	if !p.t.inBase(at.parent) && !p.undo { // its directory has to be there
		p.chooseInode(at.parent)
	}
	switch {
	case e.Whiteout:
	case p.undo && !p.t.inBase(e.Ino): // it loses this name, and with its last one itself
		p.inodes[e.Ino] = true
		for _, in := range p.children[e.Ino] {
			p.chooseEntry(in)
		}
	default:
		p.chooseObject(e.Ino)
	}
	h := p.holder[at]
	if h == 0 || h == e.Ino {
		return
	}
	p.chooseObject(h) // it has to go somewhere
}

// chooseWay chooses what directories cannot be moved without: where one is to go may be below
// it in the base, as long as what was moved out of it is. It tells whether there was something.
func (p *plan) chooseWay() bool {
	n := len(p.entries)
	for at := range p.entries {
		e := p.changes.entries[at]
		if e.Whiteout || e.Type != TypeDir || p.holder[at] == e.Ino || !p.t.inBase(e.Ino) {
			continue
		}
		var way []Ino
		dir := at.parent
		for dir != RootIno && dir != e.Ino && len(way) < maxDepth {
			way = append(way, dir)
			up, ok := place{}, false
			if !p.t.inBase(dir) || slices.ContainsFunc(p.names[dir], func(at place) bool { return p.entries[at] }) {
				up, ok = p.mergedPlace(dir)
			}
			if !ok {
				if up, ok = p.t.lowerPlaceIf(dir); !ok {
					break
				}
			}
			dir = up.parent
		}
		if dir == e.Ino { // a circle: whatever has moved on the way does so first
			for _, ino := range way {
				p.chooseObject(ino)
			}
		}
	}
	return len(p.entries) > n
}

// chooseObject chooses all names of an object, new ones and old ones.
func (p *plan) chooseObject(ino Ino) {
	for _, at := range p.names[ino] {
		p.chooseEntry(at)
	}
	for _, at := range p.at[ino] {
		p.chooseEntry(at)
	}
	r, ok := p.changes.inodes[ino]
	switch {
	case !p.t.inBase(ino):
		p.inodes[ino] = ok
	case ok && r.Flags&deltalog.InodeDead != 0:
		if !p.inodes[ino] {
			p.inodes[ino] = true
			for _, at := range p.children[ino] { // to be empty it takes all that was in it
				p.chooseEntry(at)
			}
		}
	}
}

func (p *plan) chooseInode(ino Ino) {
	if p.inodes[ino] {
		return
	}
	if _, ok := p.changes.inodes[ino]; !ok {
		return
	}
	if !p.t.inBase(ino) || !p.alive(ino) {
		p.chooseObject(ino)
	}
	p.inodes[ino] = true
}

// check finds conflicts and bars what they are about. force lets the delta win where nothing
// of the base shows through.
func (p *plan) check(force bool) ([]Conflict, error) {
	for ino := range p.inodes {
		reason, err := p.drifted(ino, force)
		if err != nil {
			return nil, err
		}
		if reason != "" {
			p.blocked[ino] = reason
		}
	}
	for at := range p.entries {
		if reason := p.taken(at, force); reason != "" {
			p.barred[at] = reason
		}
	}
	return p.conflicts(), nil
}

// conflicts are the paths that are barred.
func (p *plan) conflicts() []Conflict {
	seen := map[Conflict]bool{}
	for ino, reason := range p.blocked {
		path := p.anyPath(ino)
		for _, at := range p.at[ino] { // of one that is gone in the delta: where it was
			if w, ok := p.path(at); ok && !p.alive(ino) {
				path = w
			}
		}
		seen[Conflict{path, reason}] = true
	}
	for at, reason := range p.barred {
		if !p.entries[at] {
			continue
		}
		path, ok := p.path(at)
		if !ok {
			path = fmt.Sprintf("%s/%s", inoName(at.parent), at.name)
		}
		seen[Conflict{path, reason}] = true
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b Conflict) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Reason, b.Reason))
	})
}

const (
	reasonChanged  = "changed in the base"
	reasonReplaced = "replaced in the base, or its attributes changed"
	reasonOther    = "of another type in the base"
	reasonGone     = "not in the base any more"
	reasonMade     = "made in the base by somebody else"
	reasonFull     = "not empty in the base"
)

// drifted says how an object of the base is not what it was, empty if it is.
func (p *plan) drifted(ino Ino, force bool) (string, error) {
	r, ok := p.changes.inodes[ino]
	if !ok || r.Flags&deltalog.InodeBase == 0 || p.known[ino] || !p.t.inBase(ino) {
		return "", nil
	}
	dead := r.Flags&deltalog.InodeDead != 0
	_, st, err := p.t.base.stat(ino, false)
	if KindOf(err) == Stale {
		if dead {
			return "", nil // as it should be
		}
		return reasonGone, nil
	}
	if err != nil {
		return "", err
	}
	if st.typ() != r.Mode&TypeMask {
		return reasonOther, nil
	}
	if r.Mode&TypeMask == TypeDir {
		if dead {
			return p.occupied(ino)
		}
		return "", nil
	}
	now := st.fingerprint()
	if p.t.base.noTimes {
		now.Mtime, now.Ctime = r.Base.Mtime, r.Base.Ctime
	}
	switch compareFingerprints(r.Base, now) {
	case driftNone:
		return "", nil
	case driftSoft:
		if force {
			return "", nil
		}
		return reasonReplaced, nil
	}
	if force && (dead || p.covered(ino, &r)) {
		return "", nil
	}
	return reasonChanged, nil
}

// covered tells whether nothing of the base shows through a file.
func (p *plan) covered(ino Ino, r *deltalog.Inode) bool {
	if r.Mode&TypeMask != TypeRegular {
		return true
	}
	at := int64(0)
	err := p.t.store.DataRanges(p.layer, ino, 0, int64(r.LowerLen), func(off, n int64) bool {
		if off == at {
			at += n
		}
		return true
	})
	return err == nil && at >= int64(r.LowerLen)
}

// occupied says that a directory which is gone in the delta has something in the base that
// the delta knows nothing of.
func (p *plan) occupied(dir Ino) (string, error) {
	list, err := p.t.base.ReadDir(dir)
	if KindOf(err) == Stale {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, e := range list {
		if _, ok := p.changes.entries[place{dir, e.Name}]; !ok {
			return reasonFull, nil
		}
	}
	return "", nil
}

// taken says why a place cannot become what the delta says, empty if it can.
func (p *plan) taken(at place, force bool) string {
	if p.t.base.hides(at.name) {
		return "a name that commits use"
	}
	h := p.holder[at]
	if h == 0 || h == p.changes.entries[at].Ino || p.known[h] {
		return ""
	}
	if _, ok := p.changes.inodes[h]; ok {
		return p.blocked[h]
	}
	if o := p.t.base.known(h); force && o != nil && o.typ != TypeDir {
		return ""
	}
	return reasonMade
}

// depthOf is how deep a place lies in the merged tree.
func (p *plan) depthOf(at place) int {
	path, ok := p.path(at)
	if !ok {
		return maxDepth
	}
	return strings.Count(path, "/")
}

// ConflictError lists what a commit, or a discard, was refused for.
type ConflictError struct{ Conflicts []Conflict }

func (e *ConflictError) Error() string {
	var list []string
	for i, c := range e.Conflicts {
		if i == 20 {
			list = append(list, fmt.Sprintf("and %d more", len(e.Conflicts)-i))
			break
		}
		list = append(list, fmt.Sprintf("%s (%s)", c.Path, c.Reason))
	}
	return strings.Join(list, ", ")
}

var errUnfinished = errors.New("a commit has begun and is not done: it can only be finished")

// changeable fails while a commit is under way.
func (t *Tree) changeable(op, name string) error {
	if t.unfinished.Load() {
		return &Error{Op: op, Path: name, Kind: Busy, Err: errUnfinished}
	}
	return nil
}

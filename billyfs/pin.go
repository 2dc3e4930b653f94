package billyfs

import (
	"errors"
	"maps"
	"strings"

	"deltafs/deltalog"
)

// A commit makes and moves objects of the base, and they keep their numbers and handles: a
// pin says what a name of the base stands for where its hash would say something else,
// and the object's pinned origin says where it lies and what its handle is made of.

// errMoved says that the base was changed by a commit while it was looked at.
var errMoved = errors.New("the base has moved")

// unfit as the depth of a home says that its handle has no room for the directories above.
const unfit = 255

// pins are what a commit has moved and the store does not hold yet, or holds as well.
type pins struct {
	placed map[place]Ino           // what places hold; 0: nothing that is pinned
	lies   map[Ino]deltalog.Origin // where objects are
}

// at calls fn with the path of an object of the base, and calls it again if a commit has
// changed names of the base meanwhile. seq is for enter. fn must not change anything by itself.
func (b *base) at(ino Ino, fn func(path string, seq uint64) error) error {
	for {
		seq := b.moves.Load()
		if seq&1 != 0 { // right now: for one call of the system
			b.moving.Lock()
			b.moving.Unlock()
			continue
		}
		p, err := b.path(ino)
		if err == nil {
			err = fn(p, seq)
		}
		if b.moves.Load() == seq && !errors.Is(err, errMoved) {
			return err
		}
	}
}

// change changes the base: by do, one call of the system, and if that succeeds what is
// known of it, by then.
func (b *base) change(do func() error, then func()) error {
	b.moving.Lock()
	defer b.moving.Unlock()
	b.moves.Add(1)
	defer b.moves.Add(1)
	err := do()
	if err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		then()
	}
	return err
}

// placeLocked notes that an object lies at a place now, also by that name if it has more.
func (b *base) placeLocked(ino Ino, o deltalog.Origin) {
	at := place{o.Parent, o.Name}
	b.pins.placed[at] = ino
	b.pins.lies[ino] = o
	b.pinned.Store(true)
	if old := b.known(ino); old != nil {
		n := &object{place: at, ino: ino, gen: o.Home.Gen, typ: old.typ, pinned: true, home: &o.Home}
		n.st.Store(&stat{})
		b.objs.set(n)
	}
	b.changedLocked(o.Parent)
}

// vacateLocked notes that there is nothing at a place any more.
func (b *base) vacateLocked(at place) {
	b.pins.placed[at] = 0
	b.changedLocked(at.parent)
}

// changedLocked forgets what was known of an object but that it is there.
func (b *base) changedLocked(ino Ino) {
	if o := b.known(ino); o != nil {
		o.st.Store(&stat{})
	}
	for _, c := range []*listCache{&b.lists, &b.dirs} {
		c.mu.Lock()
		c.dropLocked(ino)
		c.mu.Unlock()
	}
}

// placesOf returns where a commit has put an object and not settled it yet.
func (b *base) placesOf(ino Ino) (list []place) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for at, n := range b.pins.placed {
		if n == ino {
			list = append(list, at)
		}
	}
	return list
}

// settled forgets what is in the store now.
func (b *base) settled(places []place, inos []Ino) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, at := range places {
		delete(b.pins.placed, at)
	}
	for _, ino := range inos {
		delete(b.pins.lies, ino)
	}
}

// originOf returns where an object lies, as far as a commit or the store knows.
func (b *base) originOf(ino Ino) (deltalog.Origin, bool, error) {
	if b.pinned.Load() {
		b.mu.RLock()
		o, ok := b.pins.lies[ino]
		b.mu.RUnlock()
		if ok {
			return o, true, nil
		}
	}
	return b.origin(ino)
}

// pinOf returns what a place is pinned to, 0 if it is not.
func (b *base) pinOf(at place) (Ino, error) {
	if !b.pinned.Load() {
		return 0, nil
	}
	b.mu.RLock()
	ino, ok := b.pins.placed[at]
	b.mu.RUnlock()
	if ok {
		return ino, nil
	}
	return b.pinAt(at)
}

// pinsIn returns the pins of a directory.
func (b *base) pinsIn(dir Ino) (map[string]Ino, error) {
	if !b.pinned.Load() {
		return nil, nil
	}
	in := map[string]Ino{}
	if err := b.eachPin(dir, func(name string, ino Ino) { in[name] = ino }); err != nil {
		return nil, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	for at, ino := range b.pins.placed {
		if at.parent == dir {
			in[at.name] = ino
		}
	}
	maps.DeleteFunc(in, func(_ string, ino Ino) bool { return ino == 0 })
	return in, nil
}

// has tells of an object that was made in the delta whether it is in the base by now.
func (b *base) has(ino Ino) (bool, error) {
	if !b.pinned.Load() {
		return false, nil
	}
	if o := b.known(ino); o != nil {
		return true, nil
	}
	o, ok, err := b.originOf(ino)
	if err != nil || !ok || !o.Pinned {
		return false, err
	}
	at, err := b.pinOf(place{o.Parent, o.Name})
	return at == ino, err
}

// number is what the hash gives a place. If that number is an object's that a commit has
// moved elsewhere, the place has another one.
func (b *base) number(at place) (Ino, error) {
	n := b.id.plain(at.parent, at.name)
	if !b.pinned.Load() {
		return n, nil
	}
	o, ok, err := b.originOf(n)
	if err != nil || !ok || !o.Pinned || (place{o.Parent, o.Name}) == at {
		return n, err
	}
	if still, err := b.pinOf(place{o.Parent, o.Name}); err != nil || still != n {
		return n, err
	}
	return b.id.plain(at.parent, at.name+"\x00"), nil
}

// hides tells whether a name is one that a commit gives to what is on its way.
func (b *base) hides(name string) bool {
	return b.hidden != "" && strings.HasPrefix(name, b.hidden)
}

// pinnedObjects calls fn for all objects that a commit has made or moved.
func (b *base) pinnedObjects(fn func(ino Ino, home deltalog.Home) error) error {
	if !b.pinned.Load() {
		return nil
	}
	all := map[Ino]deltalog.Home{}
	if err := b.eachPinned(func(ino Ino, o deltalog.Origin) { all[ino] = o.Home }); err != nil {
		return err
	}
	b.mu.RLock()
	for ino, o := range b.pins.lies {
		all[ino] = o.Home
	}
	b.mu.RUnlock()
	for ino, home := range all {
		if err := fn(ino, home); err != nil {
			return err
		}
	}
	return nil
}

package billyfs

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"deltafs/deltalog"
)

// StatusEntry is one path of the export that differs from the base.
type StatusEntry struct {
	// Code is A (new, or a new name of an old file), M (other content), D
	// (removed; of a directory, all that was in it), R (renamed; of a
	// directory, all in it came along), T (replaced by an object of another
	// type) or m (other mode, owner or times only).
	Code byte   `json:"-"`
	Path string `json:"path"`           // relative to the root of the export, with slashes
	From string `json:"from,omitempty"` // R: the path in the base
	Size uint64 `json:"size"`           // of the file as it is now, bytes; 0 of all else
	// Changed says of an R that the content is another one, too.
	Changed bool `json:"changed,omitempty"`
	// Conflict says how the base has changed underneath; empty if it has not.
	Conflict string `json:"conflict,omitempty"`
}

// MarshalJSON writes Code as the letter that it is.
func (e StatusEntry) MarshalJSON() ([]byte, error) {
	type plain StatusEntry
	return json.Marshal(struct {
		Code string `json:"code"`
		plain
	}{string(rune(e.Code)), plain(e)})
}

// Status calls fn for each path that differs from the base, in order of paths,
// until fn fails, and returns that error. It walks the records of the layer,
// and asks the base only for what they name, so its cost follows the changes;
// but if a file that has changed has lost the name that it was known by, and has others in the base, it
// looks for one of those, and walks the base for it. What changes meanwhile may be shown or not.
func (t *Tree) Status(fn func(StatusEntry) error) error {
	c, err := t.collect()
	if err != nil {
		return err
	}
	var list []StatusEntry
	for at, e := range c.entries {
		if s, ok := c.name(at, e); ok {
			list = append(list, s)
		}
	}
	lost := map[Ino]bool{}
	for ino := range c.inodes {
		switch at, shown := c.place(ino); {
		case shown:
			if s, ok := c.inPlace(ino, at); ok {
				list = append(list, s)
			}
		case c.otherNames(ino):
			lost[ino] = true
		}
	}
	err = t.base.findNames(lost, func(ino Ino, at place) bool {
		if !c.shows(at, ino) {
			return false
		}
		if s, ok := c.inPlace(ino, at); ok {
			list = append(list, s)
		}
		return true
	})
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b StatusEntry) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), cmp.Compare(a.Code, b.Code))
	})
	for _, s := range list {
		if err := fn(s); err != nil {
			return err
		}
	}
	return nil
}

// changes are the records of a layer, gathered for one walk.
type changes struct {
	t       *Tree
	layer   deltalog.LayerID // that shows them, over those below it
	inodes  map[Ino]deltalog.Inode
	entries map[place]deltalog.Entry
	names   map[Ino][]place      // names that entries give; places of the merged tree
	paths   map[Ino]string       // of directories, found so far
	lowers  map[place]lowerEntry // what lower has found
	lost    map[Ino]place        // see lostName; nil: not gathered yet
}

// lowerEntry is what the base has at a name.
type lowerEntry struct {
	ino Ino
	typ uint32
}

func (t *Tree) collect() (*changes, error) { return t.collectAt(t.live()) }

func (t *Tree) collectAt(layer deltalog.LayerID) (*changes, error) {
	c := &changes{
		t: t, layer: layer, inodes: make(map[Ino]deltalog.Inode), entries: make(map[place]deltalog.Entry),
		names: make(map[Ino][]place), paths: map[Ino]string{RootIno: ""}, lowers: make(map[place]lowerEntry),
	}
	err := t.store.EachInode(layer, func(ino Ino, r deltalog.Inode) bool {
		c.inodes[ino] = r
		return true
	})
	if err == nil {
		err = t.store.EachEntry(layer, func(dir Ino, e deltalog.DirEntry) bool {
			c.entries[place{dir, e.Name}] = e.Entry
			if !e.Whiteout {
				c.names[e.Ino] = append(c.names[e.Ino], place{dir, e.Name})
			}
			return true
		})
	}
	if err != nil {
		return nil, &Error{Op: "status", Path: "store", Kind: storeKind(err), Err: err}
	}
	return c, nil
}

// alive tells whether an object has not lost its last name.
func (c *changes) alive(ino Ino) bool {
	r, ok := c.inodes[ino]
	return ok && r.Flags&deltalog.InodeDead == 0 || !ok && c.t.inBase(ino)
}

// name is the line for what the layer holds for a name. Names in a directory
// that is gone have none: its removal is one line.
func (c *changes) name(at place, e deltalog.Entry) (s StatusEntry, ok bool) {
	if s.Path, ok = c.path(at); !ok {
		return s, false
	}
	lower := c.lower(at)
	replaced := lower.ino != 0 && !c.elsewhere(lower.ino, at)
	if e.Whiteout {
		s.Code = 'D'
		return s, replaced // else it was renamed, which is its new name's line
	}
	s.Size = c.size(e.Ino)
	switch {
	case e.Ino == lower.ino:
		return s, false // as the base has it; a change is a line of its own
	case replaced && lower.typ != e.Type:
		s.Code = 'T'
	case replaced:
		s.Code = 'M'
	default:
		s.Code = 'A'
	}
	if from, ok := c.movedFrom(e.Ino); ok && c.isNew(e.Ino, at) {
		s.Code, s.From = 'R', from
		s.Conflict = c.conflict(e.Ino)
		if r, ok := c.inodes[e.Ino]; ok {
			s.Changed = c.contentChanged(e.Ino, &r)
		}
	}
	return s, true
}

// lower returns what the base has at a name; its number is 0 if that is nothing.
func (c *changes) lower(at place) lowerEntry {
	l, ok := c.lowers[at]
	if ok || !c.t.inBase(at.parent) {
		return l
	}
	if ino, err := c.t.base.Lookup(at.parent, at.name); err == nil {
		l.ino = ino
		if o := c.t.base.known(ino); o != nil {
			l.typ = o.typ
		}
	}
	c.lowers[at] = l
	return l
}

// newName returns a name that an object has got and has not in the base: of several always the same one.
func (c *changes) newName(ino Ino) (at place, ok bool) {
	for _, at := range c.names[ino] {
		if c.lower(at).ino != ino {
			return at, true
		}
	}
	return at, false
}

func (c *changes) isNew(ino Ino, at place) bool {
	n, ok := c.newName(ino)
	return ok && n == at
}

// lostName returns a name that an object has in the base and that the layer says is gone, or another object's now: of several
// always the same one.
func (c *changes) lostName(ino Ino) (at place, ok bool) {
	if c.lost == nil {
		c.lost = make(map[Ino]place)
		for at, e := range c.entries {
			l := c.lower(at)
			if l.ino == 0 || !e.Whiteout && e.Ino == l.ino {
				continue
			}
			if other, ok := c.lost[l.ino]; !ok || cmp.Or(cmp.Compare(at.parent, other.parent), strings.Compare(at.name, other.name)) < 0 {
				c.lost[l.ino] = at
			}
		}
	}
	at, ok = c.lost[ino]
	return at, ok
}

// elsewhere tells whether an object of the base that was at a place before
// goes by a name that it had not in the base now, instead of that one.
func (c *changes) elsewhere(ino Ino, was place) bool {
	from, ok := c.lostName(ino)
	if !ok || from != was || !c.alive(ino) {
		return false
	}
	_, ok = c.newName(ino)
	return ok
}

// movedFrom returns the path that an object of the base had there, if that
// name of it is gone and so its name in the layer stands for it.
func (c *changes) movedFrom(ino Ino) (string, bool) {
	if !c.t.inBase(ino) {
		return "", false
	}
	if from, ok := c.lostName(ino); ok {
		return strings.TrimPrefix(c.t.lowerPath(from.parent)+"/"+from.name, "/"), true
	}
	from, ok := c.t.lowerPlaceIf(ino)
	if !ok || c.shows(from, ino) {
		return "", false
	}
	return c.t.lowerPath(ino), true
}

// shows tells whether a name of the base is still that of the object in the
// merged tree.
func (c *changes) shows(at place, ino Ino) bool {
	if !c.alive(at.parent) {
		return false
	}
	e, ok := c.entries[at]
	return !ok || !e.Whiteout && e.Ino == ino
}

// place is where an object of the base that has a record is, if it still goes by its name there.
func (c *changes) place(ino Ino) (at place, shown bool) {
	if !c.t.inBase(ino) || !c.alive(ino) {
		return at, false
	}
	at, ok := c.t.lowerPlaceIf(ino)
	if ino == RootIno || ok && c.shows(at, ino) {
		return at, true
	}
	for _, at := range c.names[ino] { // it may have several there
		if c.lower(at).ino == ino {
			return at, true
		}
	}
	return at, false
}

// otherNames tells whether a file that has lost its name in the base, and has got none from the layer, may have more there.
func (c *changes) otherNames(ino Ino) bool {
	if !c.t.inBase(ino) || !c.alive(ino) || len(c.names[ino]) > 0 || c.inodes[ino].Mode&TypeMask == TypeDir {
		return false
	}
	_, ok := c.t.lowerPlaceIf(ino)
	return ok
}

// inPlace is the line for an object of the base that has a record and still goes by a name that it has there.
func (c *changes) inPlace(ino Ino, at place) (s StatusEntry, ok bool) {
	if s.Path, ok = c.path(at); ino == RootIno {
		s.Path, ok = ".", true
	}
	if !ok {
		return s, false
	}
	s.Size = c.size(ino)
	s.Conflict = c.conflict(ino)
	switch r := c.inodes[ino]; {
	case c.contentChanged(ino, &r):
		s.Code = 'M'
	case c.attrChanged(ino, &r):
		s.Code = 'm'
	default:
		return s, false // only names of it, or in it, have changed
	}
	return s, true
}

func (c *changes) contentChanged(ino Ino, r *deltalog.Inode) bool {
	if r.Mode&TypeMask != TypeRegular {
		return false
	}
	if r.Size != r.Base.Size || r.LowerLen < r.Base.Size {
		return true
	}
	data := false
	err := c.t.store.DataRanges(c.layer, ino, 0, int64(r.Size), func(_, _ int64) bool {
		data = true
		return false
	})
	return data || err != nil
}

// attrChanged compares a record with the base. A directory's times are left
// out: they follow its names.
func (c *changes) attrChanged(ino Ino, r *deltalog.Inode) bool {
	if r.Mode&TypeMask != TypeDir && r.Mtime != r.Base.Mtime && r.Flags&deltalog.InodeTouched == 0 {
		return true
	}
	a, err := c.t.base.Attr(ino)
	return err == nil && (r.Mode != a.Mode || r.UID != a.UID || r.GID != a.GID)
}

// conflict says how the base differs from what it was when ino was changed.
func (c *changes) conflict(ino Ino) string {
	r, ok := c.inodes[ino]
	if !ok || r.Flags&deltalog.InodeBase == 0 || r.Mode&TypeMask == TypeDir {
		return ""
	}
	switch state, err := c.t.drift(ino, r.Base); {
	case err != nil:
		return err.Error()
	case state == driftHard:
		return "changed in the base"
	case state == driftSoft:
		return "replaced in the base, or its attributes changed"
	}
	return ""
}

func (c *changes) size(ino Ino) uint64 {
	r, ok := c.inodes[ino]
	if ok && r.Mode&TypeMask == TypeRegular {
		return r.Size
	}
	return 0
}

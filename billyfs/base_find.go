package billyfs

import (
	"bytes"
	"cmp"
	"errors"

	"deltafs/deltalog"
)

// find returns the object of the base that a handle names, looking for it in
// the base if it is not known: directories along the bytes in the handle, then
// the object in the last one. Only full numbers and the generation decide. It
// writes nothing. Stale if there is no such object (any more).
func (b *base) find(h Handle) (Ino, error) {
	o, err := b.object(h.Ino)
	if KindOf(err) == Stale {
		o, err = b.search(h)
	}
	if err != nil {
		return 0, err
	}
	if o.gen != h.Gen {
		return 0, staleIno("find", h.Ino)
	}
	return o.ino, nil
}

// search finds an object that is neither known nor has an origin. A file with
// several names always has one, and its handle no parent.
func (b *base) search(h Handle) (*object, error) {
	if h.Parent == 0 || h.Depth > MaxAncestors {
		return nil, staleIno("find", h.Ino)
	}
	if _, err := b.object(h.Parent); err != nil {
		if KindOf(err) != Stale {
			return nil, err
		}
		err := b.searchDir(RootIno, h.Ancestors[:h.Depth], h.Parent)
		if KindOf(err) == Stale {
			err = b.searchMoved(h)
		}
		if err != nil {
			return nil, err
		}
	}
	list, err := b.ReadDir(h.Parent)
	if k := KindOf(err); k == NotDir {
		return nil, staleIno("find", h.Ino)
	} else if err != nil {
		return nil, err
	}
	for i := range list {
		at := place{h.Parent, list[i].Name}
		if n, err := b.number(at); err != nil || n != h.Ino {
			continue
		}
		// With a number by place, even if it has several names by now.
		o, err := b.meet(h.Ino, at)
		if err == nil && o.gen == h.Gen || KindOf(err) != Stale {
			return o, err
		}
	}
	return nil, staleIno("find", h.Ino)
}

// searchMoved looks for the parent of h below the directories that a commit has made or moved.
func (b *base) searchMoved(h Handle) error {
	err := b.pinnedObjects(func(ino Ino, home deltalog.Home) error {
		n := int(home.Depth)
		if n >= int(h.Depth) || h.Ancestors[n] != byte(ino) || !bytes.Equal(home.Ancestors[:n], h.Ancestors[:n]) {
			return nil
		}
		err := b.searchDir(ino, h.Ancestors[n+1:h.Depth], h.Parent)
		if KindOf(err) == Stale || KindOf(err) == NotDir {
			return nil
		}
		return cmp.Or(err, errFound)
	})
	switch {
	case errors.Is(err, errFound):
		return nil
	case err == nil:
		err = staleIno("find", h.Ino)
	}
	return err
}

var errFound = errors.New("found")

// searchDir looks below dir for the directory with number want, going only into
// those whose numbers end in the given bytes. Numbers that end alike are all
// tried; there are few, as each level divides them by 256.
func (b *base) searchDir(dir Ino, bytes []byte, want Ino) error {
	if len(bytes) == 0 {
		return staleIno("find", want)
	}
	l, err := b.subdirs(dir)
	if err != nil {
		return err
	}
	for i := range l.entries {
		e := &l.entries[i]
		if e.Type != TypeDir || byte(e.Ino) != bytes[0] || len(bytes) == 1 && e.Ino != want {
			continue
		}
		o, err := b.meet(e.Ino, place{dir, e.Name})
		if err == nil && len(bytes) > 1 {
			err = b.searchDir(o.ino, bytes[1:], want)
		}
		if k := KindOf(err); k != Stale && k != Access {
			return err
		}
	}
	return staleIno("find", want)
}

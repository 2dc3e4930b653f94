package billyfs

import (
	"errors"
	"io/fs"
	"slices"
	"sync"
)

// racy is how long before its listing a directory must have been changed last
// for its times to prove that the listing is complete: file systems move them
// in steps.
const racy = int64(2e9)

// listing is the cached content of a directory. It never changes.
type listing struct {
	entries []DirEntry // in order of cookie, then name
	subdirs uint32
	st      *stat // of the directory, from before it was read
	used    uint64
}

// listCache keeps listings, bounded by the number of their entries together; but those
// in use are kept, however large: each piece that a client asks for needs all of it.
type listCache struct {
	mu    sync.Mutex
	max   int
	total int
	clock uint64
	dirs  map[Ino]*listing
}

func (c *listCache) init(max int) { c.max, c.dirs = max, make(map[Ino]*listing) }

func (c *listCache) get(dir Ino) *listing {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.dirs[dir]
	if l != nil {
		c.clock++
		l.used = c.clock
	}
	return l
}

// listsInUse is among how many of the last calls there must be one for a listing, for it
// to be in use.
const listsInUse = 8

// cost of a listing: its entries, and one for itself.
func (l *listing) cost() int { return len(l.entries) + 1 }

func (c *listCache) put(dir Ino, l *listing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(dir)
	if c.total+l.cost() > c.max {
		c.shrinkLocked(c.max - c.max/4 - l.cost())
	}
	c.clock++
	l.used = c.clock
	c.dirs[dir] = l
	c.total += l.cost()
}

func (c *listCache) dropLocked(dir Ino) {
	if old := c.dirs[dir]; old != nil {
		c.total -= old.cost()
		delete(c.dirs, dir)
	}
}

// shrinkLocked drops the listings that were used longest ago until the total
// is at most goal, but none that is in use. It drops many at a time, so that its sorting
// is paid seldom.
func (c *listCache) shrinkLocked(goal int) {
	dirs := make([]Ino, 0, len(c.dirs))
	for dir := range c.dirs {
		dirs = append(dirs, dir)
	}
	slices.SortFunc(dirs, func(x, y Ino) int {
		return int(int64(c.dirs[x].used - c.dirs[y].used))
	})
	for _, dir := range dirs {
		if c.total <= goal || c.dirs[dir].used+listsInUse > c.clock {
			return
		}
		c.dropLocked(dir)
	}
}

// ReadDir returns all entries of a directory in order of cookie, then name,
// without "." and "..". The slice is shared: callers must not change it.
func (b *base) ReadDir(dir Ino) ([]DirEntry, error) {
	l, err := b.list(dir)
	if err != nil {
		return nil, err
	}
	return l.entries, nil
}

// dirLinks is the link count of a directory whose file system does not say it.
func (b *base) dirLinks(dir Ino) (uint32, error) {
	l, err := b.subdirs(dir)
	if err != nil {
		return 0, err
	}
	return 2 + l.subdirs, nil
}

// list returns the listing of a directory, a cached one if it is current.
func (b *base) list(dir Ino) (*listing, error) {
	return b.listBy(&b.lists, dir, b.readList)
}

// subdirs returns a listing that holds at least the subdirectories. It does not
// look at each entry, and does not make it known.
func (b *base) subdirs(dir Ino) (*listing, error) {
	if _, ok := b.fs.(namer); !ok {
		return b.list(dir)
	}
	if l := b.lists.get(dir); l != nil {
		if _, st, err := b.stat(dir, true); err == nil && b.current(l, st) {
			return l, nil
		}
	}
	return b.listBy(&b.dirs, dir, b.readSubdirs)
}

// listBy returns a cached listing as long as the directory's times are what
// they were, which is asked once a second, or else what read does.
func (b *base) listBy(c *listCache, dir Ino, read func(Ino, *stat) (*listing, error)) (*listing, error) {
	o, st, err := b.stat(dir, true)
	if err != nil {
		return nil, err
	}
	if o.typ != TypeDir {
		return nil, &Error{Op: "readdir", Path: inoName(dir), Kind: NotDir}
	}
	if l := c.get(dir); l != nil && b.current(l, st) {
		return l, nil
	}
	// The times are read before the names: a change in between shows later.
	if _, st, err = b.stat(dir, b.immutable); err != nil {
		return nil, err
	}
	l, err := read(dir, st)
	if err != nil {
		return nil, err
	}
	b.seen.begin() // maybe: times do not always tell
	c.put(dir, l)
	b.seen.end()
	return l, nil
}

// current tells whether a listing is still that of a directory with stat now.
func (b *base) current(l *listing, now *stat) bool {
	switch {
	case b.immutable || l.st.at.Load() == now.at.Load():
		return true
	case b.noTimes || !l.st.same(now):
		return false
	}
	return max(l.st.attr.Mtime, l.st.attr.Ctime)+racy < l.st.at.Load()
}

func (b *base) readList(dir Ino, st *stat) (l *listing, err error) {
	err = b.at(dir, func(p string, seq uint64) error {
		infos, err := b.fs.ReadDir(p)
		if err != nil {
			return b.wrap("readdir", p, err, Stale)
		}
		pins, err := b.pinsIn(dir)
		if err != nil {
			return err
		}
		l = &listing{entries: make([]DirEntry, 0, len(infos)), st: st}
		for _, fi := range infos {
			if fi == nil || !validName(fi.Name()) || b.hides(fi.Name()) {
				continue
			}
			e, err := b.listed(place{dir, fi.Name()}, pins[fi.Name()], b.newStat(fi, 0), seq)
			if err != nil {
				return err
			}
			if e.Type == TypeDir {
				l.subdirs++
			}
			l.entries = append(l.entries, e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	sortEntries(l.entries)
	return l, nil
}

// listed is the entry of a name in a listing.
func (b *base) listed(at place, pin Ino, st *stat, seq uint64) (DirEntry, error) {
	e := DirEntry{Name: at.name, Cookie: b.cookie(at.name), Ino: pin}
	if pin == 0 {
		var err error
		if e.Ino, err = b.number(at); err != nil {
			return e, err
		}
	}
	if st.typ() == 0 { // what cannot be looked at (mode 0) is listed by its name
		return e, nil
	}
	e.Type = st.typ()
	switch o, err := b.enterPin(at, pin, st, seq); {
	case err == nil:
		e.Ino = o.ino
	case errors.Is(err, errMoved) || KindOf(err) != Stale:
		return e, err
	}
	return e, nil
}

// namer is a file system that lists names and types without a look at each file.
type namer interface {
	Names(dir string) ([]fs.DirEntry, error)
}

func (b *base) readSubdirs(dir Ino, st *stat) (l *listing, err error) {
	err = b.at(dir, func(p string, _ uint64) error {
		all, err := b.fs.(namer).Names(p)
		if err != nil {
			return b.wrap("readdir", p, err, Stale)
		}
		pins, err := b.pinsIn(dir)
		if err != nil {
			return err
		}
		l = &listing{st: st}
		for _, d := range all {
			name := d.Name()
			if !d.IsDir() || !validName(name) || b.hides(name) {
				continue
			}
			e := DirEntry{Name: name, Cookie: b.cookie(name), Ino: pins[name], Type: TypeDir}
			if e.Ino == 0 {
				if e.Ino, err = b.number(place{dir, name}); err != nil {
					return err
				}
			}
			l.entries = append(l.entries, e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	l.subdirs = uint32(len(l.entries))
	sortEntries(l.entries)
	return l, nil
}

// findEntry returns the entry of a name in a sorted listing, nil if it is not there.
func findEntry(list []DirEntry, cookie uint64, name string) *DirEntry {
	i, ok := slices.BinarySearchFunc(list, DirEntry{Name: name, Cookie: cookie}, compareEntries)
	if !ok {
		return nil
	}
	return &list[i]
}

// findNames walks the whole base for names of files, if there are any in want, until found has taken one of each.
func (b *base) findNames(want map[Ino]bool, found func(ino Ino, at place) bool) error {
	dirs := []Ino{RootIno}
	for len(want) > 0 && len(dirs) > 0 {
		dir := dirs[len(dirs)-1]
		dirs = dirs[:len(dirs)-1]
		list, err := b.ReadDir(dir)
		if k := KindOf(err); k == Stale || k == Access || k == NotDir {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range list {
			switch {
			case e.Type == TypeDir:
				dirs = append(dirs, e.Ino)
			case want[e.Ino] && found(e.Ino, place{dir, e.Name}):
				delete(want, e.Ino)
			}
		}
	}
	return nil
}

package billyfs

import (
	"cmp"
	"slices"

	"deltafs/deltalog"
)

// mergeChunk is how many entries of a layer a listing takes at a time, so
// that a listing of a large directory costs what is read of it.
const mergeChunk = 512

// ReadDir calls fn for the entries behind cookie (0: from the start, with "."
// and ".." first) in order of cookie until fn returns false. Entries of one
// cookie must be taken or left together: see doc.go, "Listings". eof says that
// fn has taken the last one. No lock is held over fn, which may call the tree.
func (t *Tree) ReadDir(dir Ino, cookie uint64, fn func(DirEntry) bool) (eof bool, err error) {
	const op = "readdir"
	if err := t.checkDir(op, dir); err != nil {
		return false, err
	}
	if cookie < cookieDotDot {
		up, err := t.parent(dir)
		if err != nil {
			return false, err
		}
		if cookie < cookieDot && !fn(DirEntry{Name: ".", Cookie: cookieDot, Ino: dir, Type: TypeDir}) {
			return false, nil
		}
		if !fn(DirEntry{Name: "..", Cookie: cookieDotDot, Ino: up, Type: TypeDir}) {
			return false, nil
		}
		cookie = cookieDotDot
	}
	shift := t.shifts.Load()
	lower, err := t.lowerEntries(dir)
	if err != nil {
		return false, err
	}
	if cookie == ^uint64(0) {
		return true, nil
	}
	return t.merge(dir, cookie+1, lower, shift, fn)
}

// lowerEntries returns what the base lists of a directory, nil if that is none
// of the base's.
func (t *Tree) lowerEntries(dir Ino) ([]DirEntry, error) {
	if !t.inBase(dir) {
		return nil, nil
	}
	return t.base.ReadDir(dir)
}

// merge calls fn for the merged entries of dir with cookies from from on, until
// fn returns false. It returns true if it came to the end. lower was listed when
// Tree.shifts was shift; if a commit has brought names to the base since, it is listed again.
func (t *Tree) merge(dir Ino, from uint64, lower []DirEntry, shift uint64, fn func(DirEntry) bool) (bool, error) {
	lower = lower[firstFrom(lower, from):]
	for {
		upper, more, err := t.chunk(dir, from)
		if err != nil {
			return false, err
		}
		if now := t.shifts.Load(); now != shift {
			if lower, err = t.lowerEntries(dir); err != nil {
				return false, err
			}
			lower, shift = lower[firstFrom(lower, from):], now
			continue
		}
		part := lower
		if more {
			from = upper[len(upper)-1].Cookie + 1
			part = lower[:firstFrom(lower, from)]
		}
		if !mergeLists(upper, part, fn) {
			return false, nil
		}
		if !more {
			return true, nil
		}
		lower = lower[len(part):]
	}
}

// firstFrom returns where in a listing the cookies from from on begin.
func firstFrom(list []DirEntry, from uint64) int {
	i, _ := slices.BinarySearchFunc(list, from, func(e DirEntry, from uint64) int {
		return cmp.Compare(e.Cookie, from)
	})
	return i
}

// chunk returns the next entries of the layer, whole groups of one cookie, and
// whether there are more.
func (t *Tree) chunk(dir Ino, from uint64) (upper []deltalog.DirEntry, more bool, err error) {
	err = t.store.Entries(t.live(), dir, from, func(e deltalog.DirEntry) bool {
		if len(upper) >= mergeChunk && e.Cookie != upper[len(upper)-1].Cookie {
			more = true
			return false
		}
		upper = append(upper, e)
		return true
	})
	if err != nil {
		return nil, false, fail("readdir", dir, storeKind(err), err)
	}
	return upper, more, nil
}

// mergeLists yields both lists in order; of one name the layer's entry wins,
// and a whiteout yields nothing.
func mergeLists(upper []deltalog.DirEntry, lower []DirEntry, fn func(DirEntry) bool) bool {
	for len(upper) > 0 || len(lower) > 0 {
		order := 1
		if len(upper) > 0 {
			order = -1
			if len(lower) > 0 {
				order = compareEntries(DirEntry{Name: upper[0].Name, Cookie: upper[0].Cookie}, lower[0])
			}
		}
		if order > 0 {
			if !fn(lower[0]) {
				return false
			}
			lower = lower[1:]
			continue
		}
		e := upper[0]
		upper = upper[1:]
		if order == 0 {
			lower = lower[1:]
		}
		if !e.Whiteout && !fn(DirEntry{Name: e.Name, Cookie: e.Cookie, Ino: e.Ino, Type: e.Type}) {
			return false
		}
	}
	return true
}

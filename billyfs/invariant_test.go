package billyfs

import (
	"deltafs/deltalog"
)

// checkInvariants walks the whole tree, which must be at rest:
//
// INVARIANT: every directory is reached once, and knows its parent.
// INVARIANT: a directory's nlink is 2 and its subdirectories.
// INVARIANT: a file's nlink is the number of its names (all names of the bases
// used in tests lie inside them).
// INVARIANT: listings, lookups and attributes agree on numbers and types.
// INVARIANT: every record in the store belongs to what was reached, or is dead
// and of the base. No record, and no data, is left of what is gone.
// INVARIANT: an object of the base that has a record has an origin, and so has
// each directory above it there.
func checkInvariants(t tester, tree *Tree) {
	t.Helper()
	w := &walker{t: t, tree: tree, names: make(map[Ino]uint32), seen: make(map[Ino]bool)}
	w.dir(tree.Root(), tree.Root())
	for ino, n := range w.names {
		a, err := tree.Attr(ino)
		if err != nil || a.Nlink != n {
			t.Fatalf("inode %d has %d names, nlink %d, %v", ino, n, a.Nlink, err)
		}
	}
	w.records()
}

type walker struct {
	t     tester
	tree  *Tree
	names map[Ino]uint32 // of files
	seen  map[Ino]bool
}

func (w *walker) dir(dir, up Ino) {
	w.t.Helper()
	if w.seen[dir] {
		w.t.Fatalf("directory %d is reached twice", dir)
	}
	w.seen[dir] = true
	if got, err := w.tree.parent(dir); err != nil || got != up {
		w.t.Fatalf("directory %d lies in %d, but says %d, %v", dir, up, got, err)
	}
	var all []DirEntry
	if _, err := w.tree.ReadDir(dir, cookieDotDot, func(e DirEntry) bool { all = append(all, e); return true }); err != nil {
		w.t.Fatalf("readdir of %d: %v", dir, err)
	}
	links := uint32(2)
	for _, e := range all {
		a, err := w.tree.Lookup(dir, e.Name)
		if err != nil || a.Ino != e.Ino || a.Mode&TypeMask != e.Type {
			w.t.Fatalf("entry %+v of %d, lookup %+v, %v", e, dir, a, err)
		}
		if e.Type == TypeDir {
			links++
			w.dir(e.Ino, dir)
			continue
		}
		w.seen[e.Ino] = true
		w.names[e.Ino]++
	}
	if a, err := w.tree.Attr(dir); err != nil || a.Nlink != links {
		w.t.Fatalf("directory %d: nlink %d, want %d, %v", dir, a.Nlink, links, err)
	}
}

func (w *walker) records() {
	s, l := w.tree.store, w.tree.live()
	recs := make(map[Ino]deltalog.Inode)
	if err := s.EachInode(l, func(ino Ino, r deltalog.Inode) bool { recs[ino] = r; return true }); err != nil {
		w.t.Fatalf("inodes: %v", err)
	}
	for ino, r := range recs {
		ofBase := ino&deltalog.Born == 0 || r.Flags&deltalog.InodeBase != 0
		dead := r.Flags&deltalog.InodeDead != 0
		switch {
		case dead && !ofBase:
			w.t.Fatalf("record of dead inode %d of the delta", ino)
		case dead == w.seen[ino]:
			w.t.Fatalf("record of inode %d: dead %v, reached %v", ino, dead, w.seen[ino])
		case r.LowerLen > r.Size:
			w.t.Fatalf("inode %d shows %d bytes of the lower file and has %d", ino, r.LowerLen, r.Size)
		}
		for at := ino; ofBase && at != w.tree.Root(); {
			o, ok, err := s.Origin(at)
			if err != nil || !ok {
				w.t.Fatalf("inode %d of the base, above %d, has no origin: %v", at, ino, err)
			}
			at = o.Parent
		}
	}
	err := s.EachEntry(l, func(dir Ino, e deltalog.DirEntry) bool {
		switch {
		case !w.tree.inBase(dir) && (e.Whiteout || !w.seen[dir]):
			w.t.Fatalf("directory %d of the delta, reached %v, holds %+v", dir, w.seen[dir], e)
		case !w.seen[dir] && !e.Whiteout:
			w.t.Fatalf("directory %d of the base is gone and holds %+v", dir, e)
		}
		return true
	})
	if err != nil {
		w.t.Fatalf("entries: %v", err)
	}
}

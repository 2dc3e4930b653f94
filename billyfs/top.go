package billyfs

import (
	"cmp"
	"slices"
)

// TopEntry is a file of which the delta holds data.
type TopEntry struct {
	Path  string `json:"path"`  // in the merged tree; "inode N" of one without a name
	Bytes uint64 `json:"bytes"` // that the delta holds of it
	Size  uint64 `json:"size"`  // of the whole file
}

// Top returns the n files of which the delta holds most, those with most first. It
// walks all that has changed.
func (t *Tree) Top(n int) ([]TopEntry, error) {
	c, err := t.collect()
	if err != nil {
		return nil, err
	}
	top := []TopEntry{}
	for ino, r := range c.inodes {
		if r.Mode&TypeMask != TypeRegular || !c.alive(ino) {
			continue
		}
		e := TopEntry{Size: r.Size}
		err := t.store.DataRanges(t.live(), ino, 0, int64(r.Size), func(_, n int64) bool {
			e.Bytes += uint64(n)
			return true
		})
		if err != nil {
			return nil, fail("top", ino, storeKind(err), err)
		}
		if e.Bytes == 0 {
			continue
		}
		e.Path = c.anyPath(ino)
		top = append(top, e)
	}
	slices.SortFunc(top, func(a, b TopEntry) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Path, b.Path))
	})
	return top[:min(n, len(top))], nil
}

// anyPath is a path of an object in the merged tree.
func (c *changes) anyPath(ino Ino) string {
	for _, at := range c.names[ino] {
		if p, ok := c.path(at); ok {
			return p
		}
	}
	if at, ok := c.t.lowerPlaceIf(ino); ok {
		if p, ok := c.path(at); ok {
			return p
		}
	}
	return inoName(ino)
}

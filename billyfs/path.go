package billyfs

import (
	"slices"
	"strings"
)

// lowerPlaceIf is lowerPlace for callers that need no reason.
func (t *Tree) lowerPlaceIf(ino Ino) (place, bool) {
	if ino == RootIno {
		return place{}, false
	}
	at, err := t.lowerPlace(ino)
	return at, err == nil
}

// lowerPath returns the path of an object in the base, as far as that can be
// told without the base; "inode N/..." below what cannot.
func (t *Tree) lowerPath(ino Ino) string {
	var names []string
	for at := ino; at != RootIno; {
		p, ok := t.lowerPlaceIf(at)
		if !ok || len(names) > maxDepth {
			names = append(names, inoName(at))
			break
		}
		names = append(names, p.name)
		at = p.parent
	}
	slices.Reverse(names)
	return strings.Join(names, "/")
}

// path returns the merged path of a name in a directory, relative to the root.
func (c *changes) path(at place) (string, bool) {
	dir, ok := c.dirPath(at.parent, 0)
	if !ok {
		return "", false
	}
	if dir == "" {
		return at.name, true
	}
	return dir + "/" + at.name, true
}

// dirPath returns the merged path of a directory, "" for the root. It is not
// ok for a directory that is gone.
func (c *changes) dirPath(dir Ino, depth int) (string, bool) {
	if p, ok := c.paths[dir]; ok {
		return p, true
	}
	if depth > maxDepth || !c.alive(dir) {
		return "", false
	}
	at, ok := c.mergedPlace(dir)
	if !ok {
		return "", false
	}
	p, ok := c.dirPath(at.parent, depth+1)
	if !ok {
		return "", false
	}
	if p != "" {
		p += "/"
	}
	p += at.name
	c.paths[dir] = p
	return p, true
}

// mergedPlace returns a name of an object in the merged tree: one that the
// layer gives, or else that in the base.
func (c *changes) mergedPlace(ino Ino) (place, bool) {
	for _, at := range c.names[ino] {
		if c.alive(at.parent) {
			return at, true
		}
	}
	if !c.t.inBase(ino) {
		return place{}, false
	}
	at, ok := c.t.lowerPlaceIf(ino)
	return at, ok && c.shows(at, ino)
}

// PathOf returns a path of an object in the export, relative to its root ("."
// for the root itself), for messages: of a file with several names one of
// them. Its cost may be that of Status. Stale if the object has no name.
func (t *Tree) PathOf(ino Ino) (string, error) {
	if ino == RootIno {
		return ".", nil
	}
	c, err := t.collect()
	if err != nil {
		return "", err
	}
	if c.alive(ino) {
		if at, ok := c.mergedPlace(ino); ok {
			if p, ok := c.path(at); ok {
				return p, nil
			}
		}
	}
	return "", fail("path", ino, Stale, nil)
}

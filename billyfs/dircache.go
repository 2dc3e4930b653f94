package billyfs

import (
	"container/list"
	"errors"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
)

// openDir is a directory of the base that is held open.
type openDir = interface {
	Lstat(name string) (fs.FileInfo, error)
	// LstatInto is Lstat; fi, if not nil, is what one of the two has returned, and nobody needs any more.
	LstatInto(fi fs.FileInfo, name string) (fs.FileInfo, error)
	Close() error
}

// dirOpener is a file system that can hold a directory open, to look at what is in it without a walk to it.
type dirOpener interface {
	OpenDir(name string) (openDir, error)
}

// maxOpenDirs is how many directories of a base are held open at most; those of all bases of a process share openDirs.
const maxOpenDirs = 1 << 10

// dirCaches is how many bases hold directories open.
var dirCaches atomic.Int64

// dirCache holds those directories of the base open in which names were looked at last: the kernel opens something on
// a walk to a name anyway. A directory is taken for what its path leads to as long as what the base says is believed
// (see trust), and no commit changes the base.
type dirCache struct {
	mu     sync.Mutex
	all    int // of all bases together
	max    int
	dirs   map[Ino]*heldDir
	lru    list.List // of *heldDir, the one used last in front
	closed bool
}

type heldDir struct {
	ino   Ino
	elem  *list.Element
	seq   uint64  // of the base; see at
	since int64   // when it was first looked into
	tried bool    // to open it, since then
	dir   openDir // nil: it is not open yet, or does not open
}

func (c *dirCache) init(all int) {
	c.all, c.max, c.dirs = all, min(all, maxOpenDirs), make(map[Ino]*heldDir)
	dirCaches.Add(1)
}

// most is how many directories this base may hold now. One that was alone and held more gives them back when it opens the next.
func (c *dirCache) most() int { return min(c.max, c.all/int(dirCaches.Load())) }

// get returns a directory that is open, by open if need be, or nil. fresh tells whether what was so at a time may still
// be believed. It may be closed before it is used.
func (c *dirCache) get(dir Ino, seq uint64, now int64, fresh func(since int64) bool, open func() (openDir, error)) openDir {
	d, h := c.look(dir, seq, now, fresh)
	if h == nil {
		return d
	}
	d, err := open()
	if err != nil {
		return nil
	}
	c.mu.Lock()
	held := c.dirs[dir] == h && h.dir == nil && h.seq == seq
	if held {
		h.dir = d
	}
	c.mu.Unlock()
	if !held { // nobody would close it
		d.Close()
		return nil
	}
	return d
}

// look returns a directory if it is open, or else, for the first who asks, what is to hold it.
func (c *dirCache) look(dir Ino, seq uint64, now int64, fresh func(since int64) bool) (openDir, *heldDir) {
	var old []openDir
	c.mu.Lock()
	defer func() {
		c.mu.Unlock()
		for _, d := range old {
			d.Close()
		}
	}()
	if c.closed {
		return nil, nil
	}
	h := c.dirs[dir]
	if h == nil {
		most := c.most()
		for c.lru.Len() > 0 && c.lru.Len() >= most {
			if d := c.dropLocked(c.lru.Back().Value.(*heldDir)); d != nil {
				old = append(old, d)
			}
		}
		if most == 0 {
			return nil, nil
		}
		h = &heldDir{ino: dir, seq: seq, since: now}
		h.elem = c.lru.PushFront(h)
		c.dirs[dir] = h
	} else {
		c.lru.MoveToFront(h.elem)
	}
	if h.seq != seq || !fresh(h.since) {
		if h.dir != nil {
			old = append(old, h.dir)
		}
		h.dir, h.seq, h.since, h.tried = nil, seq, now, false
	}
	if !h.tried {
		h.tried = true
		return nil, h
	}
	return h.dir, nil
}

// dropLocked forgets a directory, and returns it to be closed if it is open.
func (c *dirCache) dropLocked(h *heldDir) openDir {
	delete(c.dirs, h.ino)
	c.lru.Remove(h.elem)
	return h.dir
}

func (c *dirCache) close() error {
	c.mu.Lock()
	if !c.closed {
		dirCaches.Add(-1)
	}
	c.closed = true
	c.mu.Unlock()
	return c.clear()
}

// clear closes all directories: what is looked at from now on is where the paths lead now.
func (c *dirCache) clear() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for c.lru.Len() > 0 {
		if d := c.dropLocked(c.lru.Back().Value.(*heldDir)); d != nil {
			errs = append(errs, d.Close())
		}
	}
	return errors.Join(errs...)
}

// lstatIn describes what goes by a name in a directory, which has path p: as it was at most so long ago as the base is
// believed, if the directory was moved.
func (b *base) lstatIn(dir Ino, p, name string, seq uint64) (fs.FileInfo, error) {
	o, ok := b.fs.(dirOpener)
	if !ok {
		return b.fs.Lstat(below(p, name))
	}
	d := b.held.get(dir, seq, b.lately(), b.believed, func() (openDir, error) { return o.OpenDir(p) })
	if d != nil {
		if fi, err := d.Lstat(name); !errors.Is(err, os.ErrClosed) {
			return fi, err
		}
	}
	return b.fs.Lstat(below(p, name))
}

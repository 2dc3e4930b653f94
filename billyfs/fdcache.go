package billyfs

import (
	"container/list"
	"errors"
	"io"
	"io/fs"
	"sync"

	"github.com/go-git/go-billy/v5"
)

// fdCache keeps files of the base open for reading, those used last. Entries
// are counted, so that a file is closed when it is out of the cache and the
// last reader is done with it.
type fdCache struct {
	mu     sync.Mutex
	max    int
	files  map[Ino]*openFile
	lru    list.List // of *openFile, the one used last in front
	closed bool
}

// openFile is an open file of the base, and what it was when it was opened.
type openFile struct {
	ino  Ino
	file billy.File
	st   *stat
	elem *list.Element // nil: out of the cache
	refs int

	ahead ahead
}

func (c *fdCache) init(max int) { c.max, c.files = max, make(map[Ino]*openFile) }

// get returns the open file if it is still the one that st describes.
// The caller must put it back.
func (c *fdCache) get(ino Ino, st *stat) *openFile {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.files[ino]
	if f == nil {
		return nil
	}
	if f.st != st && !f.st.same(st) {
		c.dropLocked(f)
		return nil
	}
	f.st = st
	f.refs++
	c.lru.MoveToFront(f.elem)
	return f
}

// add puts an open file into the cache, in place of an older one, and returns
// it in use.
func (c *fdCache) add(ino Ino, file billy.File, st *stat) *openFile {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &openFile{ino: ino, file: file, st: st, refs: 1}
	if c.closed {
		return f
	}
	if old := c.files[ino]; old != nil {
		c.dropLocked(old)
	}
	for c.lru.Len() >= c.max {
		c.dropLocked(c.lru.Back().Value.(*openFile))
	}
	c.files[ino] = f
	f.elem = c.lru.PushFront(f)
	return f
}

// size returns the bytes of an open file when it was last looked at.
func (c *fdCache) size(f *openFile) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(f.st.attr.Size)
}

// hold is one more use of a file that is in use.
func (c *fdCache) hold(f *openFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.refs++
}

// put ends a use of a file.
func (c *fdCache) put(f *openFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.refs--
	c.closeIdleLocked(f)
}

// dropLocked takes a file out of the cache.
func (c *fdCache) dropLocked(f *openFile) error {
	delete(c.files, f.ino)
	c.lru.Remove(f.elem)
	f.elem = nil
	return c.closeIdleLocked(f)
}

// closeIdleLocked closes a file that is out of the cache and out of use.
func (c *fdCache) closeIdleLocked(f *openFile) error {
	if f.elem != nil || f.refs > 0 {
		return nil
	}
	return f.file.Close()
}

// close closes all files; those in use when their readers are done.
func (c *fdCache) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	var errs []error
	for c.lru.Len() > 0 {
		errs = append(errs, c.dropLocked(c.lru.Back().Value.(*openFile)))
	}
	return errors.Join(errs...)
}

// ReadAt reads a regular file as io.ReaderAt does. A file that was replaced is
// read through its old descriptor for a second at most.
func (b *base) ReadAt(ino Ino, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, &Error{Op: "read", Path: inoName(ino), Kind: Invalid}
	}
	f, err := b.open(ino)
	if err != nil {
		return 0, err
	}
	defer b.fds.put(f)
	began := int64(0)
	if len(p) >= aheadLeast {
		began = b.now()
	}
	n, err := f.file.ReadAt(p, off)
	if began != 0 {
		b.readOn(f, off, int64(n), b.now()-began)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return n, &Error{Op: "read", Path: f.file.Name(), Kind: KindIO, Err: err}
	}
	return n, err
}

// open returns a file of the base open for reading; the caller puts it back.
func (b *base) open(ino Ino) (*openFile, error) {
	o, st, err := b.stat(ino, true)
	if err != nil {
		return nil, err
	}
	if o.typ == TypeDir {
		return nil, &Error{Op: "read", Path: inoName(ino), Kind: IsDir}
	}
	if o.typ != TypeRegular {
		return nil, &Error{Op: "read", Path: inoName(ino), Kind: Invalid}
	}
	if f := b.fds.get(ino, st); f != nil {
		return f, nil
	}
	// The second round is for a file that was replaced since it was looked at.
	for range 2 {
		if _, st, err = b.stat(ino, b.immutable); err != nil {
			return nil, err
		}
		var file billy.File
		err := b.at(ino, func(p string, _ uint64) error {
			if file != nil {
				file.Close()
			}
			var err error
			if file, err = b.fs.Open(p); err != nil {
				file = nil
				return b.wrap("open", p, err, Stale)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if !isFile(file, st) {
			file.Close()
			continue
		}
		return b.fds.add(ino, file, st), nil
	}
	return nil, staleIno("open", ino)
}

// isFile tells whether an open file is the one that st was asked of, as far as
// the file system can tell.
func isFile(file billy.File, st *stat) bool {
	f, ok := file.(interface{ Stat() (fs.FileInfo, error) })
	if !ok {
		return true
	}
	fi, err := f.Stat()
	if err != nil {
		return false
	}
	now := statOf(fi)
	return now.typ() == TypeRegular && now.dev == st.dev && now.inode == st.inode
}

package billyfs

import (
	"errors"
	"io"

	"deltafs/deltalog"
)

// ReadAt reads up to len(p) bytes of a regular file; eof says that the file
// ends at off+n or before. Bytes come from the layer, where that has none from
// the lower file, and are zero where that does not show. Reading writes
// nothing, atime included.
func (t *Tree) ReadAt(ino Ino, p []byte, off int64) (n int, eof bool, err error) {
	const op = "read"
	mode, err := t.mode(op, ino)
	switch {
	case err != nil:
		return 0, false, err
	case mode&TypeMask == TypeDir:
		return 0, false, fail(op, ino, IsDir, nil)
	case mode&TypeMask != TypeRegular || off < 0:
		return 0, false, fail(op, ino, Invalid, nil)
	}
	nd := t.nodes.get(ino)
	defer t.nodes.put(nd)
	s, err := t.load(nd)
	if err != nil {
		return 0, false, err
	}
	if s.rec == nil {
		return t.readBase(ino, p, off)
	}
	// Size and data must be of one moment.
	nd.mu.RLock()
	defer nd.mu.RUnlock()
	if s, err = t.load(nd); err != nil {
		return 0, false, err
	}
	if err := t.there(op, ino, s); err != nil {
		return 0, false, err
	}
	if s.rec == nil { // a commit has brought it to the base
		return t.readBase(ino, p, off)
	}
	size := s.rec.Size
	if uint64(off) >= size {
		return 0, true, nil
	}
	if left := size - uint64(off); uint64(len(p)) > left {
		p = p[:left]
	}
	err = t.store.ReadAt(t.live(), ino, p, off, func(p []byte, off int64) error {
		return t.readLower(ino, s.rec, p, off)
	})
	if err != nil {
		return 0, false, readError(ino, err)
	}
	return len(p), uint64(off)+uint64(len(p)) >= size, nil
}

// readBase reads a file of the base that was never changed.
func (t *Tree) readBase(ino Ino, p []byte, off int64) (int, bool, error) {
	n, err := t.base.ReadAt(ino, p, off)
	if errors.Is(err, io.EOF) {
		return n, true, nil
	}
	if err != nil {
		return 0, false, err
	}
	a, err := t.base.Attr(ino)
	if err != nil {
		return 0, false, err
	}
	return n, uint64(off)+uint64(n) >= a.Size, nil
}

// readLower fills p with what shows of the lower file, and zeros behind that.
func (t *Tree) readLower(ino Ino, rec *deltalog.Inode, p []byte, off int64) error {
	shown := 0
	if uint64(off) < rec.LowerLen {
		shown = int(min(uint64(len(p)), rec.LowerLen-uint64(off)))
	}
	clear(p[shown:])
	if shown == 0 {
		return nil
	}
	switch d, err := t.drift(ino, rec.Base); {
	case err != nil:
		return err
	case d == driftHard:
		return fail("read", ino, Drifted, nil)
	}
	n, err := t.base.ReadAt(ino, p[:shown], off)
	switch {
	case n == shown:
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return fail("read", ino, Drifted, io.ErrUnexpectedEOF)
	}
	return err
}

// readError keeps an error of the base as it is and translates the store's.
func readError(ino Ino, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	return fail("read", ino, storeKind(err), err)
}

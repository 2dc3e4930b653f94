package billyfs

import (
	"math"
	"time"

	"deltafs/deltalog"
)

// WriteAt writes all of p into a regular file, which grows as needed. Up to
// deltalog.MaxData bytes are one atomic change; more are several, in order, and
// an error can then leave the first of them done. It costs the same whatever
// the file's size and whether it was changed before. A caller other than root
// takes setuid and setgid off the file. A store that is making room is waited for, some seconds.
func (t *Tree) WriteAt(c Caller, ino Ino, p []byte, off int64) (Change, error) {
	return t.WriteSummed(c, ino, p, nil, off)
}

// WriteSummed is WriteAt of bytes whose sums are known ([AppendSum]), or not (nil). They are not verified: where they are
// not those of p, p cannot be read again.
func (t *Tree) WriteSummed(c Caller, ino Ino, p, sums []byte, off int64) (Change, error) {
	if len(p) > deltalog.MaxData {
		sums = nil // those of each part would be others
	}
	for until := int64(0); ; {
		ch, err := t.writeAt(c, ino, p, sums, off)
		if KindOf(err) != Busy {
			return ch, err
		}
		now := time.Now().UnixNano()
		if until == 0 {
			until = now + int64(holdWrite)
		}
		if now > until {
			return ch, err
		}
		time.Sleep(holdWrite / 100) // without a lock: whoever makes room may need it
	}
}

// holdWrite is how long a write waits for room that is being made.
const holdWrite = 5 * time.Second

// SumBlock is how many bytes of data have one sum.
const SumBlock = deltalog.SumBlock

// AppendSum appends the sum of a block of data to those of the blocks before it, for [Tree.WriteSummed]. The blocks begin with
// the data, and have SumBlock bytes each, but for the last.
func AppendSum(sums, block []byte) []byte { return deltalog.AppendSum(sums, block) }

func (t *Tree) writeAt(c Caller, ino Ino, p, sums []byte, off int64) (Change, error) {
	const op = "write"
	if err := c.check(op, ino); err != nil {
		return Change{}, err
	}
	if err := t.store.Throttle(); err != nil { // before the lock, which readers wait for
		return Change{}, fail(op, ino, storeKind(err), err)
	}
	set := t.lock(ino)
	defer set.unlock()
	mode, err := t.mode(op, ino)
	switch {
	case err != nil:
		return Change{}, err
	case mode&TypeMask == TypeDir:
		return Change{}, fail(op, ino, IsDir, nil)
	case mode&TypeMask != TypeRegular || off < 0:
		return Change{}, fail(op, ino, Invalid, nil)
	case int64(len(p)) > math.MaxInt64-off:
		return Change{}, fail(op, ino, TooBig, nil)
	case len(p) == 0:
		return t.begin(op, c, set).unchanged(ino)
	}
	var first *Attr
	for {
		part := p[:min(len(p), deltalog.MaxData)]
		ch, err := t.writePart(c, set, ino, part, sums, off)
		if err != nil {
			return Change{}, err
		}
		if first == nil {
			first = &ch.Before
		}
		p, off = p[len(part):], off+int64(len(part))
		if len(p) == 0 {
			ch.Before = *first
			return ch, nil
		}
	}
}

// writePart writes what fits into one batch.
func (t *Tree) writePart(c Caller, set lockSet, ino Ino, p, sums []byte, off int64) (Change, error) {
	u := t.begin("write", c, set)
	e, err := u.edit(ino)
	if err != nil {
		return Change{}, err
	}
	if err := u.count(e, off, int64(len(p))); err != nil {
		return Change{}, err
	}
	u.batch.DataNoCopy(t.live(), ino, off, p, sums) // p is the caller's until the batch is appended
	e.rec.Size = max(e.rec.Size, uint64(off)+uint64(len(p)))
	e.modified()
	if c.UID != 0 {
		e.dropSetID()
	}
	return u.finish(e)
}

// count adds n bytes of data at off to what the file takes.
func (u *update) count(e *edit, off, n int64) error {
	if e.used == nil {
		return nil // only just made: to be counted when somebody asks
	}
	had, err := u.held(e, off, n)
	if err != nil {
		return err
	}
	used := *e.used
	used.data += uint64(n) - had
	if low := int64(min(e.rec.LowerLen, math.MaxInt64)) - off; low > 0 {
		if low = min(low, n); low < n {
			if had, err = u.held(e, off, low); err != nil {
				return err
			}
		}
		used.low += uint64(low) - had
	}
	e.used = &used
	return nil
}

// held counts the bytes that the layer holds of a range. It need not be asked where
// there is nothing yet, nor where it holds all of the file.
func (u *update) held(e *edit, off, n int64) (uint64, error) {
	size := e.rec.Size
	switch {
	case uint64(off) >= size:
		return 0, nil
	case e.used.data == size:
		return min(uint64(n), size-uint64(off)), nil
	}
	return u.t.dataBytes(e.n.ino, off, n)
}

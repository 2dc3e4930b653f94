package billyfs

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"time"

	"github.com/go-git/go-billy/v5"

	"deltafs/deltalog"
)

// copyBuffer is how much of a file is read from the log at a time.
const copyBuffer = 256 << 10

// pathAt is the path of a place in the base.
func (c *committer) pathAt(at place) (string, error) {
	dir, err := c.t.base.path(at.parent)
	return below(dir, at.name), err
}

// prepare makes new objects under hidden names, whole and durable.
func (c *committer) prepare(group []*task) error {
	made := false
	for _, s := range group {
		if s.Kind != stepMake || s.fail != nil {
			continue
		}
		err := c.make(s)
		if errors.Is(err, errKilled) {
			return err
		}
		if err != nil && fatal(err) {
			c.unmake(group)
			return err
		}
		if err != nil {
			c.stop(s, err)
			c.unmake([]*task{s})
			continue
		}
		made = true
		c.rest()
		if err := c.at("made"); err != nil {
			return err
		}
	}
	if !made {
		return nil
	}
	if err := c.syncBase(group); err != nil {
		c.unmake(group)
		return err
	}
	return c.at("made durable")
}

// unmake takes away what was made for a group that will not be done.
func (c *committer) unmake(group []*task) {
	for _, s := range group {
		if s.Kind != stepMake {
			continue
		}
		if p, err := c.pathAt(s.From.place()); err == nil {
			_ = c.w.Remove(p) // a hidden name; if it is left, the next run takes it
		}
	}
}

// make makes one new object.
func (c *committer) make(s *task) error {
	r := c.p.changes.inodes[s.Ino]
	p, err := c.pathAt(s.From.place())
	if err != nil {
		return err
	}
	err = c.inDir(s.From.Parent, func() error { return c.create(p, s.Ino, &r) })
	if errors.Is(err, fs.ErrExist) { // of a run that was cut short
		if err = c.w.Remove(p); err == nil {
			err = c.create(p, s.Ino, &r)
		}
	}
	if err != nil {
		return err
	}
	if r.Mode&TypeMask == TypeDir { // things are to come into it
		r.Mode |= 0o700
	}
	if s.kept, err = c.attributes(p, &r, nil); err != nil {
		return err
	}
	fi, err := c.t.base.fs.Lstat(p)
	if err != nil {
		return err
	}
	s.Inode = statOf(fi).inode
	return nil
}

// inDir calls fn, which changes names in a directory of the base, and once more if that was
// refused and our own directory only has to be made writable for it.
func (c *committer) inDir(dir Ino, fn func() error) error {
	err := fn()
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	p, perr := c.t.base.path(dir)
	if perr != nil {
		return err
	}
	_, st, perr := c.t.base.stat(dir, false)
	if perr != nil || st.attr.Mode&0o700 == 0o700 {
		return err
	}
	if c.w.Chmod(p, st.attr.Mode&allPerms|0o700) != nil {
		return err
	}
	err = fn()
	if _, ok := c.p.changes.inodes[dir]; !ok || !c.p.inodes[dir] { // nobody else sets it right
		_ = c.w.Chmod(p, st.attr.Mode&allPerms)
	}
	return err
}

// create makes an object with its content.
func (c *committer) create(p string, ino Ino, r *deltalog.Inode) error {
	switch r.Mode & TypeMask {
	case TypeDir:
		return c.w.Mkdir(p, 0o700)
	case TypeSymlink:
		return c.w.Symlink(r.Target, p)
	case TypeRegular:
		f, err := c.w.OpenFile(p, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		err = c.copyData(f, ino, r, 0)
		return errors.Join(err, f.Close())
	}
	return c.w.Mknod(p, r.Mode&TypeMask|0o600, r.RdevMajor, r.RdevMinor)
}

// copyData writes what the delta holds of a file, of which the base keeps the first keep bytes; what neither has
// becomes a hole.
func (c *committer) copyData(f billy.File, ino Ino, r *deltalog.Inode, keep uint64) error {
	at, ok := f.(io.WriterAt)
	sync, ok2 := f.(interface{ Sync() error })
	if !ok || !ok2 {
		return fmt.Errorf("the base cannot be written to in place: %w", errors.ErrUnsupported)
	}
	if err := f.Truncate(int64(keep)); err != nil {
		return err
	}
	if err := f.Truncate(int64(r.Size)); err != nil {
		return err
	}
	var ranges [][2]int64
	err := c.t.store.DataRanges(c.top, ino, 0, int64(min(r.Size, math.MaxInt64)), func(off, n int64) bool {
		ranges = append(ranges, [2]int64{off, n})
		return true
	})
	if err != nil {
		return err
	}
	if c.buf == nil {
		c.buf = make([]byte, copyBuffer)
	}
	for _, rg := range ranges {
		for off, end := rg[0], rg[0]+rg[1]; off < end; {
			p := c.buf[:min(int64(len(c.buf)), end-off)]
			if err := c.t.store.ReadAt(c.top, ino, p, off, missing); err != nil {
				return err
			}
			if _, err := at.WriteAt(p, off); err != nil {
				return err
			}
			off += int64(len(p))
			c.rest()
			if err := c.at("wrote"); err != nil {
				return err
			}
		}
	}
	if all, ok := c.w.(interface{ SyncsContents() bool }); ok && all.SyncsContents() {
		return nil
	}
	return sync.Sync()
}

// missing is asked for what the log has said that it holds.
func missing([]byte, int64) error { return io.ErrUnexpectedEOF }

// attributes gives an object those of its record: owner, permissions, times, in this order, since each can
// undo what comes after. now is what the base has, nil if the object is new. kept says what the base does not take.
func (c *committer) attributes(p string, r *deltalog.Inode, now *Attr) (kept string, err error) {
	if now == nil {
		fi, err := c.t.base.fs.Lstat(p)
		if err != nil {
			return "", err
		}
		now = &statOf(fi).attr
	}
	refused := func(what string, err error) error {
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
			kept = what
			return nil
		}
		return err
	}
	owned := false
	if now.UID != r.UID || now.GID != r.GID {
		err := c.w.Lchown(p, int(r.UID), int(r.GID))
		owned = err == nil
		if err = refused(fmt.Sprintf("owner %d:%d", r.UID, r.GID), err); err != nil {
			return kept, err
		}
	}
	typ := r.Mode & TypeMask
	if typ == TypeSymlink && now.Mode != r.Mode {
		kept = fmt.Sprintf("mode %04o", r.Mode&allPerms) // systems have one for all
	}
	if typ != TypeSymlink && (now.Mode&allPerms != r.Mode&allPerms || owned && r.Mode&(setUID|setGID) != 0) {
		if err := refused(fmt.Sprintf("mode %04o", r.Mode&allPerms), c.w.Chmod(p, r.Mode&allPerms)); err != nil {
			return kept, err
		}
	}
	if r.Flags&deltalog.InodeTouched == 0 && now.Mtime != r.Mtime {
		err := c.w.Chtimes(p, time.Unix(0, r.Atime), time.Unix(0, r.Mtime))
		if err := refused("times", err); err != nil {
			return kept, err
		}
	}
	return kept, nil
}

// apply does one step in the base, and lets all who read it know.
func (c *committer) apply(s *task) error {
	b := c.t.base
	switch s.Kind {
	case stepWrite:
		return c.applyWrite(s)
	case stepUnlink:
		from := s.From.place()
		p, err := c.pathAt(from)
		if err != nil {
			return err
		}
		return c.inDir(from.parent, func() error {
			return b.change(func() error {
				err := c.w.Remove(p)
				if errors.Is(err, fs.ErrNotExist) {
					err = nil
				}
				return err
			}, func() { c.unlinkedLocked(s) })
		})
	}
	to := s.To.place()
	dst, err := c.pathAt(to)
	if err != nil {
		return err
	}
	var src string
	if s.Kind == stepLink {
		src, err = b.path(s.Ino)
	} else {
		src, err = c.pathAt(s.From.place())
	}
	if err != nil {
		return err
	}
	do := func() error { return c.w.Rename(src, dst) }
	if s.Kind == stepLink {
		do = func() error { return c.link(src, dst, s) }
	}
	return c.inDir(to.parent, func() error {
		return c.inDir(cmp.Or(s.From.Parent, to.parent), func() error {
			return b.change(do, func() {
				if s.Over != 0 {
					c.goneLocked(s.Over)
				}
				b.doneLocked(s)
			})
		})
	})
}

func originAt(s *task, at place) deltalog.Origin {
	return deltalog.Origin{Parent: at.parent, Name: at.name, Pinned: true, Home: s.Home}
}

// doneLocked notes what has come to a place.
func (b *base) doneLocked(s *task) {
	switch s.Kind {
	case stepMove:
		b.vacateLocked(s.From.place())
	case stepLink:
		b.pins.placed[s.Was.place()] = s.Ino
	case stepUnlink:
		b.vacateLocked(s.From.place())
		if s.Was.Parent != 0 {
			b.placeLocked(s.Ino, originAt(s, s.Was.place()))
		}
		return
	}
	b.placeLocked(s.Ino, originAt(s, s.To.place()))
}

// link gives a file another name, over what is dead there.
func (c *committer) link(src, dst string, s *task) error {
	if s.Over == 0 {
		return c.w.Link(src, dst)
	}
	tmp, err := c.pathAt(place{s.To.Parent, c.stageName(s.Ino, s.To.place())})
	if err != nil {
		return err
	}
	if err := c.w.Link(src, tmp); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return c.w.Rename(tmp, dst)
}

// goneLocked forgets an object that has lost a name, or its last.
func (c *committer) goneLocked(ino Ino) {
	c.t.base.objs.delete(ino)
}

// unlinkedLocked is what follows from a name that is gone.
func (c *committer) unlinkedLocked(s *task) {
	c.t.base.doneLocked(s)
	if s.Was.Parent == 0 {
		c.goneLocked(s.Ino) // or it has names that the delta knows nothing of: listing them finds it
	}
}

// applyWrite brings content and attributes to an object in place.
func (c *committer) applyWrite(s *task) error {
	b, r := c.t.base, c.p.changes.inodes[s.Ino]
	p, err := b.path(s.Ino)
	if err != nil {
		return err
	}
	defer func() {
		_ = b.change(func() error { return nil }, func() { b.changedLocked(s.Ino) })
	}()
	_, st, err := b.stat(s.Ino, false)
	if err != nil {
		return err
	}
	changed := c.p.contentChanged(s.Ino, &r)
	if !changed && sameAttributes(&r, &st.attr) {
		return nil
	}
	c.done.Written++
	if changed {
		if err := c.overwrite(p, s.Ino, &r, st); err != nil {
			return err
		}
		if _, st, err = b.stat(s.Ino, false); err != nil {
			return err
		}
	}
	s.kept, err = c.attributes(p, &r, &st.attr)
	return err
}

// sameAttributes tells whether the base has those of a record.
func sameAttributes(r *deltalog.Inode, now *Attr) bool {
	return r.Mode == now.Mode && r.UID == now.UID && r.GID == now.GID && (r.Mtime == now.Mtime || r.Flags&deltalog.InodeTouched != 0)
}

// overwrite brings the ranges that the delta holds to a file.
func (c *committer) overwrite(p string, ino Ino, r *deltalog.Inode, st *stat) error {
	f, err := c.w.OpenFile(p, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) && st.attr.Mode&0o200 == 0 && c.w.Chmod(p, st.attr.Mode&allPerms|0o600) == nil {
		f, err = c.w.OpenFile(p, os.O_RDWR, 0)
	}
	if err != nil {
		return err
	}
	err = c.copyData(f, ino, r, min(r.LowerLen, st.attr.Size))
	return errors.Join(err, f.Close())
}

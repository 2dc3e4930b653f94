package billyfs

import (
	"errors"
	"io/fs"
	"path"
	"sync/atomic"

	"deltafs/deltalog"
)

var errCollision = errors.New("its number is that of another object of the base")

// stat is what the base said of an object. But for when that was it never changes.
type stat struct {
	sysStat
	at    atomic.Int64 // when, in nanoseconds since 1970; of a directory it never changes, see base.current
	attr  Attr         // without number and generation
	links bool         // of a directory: Nlink is 2 plus its subdirectories
	mount Ino          // of a directory: the one that its file system is mounted on; 0: not asked yet
}

// sysStat is what only some file systems can tell of a file.
type sysStat struct {
	known      bool
	dev, inode uint64
}

func (s *stat) typ() uint32 { return s.attr.Mode & TypeMask }

// same tells whether two stats are of the same, unchanged file.
func (s *stat) same(t *stat) bool {
	return s.dev == t.dev && s.fingerprint() == t.fingerprint()
}

func (s *stat) fingerprint() deltalog.Fingerprint {
	return deltalog.Fingerprint{
		Ino: s.inode, Size: s.attr.Size, Mtime: s.attr.Mtime, Ctime: s.attr.Ctime,
	}
}

// newStat makes a stat of fi; mount is 0 but for the root.
func (b *base) newStat(fi fs.FileInfo, mount Ino) *stat {
	st := new(stat)
	b.describe(st, fi, b.now())
	st.mount = mount
	return st
}

// describe sets a stat to what the base said at a time, as fi.
func (b *base) describe(st *stat, fi fs.FileInfo, at int64) {
	st.of(fi)
	st.at.Store(at)
	if b.noTimes {
		st.attr.Atime, st.attr.Mtime, st.attr.Ctime = b.opened, b.opened, b.opened
	}
	if st.typ() == TypeDir {
		st.links = st.known && st.attr.Nlink >= 2
	} else if st.attr.Nlink == 0 {
		st.attr.Nlink = 1
	}
}

// statOf returns a stat of fi that was said at no time.
func statOf(fi fs.FileInfo) *stat {
	st := new(stat)
	st.of(fi)
	return st
}

// of translates a FileInfo, with what its Sys tells where it does.
func (s *stat) of(fi fs.FileInfo) {
	t := nanos(fi.ModTime())
	size := uint64(max(fi.Size(), 0))
	s.attr = Attr{
		Mode: modeOf(fi.Mode()), Nlink: 1, Size: size, Used: size,
		Atime: t, Mtime: t, Ctime: t,
	}
	s.fill(fi.Sys())
}

// modeOf translates type and permissions. A type that is not one of NFS's
// (an irregular file) is 0.
func modeOf(m fs.FileMode) uint32 {
	mode := uint32(m.Perm())
	for _, bit := range [...]struct {
		from fs.FileMode
		to   uint32
	}{{fs.ModeSetuid, 0o4000}, {fs.ModeSetgid, 0o2000}, {fs.ModeSticky, 0o1000}} {
		if m&bit.from != 0 {
			mode |= bit.to
		}
	}
	switch m.Type() {
	case 0:
		mode |= TypeRegular
	case fs.ModeDir:
		mode |= TypeDir
	case fs.ModeSymlink:
		mode |= TypeSymlink
	case fs.ModeNamedPipe:
		mode |= TypeFIFO
	case fs.ModeSocket:
		mode |= TypeSocket
	case fs.ModeDevice:
		mode |= TypeBlock
	case fs.ModeDevice | fs.ModeCharDevice:
		mode |= TypeChar
	}
	return mode
}

// fresh tells whether a stat may still be believed.
func (b *base) fresh(st *stat) bool {
	return st != nil && b.believed(st.at.Load())
}

// believed tells whether what the base said at a time may still be believed.
func (b *base) believed(at int64) bool {
	if b.immutable {
		return true
	}
	return trusted(at, b.lately())
}

// trusted tells whether what the base said at a time is believed now.
func trusted(at, now int64) bool { return holds(at+trust, now) }

// stat returns what the base says of an object: at most a second old if cached
// may be used, else as it is now. An object that is gone, or is of another
// type than it was, is Stale.
func (b *base) stat(ino Ino, cached bool) (*object, *stat, error) {
	for {
		o, st, err := b.tryStat(ino, cached)
		if !errors.Is(err, errMoved) {
			return o, st, err
		}
	}
}

// tryStat fails with errMoved if a commit has changed the base meanwhile.
func (b *base) tryStat(ino Ino, cached bool) (*object, *stat, error) {
	o, err := b.object(ino)
	if err != nil {
		return nil, nil, err
	}
	if st := o.st.Load(); cached && b.fresh(st) {
		return o, st, nil
	}
	var st *stat
	var seq uint64
	err = b.at(ino, func(p string, now uint64) error {
		var fi fs.FileInfo
		var err error
		if cached && ino != RootIno && b.known(ino) == o {
			fi, err = b.lstatIn(o.parent, path.Dir(p), o.name, now)
		} else {
			fi, err = b.fs.Lstat(p)
		}
		if err != nil {
			return b.wrap("getattr", p, err, Stale)
		}
		st, seq = b.newStat(fi, 0), now
		return nil
	})
	if err == nil && (st.typ() != o.typ || o.shared && st.inode != o.inode) {
		err = staleIno("getattr", ino)
	}
	if err != nil {
		if b.known(ino) != o {
			return nil, nil, errMoved
		}
		if KindOf(err) == Stale {
			b.forget(o)
		}
		return nil, nil, err
	}
	if ino == RootIno {
		st.mount = RootIno
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.moves.Load() != seq {
		return nil, nil, errMoved
	}
	b.note(o, st)
	return o, st, nil
}

// mountPoint is a file system of the base: the directory that it is mounted
// on, and its device number of this boot.
type mountPoint struct {
	mount Ino
	dev   uint64
}

// mountOf returns the file system that a directory lies in.
func (b *base) mountOf(dir Ino) (mountPoint, error) { return b.mountAt(dir, 0) }

func (b *base) mountAt(dir Ino, depth int) (mountPoint, error) {
	o, st, err := b.stat(dir, true)
	if err != nil {
		return mountPoint{}, err
	}
	if st.mount != 0 {
		return mountPoint{st.mount, st.dev}, nil
	}
	if depth > maxDepth {
		return mountPoint{}, staleIno("find", dir)
	}
	up, err := b.mountAt(o.parent, depth+1)
	if err != nil {
		return mountPoint{}, err
	}
	own := &stat{sysStat: st.sysStat, attr: st.attr, links: st.links, mount: dir}
	own.at.Store(st.at.Load())
	if up.dev == st.dev {
		own.mount = up.mount
	}
	o.st.CompareAndSwap(st, own)
	return mountPoint{own.mount, own.dev}, nil
}

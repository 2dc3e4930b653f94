package billyfs

import "errors"

// obj is how a side names an object: it stays valid when the object is renamed.
type obj any

// side is a file system by handles that histories are played on: the tree
// under test, and what it is compared with. What a call returns beside an
// error's kind is used only if that is 0.
type side interface {
	root() obj
	stat(o obj) (Attr, Kind) // Stale if o is gone; Ino tells objects apart
	lookup(dir obj, name string) (obj, Kind)
	create(c Caller, dir obj, name string, how CreateHow) (obj, Kind)
	mkdir(c Caller, dir obj, name string, mode uint32) (obj, Kind)
	symlink(c Caller, dir obj, name, target string) (obj, Kind)
	mknod(c Caller, dir obj, name string, mode, major, minor uint32) (obj, Kind)
	link(c Caller, o, dir obj, name string) Kind
	remove(c Caller, dir obj, name string) Kind
	rmdir(c Caller, dir obj, name string) Kind
	rename(c Caller, from obj, fromName string, to obj, toName string) Kind
	setattr(c Caller, o obj, s SetAttr) Kind
	write(c Caller, o obj, p []byte, off int64) Kind
	read(o obj, n int, off int64) (string, Kind)
	readlink(o obj) (string, Kind)
	list(dir obj) (map[string]uint32, Kind) // names and types
	// mark and moved tell whether calls in between moved an object's times;
	// knows is false if the side cannot tell of ctime.
	mark(o obj) any
	moved(o obj, mark any) (mtime, ctime, knows bool)
}

// treeSide plays histories on the tree. An obj is an Ino.
type treeSide struct {
	t   tester
	rig *rig
}

func (s *treeSide) root() obj { return s.rig.Root() }

func (s *treeSide) stat(o obj) (Attr, Kind) {
	a, err := s.rig.Attr(o.(Ino))
	return a, KindOf(err)
}

func (s *treeSide) lookup(dir obj, name string) (obj, Kind) {
	a, err := s.rig.Lookup(dir.(Ino), name)
	return a.Ino, KindOf(err)
}

// made checks what a call says of the directory against what it is.
func (s *treeSide) made(dir obj, a Attr, ch Change, err error) (obj, Kind) {
	s.t.Helper()
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			s.t.Fatalf("not an *Error: %v", err)
		}
		return nil, e.Kind
	}
	s.check(dir, ch)
	if now, err := s.rig.Attr(a.Ino); err != nil || now != a {
		s.t.Fatalf("call returned %+v, but the object is %+v, %v", a, now, err)
	}
	return a.Ino, 0
}

func (s *treeSide) check(o obj, ch Change) {
	s.t.Helper()
	now, err := s.rig.Attr(o.(Ino))
	if err != nil || now != ch.After {
		s.t.Fatalf("after the change: %+v, but the object is %+v, %v", ch.After, now, err)
	}
	if ch.LSN > s.rig.store.LastLSN() {
		s.t.Fatalf("LSN %d is not appended yet", ch.LSN)
	}
}

func (s *treeSide) create(c Caller, dir obj, name string, how CreateHow) (obj, Kind) {
	a, ch, err := s.rig.Create(c, dir.(Ino), name, how)
	return s.made(dir, a, ch, err)
}

func (s *treeSide) mkdir(c Caller, dir obj, name string, mode uint32) (obj, Kind) {
	a, ch, err := s.rig.Mkdir(c, dir.(Ino), name, SetAttr{Mode: &mode})
	return s.made(dir, a, ch, err)
}

func (s *treeSide) symlink(c Caller, dir obj, name, target string) (obj, Kind) {
	a, ch, err := s.rig.Symlink(c, dir.(Ino), name, target, SetAttr{})
	return s.made(dir, a, ch, err)
}

func (s *treeSide) mknod(c Caller, dir obj, name string, mode, major, minor uint32) (obj, Kind) {
	a, ch, err := s.rig.Mknod(c, dir.(Ino), name, mode&TypeMask, major, minor, SetAttr{Mode: &mode})
	return s.made(dir, a, ch, err)
}

func (s *treeSide) link(c Caller, o, dir obj, name string) Kind {
	a, ch, err := s.rig.Link(c, o.(Ino), dir.(Ino), name)
	_, k := s.made(dir, a, ch, err)
	return k
}

func (s *treeSide) done(o obj, ch Change, err error) Kind {
	s.t.Helper()
	if err == nil {
		s.check(o, ch)
	}
	return KindOf(err)
}

func (s *treeSide) remove(c Caller, dir obj, name string) Kind {
	ch, err := s.rig.Remove(c, dir.(Ino), name)
	return s.done(dir, ch, err)
}

func (s *treeSide) rmdir(c Caller, dir obj, name string) Kind {
	ch, err := s.rig.Rmdir(c, dir.(Ino), name)
	return s.done(dir, ch, err)
}

func (s *treeSide) rename(c Caller, from obj, fromName string, to obj, toName string) Kind {
	ch1, ch2, err := s.rig.Rename(c, from.(Ino), fromName, to.(Ino), toName)
	if err == nil {
		s.check(from, ch1)
		s.check(to, ch2)
	}
	return KindOf(err)
}

func (s *treeSide) setattr(c Caller, o obj, set SetAttr) Kind {
	ch, err := s.rig.SetAttr(c, o.(Ino), set)
	return s.done(o, ch, err)
}

func (s *treeSide) write(c Caller, o obj, p []byte, off int64) Kind {
	ch, err := s.rig.WriteAt(c, o.(Ino), p, off)
	return s.done(o, ch, err)
}

func (s *treeSide) read(o obj, n int, off int64) (string, Kind) {
	p := make([]byte, n)
	n, _, err := s.rig.ReadAt(o.(Ino), p, off)
	return string(p[:n]), KindOf(err)
}

func (s *treeSide) readlink(o obj) (string, Kind) {
	t, err := s.rig.Readlink(o.(Ino))
	return t, KindOf(err)
}

func (s *treeSide) list(dir obj) (map[string]uint32, Kind) {
	all := make(map[string]uint32)
	last := uint64(0)
	eof, err := s.rig.ReadDir(dir.(Ino), 0, func(e DirEntry) bool {
		if _, twice := all[e.Name]; twice || e.Cookie <= last {
			s.t.Fatalf("listing shows %q twice or out of order", e.Name)
		}
		all[e.Name], last = e.Type, e.Cookie
		if a, err := s.rig.Lookup(dir.(Ino), e.Name); err != nil || a.Ino != e.Ino || a.Mode&TypeMask != e.Type {
			s.t.Fatalf("listing shows %+v, lookup %+v, %v", e, a, err)
		}
		return true
	})
	if err == nil && !eof {
		s.t.Fatalf("listing ended without eof")
	}
	return all, KindOf(err)
}

func (s *treeSide) mark(o obj) any {
	a, _ := s.stat(o)
	return a
}

func (s *treeSide) moved(o obj, mark any) (mtime, ctime, knows bool) {
	old := mark.(Attr)
	now, k := s.stat(o)
	if k != 0 {
		return false, false, false
	}
	if now.Ctime < old.Ctime {
		s.t.Fatalf("ctime went back from %d to %d", old.Ctime, now.Ctime)
	}
	return now.Mtime != old.Mtime, now.Ctime != old.Ctime, true
}

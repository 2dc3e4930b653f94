package billyfs

import (
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mem is a file system in memory that says what POSIX wants: slow, and simple
// enough to be read.
type mem struct {
	top *memNode
	ids *int // the last given out, in all copies
}

type memNode struct {
	attr     Attr
	data     []byte
	target   string
	kids     map[string]*memNode
	up       *memNode
	verifier *uint64
	mt, ct   int // how often mtime and ctime moved
	id       int // the same in all copies of the model
}

// copy returns the model as it is now, whatever becomes of m.
func (m *mem) copy() *mem {
	done := make(map[*memNode]*memNode)
	var clone func(n *memNode) *memNode
	clone = func(n *memNode) *memNode {
		if c := done[n]; c != nil || n == nil {
			return c
		}
		c := *n
		done[n] = &c
		c.data, c.up = slices.Clone(n.data), clone(n.up)
		if n.kids != nil {
			c.kids = make(map[string]*memNode)
			for name, kid := range n.kids {
				c.kids[name] = clone(kid)
			}
		}
		return &c
	}
	return &mem{top: clone(m.top), ids: m.ids}
}

// byID returns all objects that have a name.
func (m *mem) byID() map[int]*memNode {
	all := make(map[int]*memNode)
	var walk func(n *memNode)
	walk = func(n *memNode) {
		all[n.id] = n
		for _, kid := range n.kids {
			walk(kid)
		}
	}
	walk(m.top)
	return all
}

func (m *mem) root() obj { return m.top }

func (n *memNode) typ() uint32 { return n.attr.Mode & TypeMask }
func (n *memNode) dead() bool  { return n.attr.Nlink == 0 }
func (n *memNode) modified()   { n.mt++; n.ct++ }

// dir checks directory and name the way every call on a name does.
func (m *mem) dir(o obj, name string) (*memNode, Kind) {
	d := o.(*memNode)
	switch {
	case d.dead():
		return nil, Stale
	case d.typ() != TypeDir:
		return nil, NotDir
	case name == "" || strings.ContainsAny(name, "/\x00"):
		return nil, Invalid
	case len(name) > 255:
		return nil, NameTooLong
	}
	return d, 0
}

func (m *mem) stat(o obj) (Attr, Kind) {
	n := o.(*memNode)
	if n.dead() {
		return Attr{}, Stale
	}
	a := n.attr
	switch n.typ() {
	case TypeRegular:
		a.Size = uint64(len(n.data))
	case TypeSymlink:
		a.Size = uint64(len(n.target))
	}
	return a, 0
}

func (m *mem) lookup(dir obj, name string) (obj, Kind) {
	d, k := m.dir(dir, name)
	switch {
	case k != 0:
		return nil, k
	case name == ".":
		return d, 0
	case name == "..":
		return d.up, 0
	case d.kids[name] == nil:
		return nil, NotExist
	}
	return d.kids[name], 0
}

// free finds the place of a new name.
func (m *mem) free(dir obj, name string) (*memNode, Kind) {
	d, k := m.dir(dir, name)
	if k == 0 && (isDot(name) || d.kids[name] != nil) {
		k = Exist
	}
	return d, k
}

func (m *mem) make(c Caller, d *memNode, name string, mode uint32) *memNode {
	*m.ids++
	n := &memNode{attr: Attr{Mode: mode, Nlink: 1, UID: c.UID, GID: c.GID}, id: *m.ids}
	if n.typ() == TypeDir {
		n.kids, n.up = make(map[string]*memNode), d
		n.attr.Nlink = 2
		d.attr.Nlink++
	}
	if d.attr.Mode&setGID != 0 {
		n.attr.GID = d.attr.GID
		if n.typ() == TypeDir {
			n.attr.Mode |= setGID
		} else if c.UID != 0 && c.GID != d.attr.GID && mode&groupExec != 0 {
			n.attr.Mode &^= setGID
		}
	}
	d.kids[name] = n
	d.modified()
	return n
}

func (m *mem) create(c Caller, dir obj, name string, how CreateHow) (obj, Kind) {
	d, k := m.free(dir, name)
	switch {
	case k == Exist && isDot(name) && how.Mode == Unchecked:
		return nil, IsDir
	case k == Exist && !isDot(name):
		return m.createOver(c, d.kids[name], how)
	case k != 0:
		return nil, k
	}
	n := m.make(c, d, name, TypeRegular|*how.Attr.Mode)
	if how.Mode == Exclusive {
		n.verifier = &how.Verifier
	}
	if how.Attr.Size != nil {
		n.data = make([]byte, *how.Attr.Size)
	}
	return n, 0
}

func (m *mem) createOver(c Caller, n *memNode, how CreateHow) (obj, Kind) {
	switch {
	case how.Mode == Exclusive && n.verifier != nil && *n.verifier == how.Verifier:
		return n, 0
	case how.Mode != Unchecked || n.typ() != TypeDir && n.typ() != TypeRegular:
		return nil, Exist
	case n.typ() == TypeDir:
		return nil, IsDir
	}
	if how.Attr.Size != nil {
		m.setattr(c, n, SetAttr{Size: how.Attr.Size})
	}
	return n, 0
}

func (m *mem) mkdir(c Caller, dir obj, name string, mode uint32) (obj, Kind) {
	d, k := m.free(dir, name)
	if k != 0 {
		return nil, k
	}
	return m.make(c, d, name, TypeDir|mode), 0
}

func (m *mem) symlink(c Caller, dir obj, name, target string) (obj, Kind) {
	d, k := m.free(dir, name)
	if k != 0 {
		return nil, k
	}
	n := m.make(c, d, name, TypeSymlink|0o777)
	n.target = target
	return n, 0
}

func (m *mem) mknod(c Caller, dir obj, name string, mode, major, minor uint32) (obj, Kind) {
	d, k := m.free(dir, name)
	if k != 0 {
		return nil, k
	}
	n := m.make(c, d, name, mode)
	if n.typ() == TypeChar || n.typ() == TypeBlock {
		n.attr.RdevMajor, n.attr.RdevMinor = major, minor
	}
	return n, 0
}

func (m *mem) link(c Caller, o, dir obj, name string) Kind {
	n := o.(*memNode)
	if n.dead() {
		return Stale
	}
	d, k := m.free(dir, name)
	switch {
	case k != 0:
		return k
	case n.typ() == TypeDir:
		return NotPermitted
	}
	d.kids[name] = n
	d.modified()
	n.attr.Nlink++
	n.ct++
	return 0
}

// unlink takes a name away.
func (m *mem) unlink(d *memNode, name string) {
	n := d.kids[name]
	delete(d.kids, name)
	d.modified()
	n.ct++
	n.attr.Nlink--
	if n.typ() == TypeDir {
		n.attr.Nlink = 0
		d.attr.Nlink--
	}
}

func (m *mem) remove(c Caller, dir obj, name string) Kind {
	d, k := m.dir(dir, name)
	switch {
	case k != 0:
		return k
	case isDot(name):
		return IsDir
	case d.kids[name] == nil:
		return NotExist
	case d.kids[name].typ() == TypeDir:
		return IsDir
	}
	m.unlink(d, name)
	return 0
}

func (m *mem) rmdir(c Caller, dir obj, name string) Kind {
	d, k := m.dir(dir, name)
	switch {
	case k != 0:
		return k
	case name == ".":
		return Invalid
	case name == "..":
		return NotEmpty
	case d.kids[name] == nil:
		return NotExist
	case d.kids[name].typ() != TypeDir:
		return NotDir
	case len(d.kids[name].kids) > 0:
		return NotEmpty
	}
	m.unlink(d, name)
	return 0
}

// isBelow says whether d is top or lies below it.
func (m *mem) isBelow(d, top *memNode) bool {
	for ; d != top; d = d.up {
		if d == m.top {
			return false
		}
	}
	return true
}

func (m *mem) rename(c Caller, from obj, fromName string, to obj, toName string) Kind {
	for _, o := range []obj{from, to} {
		if _, k := m.dir(o, "x"); k != 0 {
			return k
		}
	}
	if isDot(fromName) || isDot(toName) {
		return Invalid
	}
	f, k := m.dir(from, fromName)
	if k != 0 {
		return k
	}
	n := f.kids[fromName]
	if n == nil {
		return NotExist
	}
	t, k := m.dir(to, toName)
	if k != 0 {
		return k
	}
	old := t.kids[toName]
	switch {
	case f != t && m.isBelow(t, n):
		return Invalid
	case old != nil && f != t && m.isBelow(f, old):
		return NotEmpty
	case old == n:
		return 0
	case old != nil && n.typ() == TypeDir && old.typ() != TypeDir:
		return NotDir
	case old != nil && n.typ() != TypeDir && old.typ() == TypeDir:
		return IsDir
	case old != nil && len(old.kids) > 0:
		return NotEmpty
	}
	if old != nil {
		m.unlink(t, toName)
	}
	delete(f.kids, fromName)
	t.kids[toName] = n
	if n.typ() == TypeDir {
		n.up = t
		f.attr.Nlink--
		t.attr.Nlink++
	}
	n.ct++
	f.modified()
	t.modified()
	return 0
}

func (n *memNode) dropSetID() {
	if n.typ() != TypeDir {
		n.attr.Mode &^= setUID
		if n.attr.Mode&groupExec != 0 {
			n.attr.Mode &^= setGID
		}
	}
}

func (m *mem) setattr(c Caller, o obj, s SetAttr) Kind {
	n := o.(*memNode)
	switch {
	case n.dead():
		return Stale
	case s.empty():
		return 0
	case s.Size != nil && n.typ() == TypeDir:
		return IsDir
	case s.Size != nil && n.typ() != TypeRegular:
		return Invalid
	case s.Size != nil && *s.Size > math.MaxInt64:
		return TooBig
	}
	n.ct++
	n.verifier = nil
	if s.Size != nil {
		n.mt++
		n.data = append(n.data[:min(len(n.data), int(*s.Size))], make([]byte, max(0, int(*s.Size)-len(n.data)))...)
		if c.UID != 0 {
			n.dropSetID()
		}
	}
	if s.Mode != nil {
		n.attr.Mode = n.typ() | *s.Mode
	}
	if s.UID != nil {
		n.attr.UID = *s.UID
	}
	if s.GID != nil {
		n.attr.GID = *s.GID
	}
	if s.UID != nil || s.GID != nil {
		n.dropSetID()
	}
	if s.Mtime != nil || s.MtimeNow {
		n.mt++
	}
	return 0
}

// file checks that o is a regular file.
func (m *mem) file(o obj) (*memNode, Kind) {
	n := o.(*memNode)
	switch {
	case n.dead():
		return nil, Stale
	case n.typ() == TypeDir:
		return nil, IsDir
	case n.typ() != TypeRegular:
		return nil, Invalid
	}
	return n, 0
}

func (m *mem) write(c Caller, o obj, p []byte, off int64) Kind {
	n, k := m.file(o)
	if k != 0 || len(p) == 0 {
		return k
	}
	if need := int(off) + len(p) - len(n.data); need > 0 {
		n.data = append(n.data, make([]byte, need)...)
	}
	copy(n.data[off:], p)
	n.modified()
	if c.UID != 0 {
		n.dropSetID()
	}
	return 0
}

func (m *mem) read(o obj, size int, off int64) (string, Kind) {
	n, k := m.file(o)
	if k != 0 || off >= int64(len(n.data)) {
		return "", k
	}
	return string(n.data[off:min(len(n.data), int(off)+size)]), 0
}

func (m *mem) readlink(o obj) (string, Kind) {
	n := o.(*memNode)
	switch {
	case n.dead():
		return "", Stale
	case n.typ() != TypeSymlink:
		return "", Invalid
	}
	return n.target, 0
}

func (m *mem) list(dir obj) (map[string]uint32, Kind) {
	d, k := m.dir(dir, "x")
	if k != 0 {
		return nil, k
	}
	all := map[string]uint32{".": TypeDir, "..": TypeDir}
	for name, n := range d.kids {
		all[name] = n.typ()
	}
	return all, 0
}

func (m *mem) mark(o obj) any {
	n := o.(*memNode)
	return [2]int{n.mt, n.ct}
}

func (m *mem) moved(o obj, mark any) (mtime, ctime, knows bool) {
	n, old := o.(*memNode), mark.([2]int)
	return n.mt != old[0], n.ct != old[1], true
}

// load builds the model of a directory on the host.
func (m *mem) load(t testing.TB, dir string) {
	t.Helper()
	b, err := rootfsBase(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	m.ids = new(int)
	at := map[string]*memNode{}
	byIno := map[Ino]*memNode{}
	inos := map[string]Ino{".": b.Root()}
	err = filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		rel = filepath.ToSlash(rel)
		up, name := filepath.ToSlash(filepath.Dir(rel)), filepath.Base(rel)
		if rel != "." {
			if inos[rel], err = b.Lookup(inos[up], name); err != nil {
				return err
			}
		}
		n := byIno[inos[rel]]
		if n == nil {
			if n, err = loadNode(b, inos[rel], p); err != nil {
				return err
			}
			byIno[inos[rel]] = n
			*m.ids++
			n.id = *m.ids
		}
		at[rel] = n
		if rel == "." {
			m.top, n.up = n, n
			return nil
		}
		at[up].kids[name] = n
		n.up = at[up]
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func loadNode(b *base, ino Ino, p string) (*memNode, error) {
	a, err := b.Attr(ino)
	if err != nil {
		return nil, err
	}
	n := &memNode{attr: a}
	switch n.typ() {
	case TypeDir:
		n.kids = make(map[string]*memNode)
	case TypeRegular:
		n.data, err = os.ReadFile(p)
	case TypeSymlink:
		n.target, err = os.Readlink(p)
	}
	return n, err
}

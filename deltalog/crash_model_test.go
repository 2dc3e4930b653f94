package deltalog

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"slices"
)

// oracle is what a store should hold: plain maps, no log, no index. What layers
// mean it says by copying: a view is a live line or a snapshot, and each has all
// that can be seen in it. Its number stands for its name, and stands in the
// place of the layer's id, which is the store's business. Its digest
// is kept up to date by edits, so that the state after every batch of a
// history is known without a copy of it.
type oracle struct {
	recs  map[any]any         // by inodeKey, entryKey, originKey, viewKey
	files map[inodeKey]ranges // data of the layer
	sum   uint64
}

type (
	viewKey  struct{ l LayerID } // the value is whether it is live
	inodeKey struct {
		l   LayerID
		ino Ino
	}
	originKey struct{ ino Ino }
	entryKey  struct {
		l      LayerID
		dir    Ino
		cookie uint64
		name   string
	}
)

// ranges are the bytes that a layer holds for a file: ascending, apart, not
// touching each other, not empty.
type ranges []span

type span struct {
	off  int64
	data []byte
}

func newOracle() *oracle { return &oracle{recs: map[any]any{}, files: map[inodeKey]ranges{}} }

// mainView is the number of "main".
const mainView LayerID = 1

func nameOfView(l LayerID) string {
	if l == mainView {
		return "main"
	}
	return fmt.Sprint("view", l)
}

func viewOfName(name string) (l LayerID) {
	if name == "main" {
		return mainView
	}
	fmt.Sscanf(name, "view%d", &l)
	return l
}

// views returns the views that are live, or those that are not, in order.
func (m *oracle) views(live bool) (ls []LayerID) {
	for k, v := range m.recs {
		if k, ok := k.(viewKey); ok && v == any(live) {
			ls = append(ls, k.l)
		}
	}
	slices.Sort(ls)
	return ls
}

// inView returns the key in view l if k is one of view from.
func inView(k any, from, l LayerID) (any, bool) {
	switch k := k.(type) {
	case inodeKey:
		return inodeKey{l, k.ino}, k.l == from
	case entryKey:
		return entryKey{l, k.dir, k.cookie, k.name}, k.l == from
	}
	return nil, false
}

// copyView makes view to what view from is.
func (m *oracle) copyView(from, to LayerID) {
	m.clearView(to)
	for k, v := range maps.Clone(m.recs) {
		if k, ok := inView(k, from, to); ok {
			m.set(k, v)
		}
	}
	for k, rs := range maps.Clone(m.files) {
		if k.l == from {
			m.setFile(inodeKey{to, k.ino}, rs)
		}
	}
}

func (m *oracle) clearView(l LayerID) {
	for k := range maps.Clone(m.recs) {
		if _, ok := inView(k, l, l); ok {
			m.del(k)
		}
	}
	for k := range maps.Clone(m.files) {
		if k.l == l {
			m.setFile(k, nil)
		}
	}
}

func (m *oracle) clone() *oracle {
	return &oracle{recs: maps.Clone(m.recs), files: maps.Clone(m.files), sum: m.sum}
}

// modelSeed makes digests comparable within the process.
var modelSeed = maphash.MakeSeed()

func sumRecord(k, v any) uint64 {
	return maphash.Comparable(modelSeed, struct{ k, v any }{k, v})
}

func sumFile(k inodeKey, rs ranges) uint64 {
	var h uint64
	for _, r := range rs {
		h += maphash.Comparable(modelSeed, [3]uint64{uint64(r.off), uint64(len(r.data)), maphash.Bytes(modelSeed, r.data)})
	}
	if h == 0 {
		return 0
	}
	return maphash.Comparable(modelSeed, struct {
		k inodeKey
		h uint64
	}{k, h})
}

func (m *oracle) set(k, v any) {
	m.del(k)
	m.recs[k] = v
	m.sum += sumRecord(k, v)
}

func (m *oracle) del(k any) {
	if old, ok := m.recs[k]; ok {
		m.sum -= sumRecord(k, old)
		delete(m.recs, k)
	}
}

func (m *oracle) setFile(k inodeKey, rs ranges) {
	m.sum += sumFile(k, rs) - sumFile(k, m.files[k])
	m.files[k] = rs
}

// cut returns rs without the bytes from..to.
func (rs ranges) cut(from, to int64) (out ranges) {
	for _, r := range rs {
		end := r.off + int64(len(r.data))
		if r.off < from {
			out = append(out, span{r.off, r.data[:min(end, from)-r.off]})
		}
		if end > to {
			at := max(r.off, to)
			out = append(out, span{at, r.data[at-r.off:]})
		}
	}
	return out
}

// put returns rs with p at off.
func (rs ranges) put(off int64, p []byte) ranges {
	parts := append(rs.cut(off, off+int64(len(p))), span{off, p})
	slices.SortFunc(parts, func(a, b span) int { return int(a.off - b.off) })
	return parts.merge()
}

// merge joins spans that touch each other.
func (rs ranges) merge() (out ranges) {
	for _, r := range rs {
		if n := len(out); n > 0 && out[n-1].off+int64(len(out[n-1].data)) == r.off {
			out[n-1].data = slices.Concat(out[n-1].data, r.data)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// edit is one call of a Batch, kept so that the oracle can follow.
type edit struct {
	kind   string
	l      LayerID
	ino    Ino
	rec    Inode
	cookie uint64
	name   string
	entry  Entry
	origin Origin
	off    int64
	data   []byte
	from   LayerID // of edits of views: the other one
}

// restacks tells whether the edit is one of views: a batch of its own.
func (c edit) restacks() bool {
	return slices.Contains([]string{"snapshot", "fork", "rollback", "forget"}, c.kind)
}

func (c edit) String() string {
	switch c.kind {
	case "entry":
		return fmt.Sprintf("entry %d/%x %q %+v", c.l, uint64(c.ino), c.name, c.entry)
	case "gone":
		return fmt.Sprintf("gone %d/%x %q", c.l, uint64(c.ino), c.name)
	case "data":
		return fmt.Sprintf("data %d/%x @%d +%d", c.l, uint64(c.ino), c.off, len(c.data))
	case "truncate":
		return fmt.Sprintf("truncate %d/%x %d", c.l, uint64(c.ino), c.off)
	}
	if c.restacks() {
		return fmt.Sprintf("%s %d %d", c.kind, c.l, c.from)
	}
	return fmt.Sprintf("%s %d/%x", c.kind, c.l, uint64(c.ino))
}

// drafts are the records that a batch has for inodes so far.
type drafts map[inodeKey]*Inode

// put adds the edit to a batch, as the rules for layers want it: whoever changes
// data has a record in the layer, and whoever cuts data says so in it.
func (c edit) put(s *Store, b *Batch, d drafts) error {
	l, ok := s.LayerNamed(nameOfView(c.l))
	if !ok {
		return fmt.Errorf("there is no layer named %q", nameOfView(c.l))
	}
	k := inodeKey{l.ID, c.ino}
	rec, drafted := d[k]
	if !drafted {
		if r, ok, err := s.Inode(l.ID, c.ino); err != nil {
			return err
		} else if ok {
			rec = &r
		}
	}
	write := func(r Inode) {
		b.Inode(l.ID, c.ino, &r)
		d[k] = &r
	}
	switch c.kind {
	case "inode":
		r := c.rec
		if rec != nil {
			r.Below = rec.Below
		}
		write(r)
	case "entry":
		b.Entry(l.ID, c.ino, c.cookie, c.name, c.entry)
	case "gone":
		return s.RemoveEntry(b, l.ID, c.ino, c.cookie, c.name)
	case "data":
		if rec != nil && rec.Below == math.MaxUint64 {
			write(*rec)
		}
		// Larger data is written from where it is: by calls of its own, between which a crash can come.
		b.write(l.ID, c.ino, c.off, c.data, len(c.data) >= 5000 && b.held == nil)
	case "truncate":
		if rec != nil && l.ID.stacked() {
			r := *rec
			r.Below = min(r.Below, uint64(c.off))
			write(r)
		}
		b.Truncate(l.ID, c.ino, uint64(c.off))
	case "drop":
		d[k] = nil
		return s.RemoveInode(b, l.ID, c.ino)
	case "origin":
		b.Origin(c.ino, c.origin)
	}
	return nil
}

// restack makes an edit of views.
func (c edit) restack(s *Store) (LSN, error) {
	l, _ := s.LayerNamed(nameOfView(c.l))
	from, _ := s.LayerNamed(nameOfView(c.from))
	var lsn LSN
	var err error
	switch c.kind {
	case "snapshot":
		_, lsn, err = s.Snapshot(from.ID, nameOfView(c.l))
	case "fork":
		_, lsn, err = s.Fork(from.ID, nameOfView(c.l), uint64(c.l))
	case "rollback":
		_, lsn, err = s.Rollback(l.ID, from.ID, nameOfView(LayerID(c.off)))
	case "forget":
		lsn, err = s.Drop(l.ID)
	}
	return lsn, err
}

// apply makes the edit in the oracle.
func (m *oracle) apply(c edit) {
	k := inodeKey{c.l, c.ino}
	switch c.kind {
	case "inode":
		m.set(k, c.rec)
	case "entry":
		m.set(entryKey{c.l, c.ino, c.cookie, c.name}, c.entry)
	case "gone":
		m.del(entryKey{c.l, c.ino, c.cookie, c.name})
	case "data":
		m.setFile(k, m.files[k].put(c.off, c.data))
	case "truncate":
		m.setFile(k, m.files[k].cut(c.off, 1<<62))
	case "drop":
		m.del(k)
		m.setFile(k, nil)
	case "origin":
		m.set(originKey{c.ino}, c.origin)
	case "snapshot":
		m.copyView(c.from, c.l)
		m.set(viewKey{c.l}, false)
	case "fork":
		m.copyView(c.from, c.l)
		m.set(viewKey{c.l}, true)
	case "rollback":
		m.copyView(c.l, LayerID(c.off))
		m.set(viewKey{LayerID(c.off)}, false)
		m.copyView(c.from, c.l)
	case "forget":
		m.clearView(c.l)
		m.del(viewKey{c.l})
	}
}

// read returns the oracle of what a store holds, read through its API alone.
// files are those that may have data.
func readOracle(s *Store, files []Ino) (*oracle, error) {
	m := newOracle()
	err := s.EachOrigin(func(ino Ino, o Origin) bool { m.set(originKey{ino}, o); return true })
	if err != nil {
		return nil, err
	}
	for _, layer := range s.Layers() {
		if layer.Name == "" {
			continue
		}
		id, l := layer.ID, viewOfName(layer.Name)
		m.set(viewKey{l}, layer.Live())
		err := s.EachInode(id, func(ino Ino, r Inode) bool {
			r.Below = 0
			m.set(inodeKey{l, ino}, r)
			return true
		})
		if err != nil {
			return nil, err
		}
		err = s.EachEntry(id, func(dir Ino, e DirEntry) bool {
			m.set(entryKey{l, dir, e.Cookie, e.Name}, e.Entry)
			return true
		})
		if err != nil {
			return nil, err
		}
		for _, ino := range files {
			rs, err := readRanges(s, id, ino)
			if err != nil {
				return nil, err
			}
			if len(rs) > 0 {
				m.setFile(inodeKey{l, ino}, rs)
			}
		}
	}
	return m, nil
}

func readRanges(s *Store, l LayerID, ino Ino) (rs ranges, err error) {
	err = s.DataRanges(l, ino, 0, 1<<40, func(off, n int64) bool {
		rs = append(rs, span{off, make([]byte, n)})
		return true
	})
	if err != nil {
		return nil, err
	}
	for _, r := range rs {
		err := s.ReadAt(l, ino, r.data, r.off, func(p []byte, off int64) error {
			return fmt.Errorf("inode %x: %d bytes at %d are no data, but DataRanges says so", uint64(ino), len(p), off)
		})
		if err != nil {
			return nil, err
		}
	}
	return rs.merge(), nil
}

// diff says where m differs from want, in a few words.
func (m *oracle) diff(want *oracle) string {
	var out []string
	for k, v := range want.recs {
		if m.recs[k] != v {
			out = append(out, fmt.Sprintf("%+v is %+v, want %+v", k, m.recs[k], v))
		}
	}
	for k, v := range m.recs {
		if _, ok := want.recs[k]; !ok {
			out = append(out, fmt.Sprintf("%+v is %+v, want nothing", k, v))
		}
	}
	keys := maps.Clone(m.files)
	maps.Copy(keys, want.files)
	for k := range keys {
		if sumFile(k, m.files[k]) != sumFile(k, want.files[k]) {
			out = append(out, fmt.Sprintf("data of %+v: %v, want %v", k, m.files[k], want.files[k]))
		}
	}
	slices.Sort(out)
	if len(out) > 6 {
		out = append(out[:6], fmt.Sprintf("and %d more", len(out)-6))
	}
	return fmt.Sprint(out)
}

func (rs ranges) String() string {
	s := ""
	for _, r := range rs {
		s += fmt.Sprintf("%d+%d(%x…%x) ", r.off, len(r.data), r.data[0], r.data[len(r.data)-1])
	}
	return s
}

// keys returns the keys of all records and files, in an order that is the same
// for the same history.
func (m *oracle) keys() []any {
	keys := slices.Collect(maps.Keys(m.recs))
	for k, rs := range m.files {
		if _, ok := m.recs[k]; !ok && len(rs) > 0 {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b any) int { return cmp.Compare(fmt.Sprintf("%T%v", a, a), fmt.Sprintf("%T%v", b, b)) })
	return keys
}

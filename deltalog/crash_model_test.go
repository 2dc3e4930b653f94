package deltalog

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
)

// oracle is what a store should hold: plain maps, no log, no index. Its digest
// is kept up to date by edits, so that the state after every batch of a
// history is known without a copy of it.
type oracle struct {
	recs  map[any]any         // by inodeKey, entryKey, originKey
	files map[inodeKey]ranges // data of the layer
	sum   uint64
}

type (
	inodeKey struct {
		l   LayerID
		ino Ino
	}
	originKey struct {
		l   LayerID
		ino Ino
	}
	entryKey struct {
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
	return fmt.Sprintf("%s %d/%x", c.kind, c.l, uint64(c.ino))
}

// put adds the edit to a batch.
func (c edit) put(b *Batch) {
	switch c.kind {
	case "inode":
		b.Inode(c.l, c.ino, &c.rec)
	case "entry":
		b.Entry(c.l, c.ino, c.cookie, c.name, c.entry)
	case "gone":
		b.EntryGone(c.l, c.ino, c.cookie, c.name)
	case "data":
		b.Data(c.l, c.ino, c.off, c.data)
	case "truncate":
		b.Truncate(c.l, c.ino, uint64(c.off))
	case "drop":
		b.Drop(c.l, c.ino)
	case "origin":
		b.Origin(c.l, c.ino, c.origin)
	}
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
		m.set(originKey(k), c.origin)
	}
}

// read returns the oracle of what a store holds, read through its API alone.
// files are those that may have data.
func readOracle(s *Store, layers []LayerID, files []Ino) (*oracle, error) {
	m := newOracle()
	for _, l := range layers {
		err := s.EachInode(l, func(ino Ino, r Inode) bool { m.set(inodeKey{l, ino}, r); return true })
		if err != nil {
			return nil, err
		}
		err = s.EachEntry(l, func(dir Ino, e DirEntry) bool {
			m.set(entryKey{l, dir, e.Cookie, e.Name}, e.Entry)
			return true
		})
		if err != nil {
			return nil, err
		}
		err = s.EachOrigin(l, func(ino Ino, o Origin) bool { m.set(originKey{l, ino}, o); return true })
		if err != nil {
			return nil, err
		}
		for _, ino := range files {
			rs, err := readRanges(s, l, ino)
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

package deltalog

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
)

// Salvaged is what Salvage could save, and what it could not.
type Salvaged struct {
	Layers  int    `json:"layers"`
	Inodes  int    `json:"inodes"`
	Entries int    `json:"entries"`
	Bytes   int64  `json:"bytes"` // of file data
	Lost    []Loss `json:"lost"`  // sorted by layer and inode; nothing if all was saved
}

// Loss is a range of a file that could not be read: in the new store it is zeros.
type Loss struct {
	InodeRef
	Path   string `json:"path,omitempty"` // in the export, as far as it is known
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
	Err    string `json:"error"`
}

// Salvage makes a new store in dir, which must be missing or empty, of all that can
// be read of the store in from: it may be damaged and must not be in use; nothing of it is
// changed. The new store has the id and the key of the old one, so handles and
// inode numbers stay what they were, and all layers. Records come from the index, which
// knows them even where the log has lost them, or, without one, from what is valid of
// the log. When Salvage returns, the new store is durable; if it fails,
// what there is of it is removed.
func Salvage(from, dir string) (Salvaged, error) {
	s, err := Open(from, Options{ReadOnly: true})
	if err != nil {
		return Salvaged{}, err
	}
	r, err := s.salvage(dir, Options{})
	if err = errors.Join(err, s.Close()); err != nil {
		return r, storeError("salvage", from, err)
	}
	return r, nil
}

// salvage copies s, which is open read-only, to a new store.
func (s *Store) salvage(dir string, o Options) (Salvaged, error) {
	if _, _, ok := s.x.position(); !ok {
		// Without an index, as much as the log has: behind what is damaged too.
		c := checker{s: s}
		if err := c.log(); err != nil {
			return Salvaged{}, err
		}
		s.x = c.rebuilt
	}
	o.like, o.Labels, o.SegmentSize = s.sb, s.sb.labels, s.sb.segment
	to, err := Create(dir, o)
	if err != nil {
		return Salvaged{}, err
	}
	v := salvager{from: s, to: to, Salvaged: Salvaged{Lost: []Loss{}}}
	err = v.run()
	if err == nil {
		err = to.Sync(to.LastLSN())
	}
	err = errors.Join(err, to.Close())
	if err != nil && o.FS == nil { // nobody shall take it for all that there was
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return v.Salvaged, err
}

type salvager struct {
	Salvaged
	from, to *Store
}

func (v *salvager) run() error {
	b := &Batch{inner: true}
	for _, l := range v.from.Layers() {
		l.highest = v.from.x.tree.Load().highest
		b.Layer(l)
		v.Layers++
	}
	if v.Layers == 0 {
		return fmt.Errorf("%w: it has no layer that can be read", ErrDamaged)
	}
	if err := v.append(b); err != nil {
		return err
	}
	v.to.ino.Store(max(v.to.ino.Load(), v.from.ino.Load()))
	err := v.from.EachOrigin(func(ino Ino, o Origin) bool { b.Origin(ino, o); return v.flush(b) })
	if err = errors.Join(err, b.err, v.append(b)); err != nil {
		return err
	}
	for _, l := range append([]Layer{{ID: noLayer}}, v.from.Layers()...) {
		if err := v.layer(l.ID); err != nil {
			return err
		}
	}
	return v.name()
}

// layer copies what one layer says by itself.
func (v *salvager) layer(l LayerID) error {
	b := &Batch{inner: true}
	lo := keyOfLayer(l)
	var bad error
	err := eachRecord(v.from.x, tableEntry, lo, prefixEnd(lo), decodeEntryPair, func(k []byte, e Entry) bool {
		b.Entry(l, keyIno(k), keyTail(k), keyName(k), e)
		v.Entries++
		return v.flush(b)
	})
	if err = errors.Join(err, b.err, v.append(b)); err != nil {
		return err
	}
	err = eachRecord(v.from.x, tableInode, lo, prefixEnd(lo), decodeInodePair, func(k []byte, r Inode) bool {
		b := &Batch{inner: true}
		b.Inode(l, keyIno(k), &r)
		v.Inodes++
		if bad = v.append(b); bad == nil {
			bad = v.data(l, keyIno(k))
		}
		return bad == nil
	})
	return errors.Join(err, bad)
}

// flush appends b when it is large, and tells whether to go on.
func (v *salvager) flush(b *Batch) bool {
	if b.space() < int(v.to.segs.size/8) {
		return true
	}
	if err := v.append(b); err != nil {
		b.err = err
		return false
	}
	return true
}

func (v *salvager) append(b *Batch) error {
	if b.empty() {
		return nil
	}
	_, err := v.to.Append(b)
	if err == nil {
		b.Reset()
		b.inner = true
	}
	return err
}

// data copies the data of a file, extent by extent; of one that is damaged the
// blocks that are not.
func (v *salvager) data(l LayerID, ino Ino) error {
	var es []extent
	err := v.from.x.extents(l, ino, 0, math.MaxInt64, func(e extent) bool {
		es = append(es, e)
		return true
	})
	if err != nil {
		return err
	}
	most := int(min(MaxData, v.to.segs.size/4))
	for _, e := range es {
		for off := e.off; off < e.end(); off += uint64(most) {
			part, _ := e.clip(off, off+uint64(most))
			if err := v.piece(l, ino, part, most); err != nil {
				return err
			}
		}
	}
	return nil
}

// piece copies a part of an extent. If it cannot be read, smaller parts are tried.
func (v *salvager) piece(l LayerID, ino Ino, e extent, most int) error {
	p := make([]byte, e.length)
	r := &reader{extents: []extent{e}, layers: []LayerID{l}}
	err := v.from.readExtents(r, frame{ino: ino}, p, int64(e.off), nil)
	if err != nil && most > blockSize {
		for off := e.off; off < e.end(); {
			end := min(off&^(blockSize-1)+blockSize, e.end())
			part, _ := e.clip(off, end)
			if err := v.piece(l, ino, part, blockSize); err != nil {
				return err
			}
			off = end
		}
		return nil
	}
	if err != nil {
		clear(p)
		v.Lost = append(v.Lost, Loss{InodeRef: InodeRef{l, ino}, Offset: int64(e.off), Length: int64(e.length), Err: err.Error()})
	} else {
		v.Bytes += int64(len(p))
	}
	b := &Batch{inner: true}
	b.Data(l, ino, int64(e.off), p)
	return v.append(b)
}

// name joins losses that touch each other, and finds the paths of their files.
func (v *salvager) name() error {
	slices.SortStableFunc(v.Lost, func(a, b Loss) int {
		switch ka, kb := (sealKey{a.Layer, a.Ino}), (sealKey{b.Layer, b.Ino}); {
		case ka.less(kb):
			return -1
		case kb.less(ka):
			return 1
		}
		return int(min(max(a.Offset-b.Offset, -1), 1))
	})
	joined := v.Lost[:0]
	for _, l := range v.Lost {
		if n := len(joined); n > 0 && joined[n-1].InodeRef == l.InodeRef && joined[n-1].Offset+joined[n-1].Length == l.Offset {
			joined[n-1].Length += l.Length
			continue
		}
		joined = append(joined, l)
	}
	v.Lost = joined
	paths := map[LayerID]*pathFinder{}
	for i := range v.Lost {
		l := &v.Lost[i]
		if paths[l.Layer] == nil {
			f, err := newPathFinder(v.from, l.Layer)
			if err != nil {
				return err
			}
			paths[l.Layer] = f
		}
		l.Path = paths[l.Layer].path(l.Ino)
	}
	return nil
}

// pathFinder knows one name of each object of a layer that has an entry.
type pathFinder struct {
	s     *Store
	names map[Ino]Origin // directory and name
}

func newPathFinder(s *Store, l LayerID) (*pathFinder, error) {
	f := &pathFinder{s: s, names: map[Ino]Origin{}}
	err := s.EachEntry(l, func(dir Ino, e DirEntry) bool {
		if !e.Whiteout {
			f.names[e.Ino] = Origin{Parent: dir, Name: e.Name}
		}
		return true
	})
	return f, err
}

// path returns a path of an object, empty if it has none that is known. The root is
// inode 1.
func (f *pathFinder) path(ino Ino) string {
	p := ""
	for depth := 0; ino != 1; depth++ {
		at, ok := f.names[ino]
		if !ok {
			at, ok, _ = f.s.Origin(ino)
		}
		if !ok || depth > 10_000 {
			return ""
		}
		if p == "" {
			p = at.Name
		} else {
			p = at.Name + "/" + p
		}
		ino = at.Parent
	}
	return p
}

package deltalog

import (
	"bytes"
	"fmt"
	"math"
	"slices"
)

// layerTree is what the layer table says, made ready for looking up. It is
// never changed, only replaced: by apply, when a LAYER or LAYERGONE comes.
type layerTree struct {
	layers  map[LayerID]*layerNode
	highest LayerID // that there ever was
}

type layerNode struct {
	Layer
	chain    []LayerID // the layer and those below it, topmost first
	children int
}

// loadLayers reads the layer table.
func (x *index) loadLayers() error {
	ls, err := x.layers()
	if err != nil {
		return err
	}
	t := &layerTree{layers: make(map[LayerID]*layerNode, len(ls))}
	for _, l := range ls { // by id: what is below comes first
		n := &layerNode{Layer: l, chain: []LayerID{l.ID}}
		if p := t.layers[l.Parent]; p != nil {
			n.chain = append(n.chain, p.chain...)
			p.children++
		} else if l.Parent != 0 {
			// Replay may see a layer before its parent, or after it has gone: for a moment.
			n.chain = append(n.chain, l.Parent)
		}
		t.layers[l.ID] = n
		t.highest = max(t.highest, l.ID, l.highest)
	}
	x.tree.Store(t)
	return nil
}

// chain returns a layer and those below it, topmost first. A layer that there is
// not is one by itself.
func (x *index) chain(l LayerID) []LayerID {
	if n := x.tree.Load().layers[l]; n != nil {
		if plantBottomFirst {
			c := slices.Clone(n.chain)
			slices.Reverse(c)
			return c
		}
		return n.chain
	}
	return []LayerID{l}
}

// sorted returns all layers, by id.
func (t *layerTree) sorted() []*layerNode {
	ns := make([]*layerNode, 0, len(t.layers))
	for _, n := range t.layers {
		ns = append(ns, n)
	}
	slices.SortFunc(ns, func(a, b *layerNode) int { return int(a.ID) - int(b.ID) })
	return ns
}

// next returns an id that was never given out, for a layer over parent (0: none).
func (t *layerTree) next(parent LayerID) LayerID {
	id := t.highest + 1
	if plantReuseLayer {
		id = 0
		for other := range t.layers {
			id = max(id, other)
		}
		id++
	}
	if id.stacked() != (parent != 0) {
		id++
	}
	return id
}

// over calls fn for the pairs of a chain of layers in the order of their keys
// behind the layer, in [from, to) of those, until fn returns false; a nil to is the
// end. Of pairs with the same key the topmost is seen. What a pair says is not looked at: it may
// say that there is nothing.
//
// A page is read of each layer, from the top down: what is moved down meanwhile,
// when layers are folded, is seen in one of them.
func (x *index) over(t table, chain []LayerID, from, to []byte, fn func(pair) bool) error {
	key := func(l LayerID, tail []byte) []byte { return append(keyOfLayer(l), tail...) }
	end := func(l LayerID) []byte {
		if to == nil {
			return prefixEnd(keyOfLayer(l))
		}
		return key(l, to)
	}
	if len(chain) == 1 {
		return x.each(t, key(chain[0], from), end(chain[0]), fn)
	}
	for n := pageFirst; ; n = min(2*n, pageMost) {
		var ps []pair
		var next []byte
		for i, l := range chain {
			p, more, err := x.page(t, key(l, from), end(l), n)
			if err != nil {
				return err
			}
			if i == 0 {
				ps, next = p, more
			} else {
				ps, next = shadow(nil, ps, next, p, more, layerKeySize)
			}
		}
		for _, p := range ps {
			if !fn(p) {
				return nil
			}
		}
		if next == nil {
			return nil
		}
		from = bytes.Clone(next[layerKeySize:])
	}
}

// pieces calls fn for the extents that a chain of layers shows for a file in
// [off, off+n), ascending and clipped, each with the layer that holds it, until
// fn returns false; then it returns false too.
func (x *index) pieces(chain []LayerID, ino Ino, off, n int64, fn func(LayerID, extent) bool) (bool, error) {
	top, more := chain[0], true
	if len(chain) == 1 {
		err := x.extents(top, ino, off, n, func(e extent) bool {
			more = fn(top, e)
			return more
		})
		return more, err
	}
	if off < 0 || n <= 0 {
		return true, nil
	}
	shows := int64(math.MaxInt64) // of the layers below
	rec, ok, err := x.ownInode(top, ino)
	if err != nil {
		return false, err
	}
	if ok && !plantShowBelow {
		shows = int64(min(rec.Below, math.MaxInt64))
	}
	at, end := off, off+min(n, math.MaxInt64-off)
	below := func(to int64) error {
		to = min(to, shows)
		if at >= to {
			return nil
		}
		var err error
		more, err = x.pieces(chain[1:], ino, at, to-at, fn)
		return err
	}
	var bad error
	err = x.extents(top, ino, off, n, func(e extent) bool {
		if bad = below(int64(e.off)); bad != nil || !more {
			return false
		}
		at = int64(e.end())
		more = fn(top, e)
		return more
	})
	if err == nil {
		err = bad
	}
	if err == nil && more {
		err = below(end)
	}
	return more, err
}

// ownInode returns what a layer says of an inode, whatever those below say. It
// may say that there is none: inodeGone.
func (x *index) ownInode(l LayerID, ino Ino) (Inode, bool, error) {
	v, _, err := x.lookup(tableInode, keyOfIno(l, ino))
	if err != nil || v == nil {
		return Inode{}, false, err
	}
	rec, err := decodeInode(valueRecord(v))
	rec, err = decoded(tableInode, rec, err)
	return rec, err == nil, err
}

// sweeper is how far a sweep has got: what it has deleted is not looked at again.
type sweeper struct {
	table table
	from  []byte // key where it goes on; nil: the end of the table
	done  bool
}

func newSweeper() *sweeper { return &sweeper{from: []byte{}} }

// sweep deletes pairs of layers that there are no more, and looks at most pairs
// to find them. It must not run while apply does.
func (x *index) sweep(w *sweeper, most int) error {
	known := x.tree.Load().layers
	for most > 0 {
		if w.from == nil || w.table == tableLayer || w.table == tableOrigin {
			if w.table++; w.table == tables {
				w.done = true
				return nil
			}
			w.from = []byte{}
			continue
		}
		ps, next, err := x.page(w.table, w.from, nil, min(pageMost, most))
		if err != nil {
			return err
		}
		most -= max(len(ps), 1)
		w.from = next
		for _, p := range ps {
			if l := keyLayer(p.key); l == noLayer || known[l] != nil { // on to the next layer
				w.from = prefixEnd(p.key[:layerKeySize])
				break
			}
			x.mu.Lock()
			x.setLocked(w.table, item{key: p.key, lsn: p.lsn}, p.val)
			x.mu.Unlock()
		}
	}
	return nil
}

// sweepAll is a whole sweep.
func (x *index) sweepAll() error { return x.sweep(newSweeper(), math.MaxInt) }

// checkLayers says whether changes may go to the layers of a batch.
func (x *index) checkLayers(b *Batch) error {
	known := x.tree.Load().layers
	var last LayerID
	for i := range b.starts {
		h := b.at(i)
		l := frameLayerOf(h)
		if l == last || l == noLayer || !frameType(h[0]).record() {
			continue
		}
		switch n := known[l]; {
		case n == nil:
			return fmt.Errorf("%w: %d", ErrNoLayer, l)
		case !n.Live() && !plantThawed:
			return fmt.Errorf("%w: %d, %q", ErrFrozen, l, n.Name)
		}
		last = l
	}
	return nil
}

package deltalog

import (
	"errors"
	"fmt"
	"slices"
)

// MaxDepth is how many layers may lie on top of each other: each costs a look
// into the index when something is looked up.
const MaxDepth = 64

// Layers returns all layers, by id. Those without a name are kept for the layers
// over them only.
func (s *Store) Layers() []Layer {
	var ls []Layer
	for _, n := range s.x.tree.Load().sorted() {
		ls = append(ls, n.Layer)
	}
	return ls
}

// LayerNamed returns the live line or the snapshot of that name.
func (s *Store) LayerNamed(name string) (Layer, bool) {
	for _, n := range s.x.tree.Load().layers {
		if n.Name == name && name != "" {
			return n.Layer, true
		}
	}
	return Layer{}, false
}

// Snapshot freezes a live layer under a name and goes on in a new layer over it,
// which takes the line's name and view and is returned. An empty name makes a
// layer that is kept only as long as something lies over it.
//
// It is one batch, whatever the layer holds; when Sync of its LSN returns, the
// snapshot survives the machine's death. Whoever writes to the line must have
// stopped: what he appends to the frozen layer fails with ErrFrozen. ErrExists:
// the name is taken.
func (s *Store) Snapshot(line LayerID, name string) (Layer, LSN, error) {
	return s.restack("snapshot", func(t *layerTree, b *Batch) (Layer, error) {
		l, err := t.line(line)
		if err != nil {
			return Layer{}, err
		}
		return t.freeze(b, l, name, 0, l.ID, s.o.now().UnixNano())
	})
}

// Fork begins another live line over a frozen layer. It is one batch, as
// Snapshot is.
func (s *Store) Fork(from LayerID, name string, view uint64) (Layer, LSN, error) {
	return s.restack("fork", func(t *layerTree, b *Batch) (Layer, error) {
		if name == "" {
			return Layer{}, errors.New("a line needs a name")
		}
		if err := errors.Join(t.frozen(from), t.free(name)); err != nil {
			return Layer{}, err
		}
		return t.stack(b, from, Layer{Name: name, View: view, Created: s.o.now().UnixNano()})
	})
}

// Rollback makes a line go on from a frozen layer, or, if to is 0, from nothing: what
// it was is kept as the automatic snapshot save. It is one batch, as Snapshot is, and
// returns the layer that the line goes on in.
func (s *Store) Rollback(line, to LayerID, save string) (Layer, LSN, error) {
	return s.restack("rollback", func(t *layerTree, b *Batch) (Layer, error) {
		if save == "" {
			return Layer{}, errors.New("what was has no name")
		}
		l, err := t.line(line)
		if to != noLayer {
			err = errors.Join(err, t.frozen(to))
		}
		if err != nil {
			return Layer{}, err
		}
		return t.freeze(b, l, save, LayerAuto, to, s.o.now().UnixNano())
	})
}

// Drop gives up a snapshot or a live line: its name is gone when this returns,
// and what only it held is gone for good. The space comes back with Settle, which
// a store that is not Manual does by itself. It is one batch, as Snapshot is.
// ErrLastLine: a store must have a live line.
func (s *Store) Drop(id LayerID) (LSN, error) {
	_, lsn, err := s.restack("drop", func(t *layerTree, b *Batch) (Layer, error) {
		l := t.layers[id]
		if l == nil {
			return Layer{}, fmt.Errorf("%w: %d", ErrNoLayer, id)
		}
		if l.Live() && t.lives() == 1 {
			return Layer{}, ErrLastLine
		}
		if l.children > 0 { // others need it
			b.unname(l.Layer)
			return Layer{}, nil
		}
		t.remove(b, id)
		return Layer{}, nil
	})
	return lsn, err
}

// Flatten gives up all snapshots that a line lies over, as Drop does, in one batch, and
// returns their names, the newest first: what is left of the line is one layer below the live one
// when Settle has done its work, and one more for each fork that began with one of them. Other
// snapshots stay, those that a rollback has kept among them.
func (s *Store) Flatten(line LayerID) (names []string, lsn LSN, err error) {
	_, lsn, err = s.restack("flatten", func(t *layerTree, b *Batch) (Layer, error) {
		l, err := t.line(line)
		if err != nil {
			return Layer{}, err
		}
		for _, id := range l.chain[1:] {
			if below := t.layers[id].Layer; below.Name != "" {
				names = append(names, below.Name)
				b.unname(below)
			}
		}
		return Layer{}, nil
	})
	return names, lsn, err
}

// unname keeps a frozen layer for those over it only.
func (b *Batch) unname(l Layer) {
	l.Name, l.Flags = "", l.Flags&^LayerAuto
	b.Layer(l)
}

// restack changes the tree of layers, one caller at a time.
func (s *Store) restack(op string, change func(t *layerTree, b *Batch) (Layer, error)) (Layer, LSN, error) {
	s.appending.Lock()
	defer s.appending.Unlock()
	b := &Batch{inner: true}
	l, err := change(s.x.tree.Load(), b)
	if err == nil {
		err = b.err
	}
	var lsn LSN
	if err == nil {
		lsn, err = s.appendLocked(b, 0)
	}
	if err != nil {
		return Layer{}, 0, s.fault(op, err)
	}
	s.work.appended(0)
	s.work.restacked()
	return l, lsn, nil
}

// line returns a layer that is live.
func (t *layerTree) line(id LayerID) (*layerNode, error) {
	switch l := t.layers[id]; {
	case l == nil:
		return nil, fmt.Errorf("%w: %d", ErrNoLayer, id)
	case !l.Live():
		return nil, fmt.Errorf("%w: %d, %q", ErrFrozen, id, l.Name)
	default:
		return l, nil
	}
}

// frozen fails unless a layer is there and frozen.
func (t *layerTree) frozen(id LayerID) error {
	switch l := t.layers[id]; {
	case l == nil:
		return fmt.Errorf("%w: %d", ErrNoLayer, id)
	case l.Live():
		return fmt.Errorf("layer %d, %q, is live", id, l.Name)
	}
	return nil
}

// free says whether a name can be given.
func (t *layerTree) free(name string) error {
	for _, n := range t.layers {
		if n.Name == name && name != "" {
			return fmt.Errorf("%w: %q", ErrExists, name)
		}
	}
	return nil
}

func (t *layerTree) lives() (n int) {
	for _, l := range t.layers {
		if l.Live() {
			n++
		}
	}
	return n
}

// freeze makes a live layer frozen under a name, and stacks a new one on parent
// that goes on with the line.
func (t *layerTree) freeze(b *Batch, l *layerNode, name string, flags uint32, parent LayerID, now int64) (Layer, error) {
	if err := t.free(name); err != nil {
		return Layer{}, err
	}
	line := Layer{Name: l.Name, View: l.View, Created: l.Created}
	was := l.Layer
	was.Name, was.Flags, was.Created = name, LayerFrozen|flags, now
	b.Layer(was)
	return t.stack(b, parent, line)
}

// stack makes a new layer over parent, which may be none.
func (t *layerTree) stack(b *Batch, parent LayerID, l Layer) (Layer, error) {
	if parent != noLayer && len(t.layers[parent].chain) >= MaxDepth {
		return Layer{}, ErrDepth
	}
	l.ID, l.Parent = t.next(parent), parent
	b.Layer(l)
	return l, nil
}

// remove takes a layer out of the tree. The lowest of the others keeps in mind
// that there was one of that number.
func (t *layerTree) remove(b *Batch, id LayerID) {
	b.layerGone(id)
	for _, n := range t.sorted() {
		if n.ID != id {
			rec := n.Layer
			rec.highest = t.highest
			b.Layer(rec)
			return
		}
	}
}

// Differing calls fn for each inode that one of two layers shows by records which the
// other does not see: of the inode, or of names in it. An inode can come more than
// once; ctime is that of a record, 0 for names. Layers that are folded meanwhile may be
// left out. fn must not call the store.
func (s *Store) Differing(a, b LayerID, fn func(ino Ino, ctime int64)) error {
	if err := s.Since(a, b, fn); err != nil {
		return err
	}
	return s.Since(b, a, fn)
}

// Since is the half of Differing: what layer a shows by records that b does not see.
func (s *Store) Since(a, b LayerID, fn func(ino Ino, ctime int64)) error {
	below := s.x.chain(b)
	for _, l := range s.x.chain(a) {
		if slices.Contains(below, l) {
			break // what is below is below both
		}
		from, to := keyOfLayer(l), prefixEnd(keyOfLayer(l))
		var bad error
		err := s.x.each(tableInode, from, to, func(p pair) bool {
			r, err := decodeInode(valueRecord(p.val))
			if bad = err; bad == nil {
				fn(keyIno(p.key), r.Ctime)
			}
			return bad == nil
		})
		if err == nil && bad == nil {
			err = s.x.each(tableEntry, from, to, func(p pair) bool {
				fn(keyIno(p.key), 0)
				return true
			})
		}
		if err = errors.Join(err, bad); err != nil {
			return s.fault("read", err)
		}
	}
	return nil
}

// RemoveEntry makes b take a name out of a directory: it hides what a layer
// below holds for it, and leaves nothing behind if none does.
func (s *Store) RemoveEntry(b *Batch, l LayerID, dir Ino, cookie uint64, name string) error {
	hide, err := s.x.entryBelow(l, dir, cookie, name)
	if err != nil {
		return s.fault("read", err)
	}
	b.removeEntry(hide, l, dir, cookie, name)
	return nil
}

func (b *Batch) removeEntry(hide bool, l LayerID, dir Ino, cookie uint64, name string) {
	if hide {
		b.Entry(l, dir, cookie, name, Entry{gone: true})
	} else {
		b.EntryGone(l, dir, cookie, name)
	}
}

func (x *index) entryBelow(l LayerID, dir Ino, cookie uint64, name string) (bool, error) {
	if plantHideNothing {
		return false, nil
	}
	for _, below := range x.chain(l)[1:] {
		if e, ok, err := x.ownEntry(below, dir, cookie, name); err != nil || ok {
			return ok && !e.gone, err
		}
	}
	return false, nil
}

// RemoveInode makes b remove the record and all data of an inode; its origin
// stays. It hides what the layers below hold, and leaves nothing behind if they
// hold nothing.
func (s *Store) RemoveInode(b *Batch, l LayerID, ino Ino) error {
	hide, err := s.x.inodeBelow(l, ino)
	if err != nil {
		return s.fault("read", err)
	}
	b.removeInode(hide, l, ino)
	return nil
}

func (b *Batch) removeInode(hide bool, l LayerID, ino Ino) {
	if hide {
		b.Inode(l, ino, &Inode{Flags: inodeGone})
		b.Truncate(l, ino, 0)
	} else {
		b.Drop(l, ino)
	}
}

func (x *index) inodeBelow(l LayerID, ino Ino) (bool, error) {
	for _, below := range x.chain(l)[1:] {
		if r, ok, err := x.ownInode(below, ino); err != nil || ok {
			return ok && r.Flags&inodeGone == 0, err
		}
	}
	return false, nil
}

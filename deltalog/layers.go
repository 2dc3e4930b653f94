package deltalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
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
		p := t.layers[from]
		switch {
		case p == nil:
			return Layer{}, fmt.Errorf("%w: %d", ErrNoLayer, from)
		case p.Live():
			return Layer{}, fmt.Errorf("layer %d, %q, is live", from, p.Name)
		case name == "":
			return Layer{}, errors.New("a line needs a name")
		}
		if err := t.free(name); err != nil {
			return Layer{}, err
		}
		return t.stack(b, from, Layer{Name: name, View: view, Created: s.o.now().UnixNano()})
	})
}

// Rollback makes a line go on from a frozen layer: what it was is kept as the
// automatic snapshot save. It is one batch, as Snapshot is, and returns the layer
// that the line goes on in.
func (s *Store) Rollback(line, to LayerID, save string) (Layer, LSN, error) {
	return s.restack("rollback", func(t *layerTree, b *Batch) (Layer, error) {
		l, err := t.line(line)
		if err != nil {
			return Layer{}, err
		}
		p := t.layers[to]
		switch {
		case p == nil:
			return Layer{}, fmt.Errorf("%w: %d", ErrNoLayer, to)
		case p.Live():
			return Layer{}, fmt.Errorf("layer %d, %q, is live", to, p.Name)
		case save == "":
			return Layer{}, errors.New("what was has no name")
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
			rec := l.Layer
			rec.Name, rec.Flags = "", rec.Flags&^LayerAuto
			b.Layer(rec)
			return Layer{}, nil
		}
		t.remove(b, id)
		return Layer{}, nil
	})
	return lsn, err
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
	s.work.appended()
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
	line := Layer{Name: l.Name, View: l.View, Created: now}
	was := l.Layer
	was.Name, was.Flags = name, LayerFrozen|flags
	b.Layer(was)
	return t.stack(b, parent, line)
}

// stack makes a new layer over parent.
func (t *layerTree) stack(b *Batch, parent LayerID, l Layer) (Layer, error) {
	if len(t.layers[parent].chain) >= MaxDepth {
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

// Settle does what dropped layers leave to do: what nobody can see any more is
// deleted, and a frozen layer that has no name and one frozen layer over it
// becomes one with that. It ends early, without an error, when ctx does. rest,
// which may be nil, is called now and then.
func (s *Store) Settle(ctx context.Context, rest func()) error {
	s.settling.Lock()
	defer s.settling.Unlock()
	if rest == nil {
		rest = func() {}
	}
	for ctx.Err() == nil {
		again, err := s.settleOnce(ctx, rest)
		if err != nil {
			return s.fault("settle", err)
		}
		if !again {
			return nil
		}
	}
	return nil
}

// sweepAtOnce is how many pairs are deleted while appends wait.
const sweepAtOnce = 256

// settleOnce does one thing, and tells whether there may be another.
func (s *Store) settleOnce(ctx context.Context, rest func()) (bool, error) {
	if err := s.usable(); err != nil {
		return false, err
	}
	s.appending.Lock()
	n, err := s.x.sweep(sweepAtOnce)
	s.appending.Unlock()
	if err != nil || n > 0 {
		rest()
		return true, err
	}
	for _, l := range s.x.tree.Load().sorted() {
		if l.Name != "" || l.Live() {
			continue
		}
		if l.children == 0 {
			_, err := s.Drop(l.ID)
			return true, err
		}
		if up := s.x.tree.Load().only(l); up != nil && !up.Live() {
			return true, s.fold(ctx, up.Layer, l.Layer, rest)
		}
	}
	return false, nil
}

// only returns the layer over l if there is just one.
func (t *layerTree) only(l *layerNode) *layerNode {
	if l.children != 1 {
		return nil
	}
	for _, n := range t.layers {
		if n.Parent == l.ID {
			return n
		}
	}
	return nil
}

// folder moves what layer b holds down into layer a, below it. Both are frozen and
// nobody asks for a by itself, so what can be seen is the same after each batch: b
// says of an inode or a name what it said, until a says so.
type folder struct {
	s    *Store
	b, a LayerID
	deep bool // a lies over another layer
	rest func()
	buf  []byte
}

// fold makes one layer of two. It takes as long as b is large. When it is cut
// short, the next goes on.
func (s *Store) fold(ctx context.Context, b, a Layer, rest func()) error {
	f := &folder{s: s, b: b.ID, a: a.ID, deep: a.Parent != 0, rest: rest}
	f.buf = make([]byte, min(MaxData/4, s.segs.size/4))
	for _, step := range []func() error{f.inodes, f.entries} {
		if err := step(); err != nil {
			return err
		}
	}
	_, _, err := s.restack("fold", func(t *layerTree, batch *Batch) (Layer, error) {
		b, a := t.layers[b.ID], t.layers[a.ID]
		if b == nil || a == nil {
			return Layer{}, ErrNoLayer
		}
		rec := a.Layer
		rec.Name, rec.Flags, rec.View, rec.Created = b.Name, b.Flags, b.View, b.Created
		rec.highest = t.highest
		batch.Layer(rec)
		for _, n := range t.sorted() {
			if n.Parent == b.ID {
				over := n.Layer
				over.Parent = a.ID
				batch.Layer(over)
			}
		}
		batch.layerGone(b.ID)
		return Layer{}, nil
	})
	return err
}

// each calls fn with a batch for each pair that b holds, and appends it.
func (f *folder) each(t table, fn func(p pair, b *Batch) error) error {
	var bad error
	lo := keyOfLayer(f.b)
	err := f.s.x.each(t, lo, prefixEnd(lo), func(p pair) bool {
		b := &Batch{inner: true}
		if bad = fn(p, b); bad == nil {
			bad = f.append(b)
		}
		return bad == nil
	})
	return errors.Join(err, bad)
}

func (f *folder) append(b *Batch) error {
	if b.empty() {
		return nil
	}
	_, err := f.s.Append(b)
	f.rest()
	return err
}

// entries moves entries and whiteouts, each in one batch.
func (f *folder) entries() error {
	return f.each(tableEntry, func(p pair, b *Batch) error {
		e, err := decodeEntryValue(valueRecord(p.val))
		if err != nil {
			return err
		}
		dir, cookie, name := keyIno(p.key), keyTail(p.key), keyName(p.key)
		if e.gone {
			hide, err := f.s.x.entryBelow(f.a, dir, cookie, name)
			if err != nil {
				return err
			}
			b.removeEntry(hide, f.a, dir, cookie, name)
		} else {
			b.Entry(f.a, dir, cookie, name, e)
		}
		b.EntryGone(f.b, dir, cookie, name)
		return nil
	})
}

// inodes moves inodes with their data: the record, then the data, and only then
// they are gone from b, for its data hides what a holds.
func (f *folder) inodes() error {
	x := f.s.x
	return f.each(tableInode, func(p pair, b *Batch) error {
		rec, err := decodeInode(valueRecord(p.val))
		if err != nil {
			return err
		}
		ino := keyIno(p.key)
		if rec.Flags&inodeGone != 0 {
			hide, err := x.inodeBelow(f.a, ino)
			if err != nil {
				return err
			}
			b.removeInode(hide, f.a, ino)
			b.Drop(f.b, ino)
			return nil
		}
		old, ok, err := x.ownInode(f.a, ino)
		if err != nil {
			return err
		}
		shows := rec.Below
		switch {
		case !f.deep:
			rec.Below = 0
		case ok:
			rec.Below = min(rec.Below, old.Below)
		}
		b.Inode(f.a, ino, &rec)
		if shows < math.MaxInt64 {
			b.Truncate(f.a, ino, shows)
		}
		if err := f.append(b); err != nil {
			return err
		}
		b.Reset()
		b.inner = true
		if err := f.data(ino); err != nil {
			return err
		}
		b.Drop(f.b, ino)
		return nil
	})
}

// data copies the data that b holds of a file.
func (f *folder) data(ino Ino) error {
	if plantFoldNoData {
		return nil
	}
	var bad error
	at, end := int64(0), int64(0) // a run of extents
	flush := func() bool {
		for at < end && bad == nil {
			n := min(end-at, int64(len(f.buf)))
			bad = f.copy(ino, at, n)
			at += n
		}
		return bad == nil
	}
	err := f.s.x.extents(f.b, ino, 0, math.MaxInt64, func(e extent) bool {
		if int64(e.off) != end && !flush() {
			return false
		}
		if int64(e.off) != end {
			at = int64(e.off)
		}
		end = int64(e.end())
		return true
	})
	if err == nil && bad == nil {
		flush()
	}
	return errors.Join(err, bad)
}

func (f *folder) copy(ino Ino, off, n int64) error {
	own := []LayerID{f.b}
	err := f.s.readOver(func() []LayerID { return own }, ino, f.buf[:n], off, func([]byte, int64) error {
		return fmt.Errorf("%w: inode %d has lost data at %d", ErrDamaged, ino, off)
	})
	if err != nil {
		return err
	}
	b := &Batch{inner: true}
	b.Data(f.a, ino, off, f.buf[:n])
	return f.append(b)
}

// layerUpkeep settles whenever layers have changed.
func (u *upkeep) layers(ctx context.Context, s *Store) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.stacked:
		}
		began := time.Now()
		err := s.Settle(ctx, func() { // as much rest as work
			select {
			case <-ctx.Done():
			case <-time.After(cmp.Or(min(time.Since(began), time.Second), time.Millisecond)):
			}
			began = time.Now()
		})
		if err != nil && !errors.Is(err, ErrNoSpace) && !slices.ContainsFunc([]error{ErrClosed, ErrPoisoned}, func(e error) bool { return errors.Is(err, e) }) {
			s.o.Log.Error("settling layers", "store", s.dir, "err", err)
		}
	}
}

package deltalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

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
	for more := true; more && ctx.Err() == nil; {
		err := s.sweep(ctx, rest)
		if err == nil && ctx.Err() == nil {
			more, err = s.settleOne(ctx, rest)
		}
		if err != nil {
			return s.fault("settle", err)
		}
	}
	return nil
}

// sweepAtOnce is how many pairs are looked at while appends wait.
const sweepAtOnce = 256

// sweep deletes what the index has of layers that are no more.
func (s *Store) sweep(ctx context.Context, rest func()) error {
	for w := newSweeper(); !w.done && ctx.Err() == nil; {
		if err := s.usable(); err != nil {
			return err
		}
		s.appending.Lock()
		err := s.x.sweep(w, sweepAtOnce)
		s.appending.Unlock()
		if err != nil {
			return err
		}
		if !w.done {
			rest()
		}
	}
	return nil
}

// settleOne drops one layer that nobody needs or makes one of two, and tells
// whether there was one.
func (s *Store) settleOne(ctx context.Context, rest func()) (bool, error) {
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

// settleAgain is when what found no room is tried again.
const settleAgain = 30 * time.Second

// layers settles whenever layers have changed.
func (u *upkeep) layers(ctx context.Context, s *Store) {
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.stacked:
		case <-again:
		}
		began := time.Now()
		err := s.Settle(ctx, func() { // as much rest as work
			select {
			case <-ctx.Done():
			case <-time.After(cmp.Or(min(time.Since(began), time.Second), time.Millisecond)):
			}
			began = time.Now()
		})
		again = nil
		switch {
		case errors.Is(err, ErrNoSpace), errors.Is(err, ErrBusy):
			again = time.After(settleAgain)
		case err != nil:
			s.o.Log.Error("settling layers", "store", s.dir, "err", err)
			return
		}
	}
}

package deltalog

// What a caller needs who moves changes of frozen layers to where they belong for good: into
// the base. He takes records out of the frozen layers, says in the live one what
// must be said of them there, and notes what he is at, each in one batch.

// Thaw lets the batch change frozen layers too.
func (b *Batch) Thaw() { b.inner = true }

// Note keeps text, at most MaxTarget bytes, under a number; DropNote forgets it.
// Notes belong to no layer.
func (b *Batch) Note(key Ino, text string) { b.Inode(noLayer, key, &Inode{Target: text}) }

// DropNote forgets a note.
func (b *Batch) DropNote(key Ino) { b.Drop(noLayer, key) }

// EachNote calls fn for each note, in order of keys, until it returns false. fn must not
// call the store.
func (s *Store) EachNote(fn func(key Ino, text string) bool) error {
	return s.EachInode(noLayer, func(key Ino, r Inode) bool { return fn(key, r.Target) })
}

// Chain returns a layer and those below it, topmost first.
func (s *Store) Chain(l LayerID) []LayerID { return s.x.chain(l) }

// Own is what one layer says of an inode or a name, whatever those below it say.
type Own int

const (
	OwnNothing Own = iota
	OwnRecord
	OwnGone // it hides what layers below say, and says that there is nothing
)

// OwnInode returns the record that a layer has itself.
func (s *Store) OwnInode(l LayerID, ino Ino) (Inode, Own, error) {
	r, ok, err := s.x.ownInode(l, ino)
	switch {
	case err != nil:
		return Inode{}, 0, s.fault("read", err)
	case !ok:
		return Inode{}, OwnNothing, nil
	case r.Flags&inodeGone != 0:
		return Inode{}, OwnGone, nil
	}
	return r, OwnRecord, nil
}

// OwnEntry returns the entry that a layer has itself.
func (s *Store) OwnEntry(l LayerID, dir Ino, cookie uint64, name string) (Entry, Own, error) {
	e, ok, err := s.x.ownEntry(l, dir, cookie, name)
	switch {
	case err != nil:
		return Entry{}, 0, s.fault("read", err)
	case !ok:
		return Entry{}, OwnNothing, nil
	case e.gone:
		return Entry{}, OwnGone, nil
	}
	return e, OwnRecord, nil
}

// HoldSettling keeps layers as they lie on each other until release is called: no frozen
// layer becomes one with another.
func (s *Store) HoldSettling() (release func()) {
	s.settling.Lock()
	return s.settling.Unlock
}

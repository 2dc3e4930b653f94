package billyfs

import (
	"slices"

	"deltafs/deltalog"
)

// pinShare is the part of the store's limit that pins may take; pinCost what one takes beside its
// name, which it holds twice: an entry and an origin, with their frames' headers, and a part of a COMMIT.
const (
	pinShare = 8
	pinCost  = 240
)

// trimPins gives up pins when they take more than their share: those of files that were made
// first, and of which the delta says nothing. Such a file gets another number, and a handle that was
// given out for it is stale. Directories keep theirs: what is in them hangs on it.
func (t *Tree) trimPins() error {
	u, err := t.store.Usage()
	if err != nil || u.Limit == 0 {
		return err
	}
	type pin struct {
		at  place
		ino Ino
	}
	var files []pin
	sum := uint64(0)
	names := map[Ino]int{}
	err = t.store.EachEntry(deltalog.BaseLayer, func(dir Ino, e deltalog.DirEntry) bool {
		sum += pinCost + 2*uint64(len(e.Name))
		names[e.Ino]++
		if e.Type != TypeDir && e.Ino&deltalog.Born != 0 {
			files = append(files, pin{place{dir, e.Name}, e.Ino})
		}
		return true
	})
	most := u.Limit / pinShare
	if err != nil || sum <= most {
		return err
	}
	slices.SortFunc(files, func(a, b pin) int { return int(int64(a.ino - b.ino)) }) // as they were made
	gone := 0
	for _, p := range files {
		if sum <= most-most/4 {
			break
		}
		if names[p.ino] > 1 { // its other names would be another file's
			continue
		}
		done, err := t.unpin(p.ino, p.at)
		if err != nil {
			return err
		}
		if done {
			sum -= pinCost + 2*uint64(len(p.at.name))
			gone++
		}
	}
	if gone > 0 {
		t.log.Warn("commits have fixed the numbers of more files than an eighth of the delta has room for: the first of them get others",
			"files", gone, "line", t.line)
	}
	return nil
}

// unpin gives up one pin, unless the delta has something to say of the object.
func (t *Tree) unpin(ino Ino, at place) (bool, error) {
	set := t.lock(ino, at.parent)
	defer set.unlock()
	for _, l := range t.store.Layers() {
		if _, ok, err := t.store.Inode(l.ID, ino); ok || err != nil {
			return false, err
		}
		if _, what, err := t.store.OwnEntry(l.ID, at.parent, t.base.cookie(at.name), at.name); what != deltalog.OwnNothing || err != nil {
			return false, err
		}
	}
	var b deltalog.Batch
	b.EntryGone(deltalog.BaseLayer, at.parent, t.base.cookie(at.name), at.name)
	b.OriginGone(ino)
	t.changes.begin()
	defer t.changes.end()
	t.shifts.Add(1)
	err := t.base.change(func() error { return t.logAppend(&b) }, func() {
		t.base.objs.delete(ino)
		t.base.changedLocked(at.parent)
	})
	if err != nil {
		return false, err
	}
	set.node(ino).state.Store(nil)
	t.dentries.drop(dentryKey{at.parent, at.name})
	return true, nil
}

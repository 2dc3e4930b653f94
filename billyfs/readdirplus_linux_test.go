package billyfs

import (
	"os"
	"testing"
)

// TestReadDirPlus: what a listing says of its entries is what is said when one asks for
// each, whatever has become of them: changed, moved, removed, of several names, committed;
// the first time and again.
func TestReadDirPlus(t *testing.T) {
	plain, stores := t.TempDir(), storesDir(t)
	populate(t, plain)
	for seed := range uint64(30) {
		base := freshDir(stores)
		copyTree(t, plain, base)
		r := openOver(t, base, freshDir(stores), smallSegment)
		compare := func(when string) {
			for _, again := range []string{"", ", again"} {
				eachObject(t, r.Tree, func(p string, ino Ino) {
					a, err := r.Attr(ino)
					must(t, err)
					if a.Mode&TypeMask == TypeDir {
						comparePlus(t, r.Tree, ino, when+again+", "+p)
					}
				})
				comparePlus(t, r.Tree, RootIno, when+again+", the root")
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		}
		compare("untouched")
		changeRandomly(t, r, seed, 12)
		compare("changed")
		r.reopen(false)
		compare("reopened")
		if _, err := r.Commit(CommitOptions{Base: writer(t, base)}); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		compare("committed")
		changeRandomly(t, r, seed+1000, 6)
		compare("changed after a commit")
		r.close()
		os.RemoveAll(base)
		os.RemoveAll(r.dir)
	}
}

func comparePlus(t *testing.T, tree *Tree, dir Ino, when string) {
	t.Helper()
	var names []string
	_, err := tree.ReadDirPlus(dir, 0, func(e DirEntry, p *Plus) bool {
		names = append(names, e.Name)
		a, aerr := tree.Attr(e.Ino)
		if p.HasAttr != (aerr == nil) || p.HasAttr && p.Attr != a {
			t.Errorf("%s, %s: attributes %+v, %v; asked for, %+v, %v", when, e.Name, p.Attr, p.HasAttr, a, aerr)
		}
		h, herr := tree.Handle(e.Ino)
		if p.HasHandle != (herr == nil) || p.HasHandle && p.Handle != h {
			t.Errorf("%s, %s: handle %+v, %v; asked for, %+v, %v", when, e.Name, p.Handle, p.HasHandle, h, herr)
		}
		return true
	})
	must(t, err)
	i := 0
	_, err = tree.ReadDir(dir, 0, func(e DirEntry) bool {
		if i >= len(names) || names[i] != e.Name {
			t.Errorf("%s: entry %d is %s", when, i, e.Name)
		}
		i++
		return true
	})
	must(t, err)
}

package billyfs

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// everything returns the number of each object below dir, by path.
func everything(t testing.TB, r *rig, dir Ino, path string, all map[string]Ino) map[string]Ino {
	t.Helper()
	for _, name := range r.names(dir) {
		a, err := r.Lookup(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		p := strings.TrimPrefix(path+"/"+name, "/")
		all[p] = a.Ino
		if a.Mode&TypeMask == TypeDir {
			everything(t, r, a.Ino, p, all)
		}
	}
	return all
}

// handlesOf returns the handles of all objects, by path.
func handlesOf(t testing.TB, r *rig) map[string]Handle {
	t.Helper()
	all := map[string]Handle{"": handleOf(t, r, r.Root())}
	for p, ino := range everything(t, r, r.Root(), "", map[string]Ino{}) {
		all[p] = handleOf(t, r, ino)
	}
	return all
}

func handleOf(t testing.TB, r *rig, ino Ino) Handle {
	t.Helper()
	h, err := r.Handle(ino)
	if err != nil {
		t.Fatalf("inode %d: %v", ino, err)
	}
	if h.Ino != ino || h.Depth > MaxAncestors {
		t.Fatalf("handle %+v of inode %d", h, ino)
	}
	return h
}

// wantHandle resolves a handle and checks that the object has the same one
// still, byte for byte.
func wantHandle(t testing.TB, r *rig, path string, h Handle) {
	t.Helper()
	ino, err := r.Resolve(h)
	if err != nil || ino != h.Ino {
		t.Fatalf("%s: %+v leads to %d, %v", path, h, ino, err)
	}
	if again := handleOf(t, r, ino); !reflect.DeepEqual(again, h) {
		t.Fatalf("%s: handle %+v has become %+v", path, h, again)
	}
	a, err := r.Attr(ino)
	if err != nil || a.Ino != h.Ino || a.Gen != h.Gen {
		t.Fatalf("%s: attributes %+v, %v of handle %+v", path, a, err, h)
	}
}

func newHandleRig(t testing.TB) (*rig, string) {
	t.Helper()
	base := t.TempDir()
	populate(t, base)
	return newRig(t, base, filepath.Join(t.TempDir(), "store")), base
}

// TestHandlesOutliveTheProcess resolves each handle alone, as the first thing
// that a new process does.
func TestHandlesOutliveTheProcess(t *testing.T) {
	r, base := newHandleRig(t)
	for i := range 600 { // more than there are low bytes
		must(t, os.MkdirAll(filepath.Join(base, fmt.Sprintf("wide/%d/x%d", i, i%3)), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(base, "wide/599/x2/file"), []byte("found"), 0o644))
	r.open()
	before := r.store.LastLSN()
	all := handlesOf(t, r)
	// Only the file with several names has been logged.
	if lsn := r.store.LastLSN(); lsn > before+1 {
		t.Errorf("reading appended %d batches", lsn-before)
	}
	for _, p := range []string{"", "f", "l", "d", "d/sub/deep/f", "d/fifo", "e/f", "d/hard", "many/n07", "wide/599/x2/file", "wide/13"} {
		h, ok := all[p]
		if !ok {
			t.Fatalf("no %s in the base", p)
		}
		r.reopen(len(p)%2 == 0)
		wantHandle(t, r, p, h)
	}
	for p, h := range all {
		wantHandle(t, r, p, h)
	}
}

// TestHandleIsOfTheObject: whatever happens to an object, its handle stays.
func TestHandleIsOfTheObject(t *testing.T) {
	r, _ := newHandleRig(t)
	all := handlesOf(t, r)
	if !reflect.DeepEqual(all["f"], all["d/hard"]) || !reflect.DeepEqual(all["f"], all["e/f"]) {
		t.Fatal("the handle depends on the name")
	}
	check := func(when string) {
		t.Helper()
		for p, h := range all {
			wantHandle(t, r, when+": "+p, h)
		}
	}
	change := func(_ Change, err error) {
		t.Helper()
		must(t, err)
	}
	change(r.WriteAt(root, all["d/f"].Ino, []byte("x"), 5))
	change(r.WriteAt(root, all["f"].Ino, []byte("x"), 0))
	check("written")
	_, _, err := r.Rename(root, r.Root(), "d", all["e"].Ino, "moved")
	must(t, err)
	_, _, err = r.Rename(root, all["d/sub"].Ino, "g", r.Root(), "g2")
	must(t, err)
	check("renamed")
	_, _, err = r.Link(root, all["d/sub/g"].Ino, r.Root(), "g3")
	must(t, err)
	change(r.Remove(root, r.Root(), "f"))
	check("linked, a name removed")
	made, _, err := r.Create(root, r.Root(), "made", CreateHow{Mode: Guarded})
	must(t, err)
	all["made"] = handleOf(t, r, made.Ino)
	for _, clean := range []bool{false, true} {
		r.reopen(clean)
		check(fmt.Sprintf("new process, clean %v", clean))
	}
}

func TestHandlesOfWhatIsGoneAreStale(t *testing.T) {
	r, _ := newHandleRig(t)
	all := handlesOf(t, r)
	made, _, err := r.Mkdir(root, r.Root(), "made", SetAttr{})
	must(t, err)
	all["made"] = handleOf(t, r, made.Ino)
	for _, name := range []string{"g", "l"} {
		_, err := r.Remove(root, r.Root(), name)
		must(t, err)
	}
	_, err = r.Rmdir(root, r.Root(), "made")
	must(t, err)
	for range 2 {
		for _, p := range []string{"g", "l", "made"} {
			_, err := r.Resolve(all[p])
			wantKind(t, err, Stale)
			_, err = r.Handle(all[p].Ino)
			wantKind(t, err, Stale)
		}
		r.reopen(true)
	}
}

// TestHandlesOfAChangedBase: objects that the base has lost or replaced.
func TestHandlesOfAChangedBase(t *testing.T) {
	r, base := newHandleRig(t)
	all := handlesOf(t, r)
	_, err := r.WriteAt(root, all["d/f"].Ino, []byte("x"), 0)
	must(t, err)
	for _, name := range []string{"d/f", "d/sub/g", "e/h"} {
		must(t, os.Remove(filepath.Join(base, name)))
	}
	must(t, os.Mkdir(filepath.Join(base, "e/h"), 0o755))
	r.reopen(true)
	for _, p := range []string{"d/sub/g", "e/h"} {
		_, err := r.Resolve(all[p])
		wantKind(t, err, Stale)
	}
	// What was changed is ours to show, if not to read.
	if ino, err := r.Resolve(all["d/f"]); err != nil || ino != all["d/f"].Ino {
		t.Errorf("a changed file is lost with its base: %v", err)
	}
}

// TestDeepHandles goes far deeper than a handle has bytes for.
func TestDeepHandles(t *testing.T) {
	base := t.TempDir()
	deep := strings.Repeat("d/", MaxAncestors-2)
	for range 6 {
		must(t, os.MkdirAll(filepath.Join(base, deep), 0o755))
		must(t, os.WriteFile(filepath.Join(base, deep, "file"), []byte(deep), 0o644))
		deep += "d/"
	}
	r := newRig(t, base, filepath.Join(t.TempDir(), "store"))
	all := handlesOf(t, r)
	for p, h := range all {
		if depth := strings.Count(p, "/"); strings.HasSuffix(p, "file") || depth >= MaxAncestors-1 {
			r.reopen(false)
		}
		wantHandle(t, r, p, h)
		if strings.HasSuffix(p, "file") {
			if s := r.content(h.Ino); s != strings.TrimSuffix(p, "file") {
				t.Fatalf("%s: content %q", p, s)
			}
		}
	}
}

// FuzzResolve: no handle makes Resolve panic, and none reaches an object that
// it is not the handle of.
func FuzzResolve(f *testing.F) {
	r, _ := newHandleRig(f)
	_, _, err := r.Create(root, r.Root(), "made", CreateHow{})
	if err != nil {
		f.Fatal(err)
	}
	for _, h := range handlesOf(f, r) {
		f.Add(uint64(h.Ino), h.Gen, uint64(h.Parent), h.Ancestors[:h.Depth])
		f.Add(uint64(h.Ino), h.Gen+1, uint64(h.Parent), h.Ancestors[:h.Depth])
		f.Add(uint64(h.Ino)+1, h.Gen, uint64(h.Parent), h.Ancestors[:h.Depth])
		f.Add(uint64(h.Parent), h.Gen, uint64(h.Ino), append(h.Ancestors[:h.Depth:h.Depth], byte(h.Ino)))
	}
	f.Add(uint64(0), uint32(0), uint64(0), []byte(nil))
	f.Add(uint64(1), uint32(1), uint64(1), binary.LittleEndian.AppendUint64(nil, 1))
	f.Add(^uint64(0), ^uint32(0), ^uint64(0), make([]byte, 100))
	f.Fuzz(func(t *testing.T, ino uint64, gen uint32, parent uint64, ancestors []byte) {
		// A process that knows nothing yet has to search.
		fresh := &rig{t: t, fs: r.fs, opts: r.opts, store: r.store}
		fresh.open()
		defer fresh.base.close()
		h := Handle{Ino: Ino(ino), Gen: gen, Parent: Ino(parent), Depth: uint8(len(ancestors))}
		copy(h.Ancestors[:], ancestors)
		got, err := fresh.Resolve(h)
		if err != nil {
			wantKind(t, err, Stale)
			return
		}
		if a, err := fresh.Attr(got); got != h.Ino || err != nil || a.Gen != gen {
			t.Errorf("%+v reached inode %d, %+v, %v", h, got, a, err)
		}
	})
}

package billyfs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"deltafs/deltalog"
)

// openLine opens another line of the rig's store.
func (r *rig) openLine(line string) *Tree {
	r.t.Helper()
	t, err := Open(r.fs, r.store, Options{Immutable: true, Line: line})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { t.Close() })
	return t
}

// TestForksAreApart: what is done in one line shows in no other, nor in the
// snapshot that both come from.
func TestForksAreApart(t *testing.T) {
	r := newRig(t, newBase(t), filepath.Join(t.TempDir(), "s"))
	defer r.close()
	df, f := r.path("d/f"), r.path("f")
	write := func(tr *Tree, ino Ino, s string) {
		t.Helper()
		if _, err := tr.WriteAt(root, ino, []byte(s), 0); err != nil {
			t.Fatal(err)
		}
	}
	write(r.Tree, df.Ino, "before")
	if err := r.Snapshot("kept"); err != nil {
		t.Fatal(err)
	}
	if err := r.Fork("fork", "kept"); err != nil {
		t.Fatal(err)
	}
	fork := r.openLine("fork")
	if fork.View() == r.View() {
		t.Error("a fork has the view of main: handles of one would do for the other")
	}
	write(r.Tree, df.Ino, "main!!")
	write(fork, df.Ino, "fork!!")
	if _, err := fork.Remove(root, r.Root(), "f"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := fork.Mkdir(root, r.Root(), "only here", SetAttr{Mode: ptr(uint32(0o755))}); err != nil {
		t.Fatal(err)
	}
	if _, err := fork.SetAttr(root, df.Ino, SetAttr{Size: ptr(uint64(3))}); err != nil {
		t.Fatal(err)
	}
	if err := r.Fork("second", ""); err != nil { // of what main is now
		t.Fatal(err)
	}
	kept := func() *Tree {
		if err := r.Fork("of kept", "kept"); err != nil {
			t.Fatal(err)
		}
		return r.openLine("of kept")
	}()
	check := func(what string, tr *Tree, want string, hasF bool) {
		t.Helper()
		got, err := readAll(tr, df.Ino)
		if err != nil || !strings.HasPrefix(got, want) || what == "fork" && got != want {
			t.Errorf("%s has %.20q, want %q, %v", what, got, want, err)
		}
		if a, err := tr.Lookup(tr.Root(), "f"); hasF != (err == nil) || hasF && a.Ino != f.Ino {
			t.Errorf("%s: f is %d, %v", what, a.Ino, err)
		}
		if _, err := tr.Lookup(tr.Root(), "only here"); (err == nil) != (what == "fork") {
			t.Errorf("%s: the directory of the fork: %v", what, err)
		}
	}
	for range 2 {
		check("main", r.Tree, "main!!", true)
		check("fork", fork, "for", false)
		check("second", r.openLine("second"), "main!!", true)
		check("kept", kept, "before", true)
		if err := r.store.Settle(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Drop("fork"); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Settle(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := fork.WriteAt(root, df.Ino, []byte("late"), 0); err == nil {
		t.Error("a line that was dropped takes changes")
	}
	check("main", r.Tree, "main!!", true)
	if _, err := Open(r.fs, r.store, Options{Line: "fork"}); KindOf(err) == 0 {
		t.Error("a line that was dropped opens")
	}
}

// TestLineErrors: what cannot be is refused, and says so.
func TestLineErrors(t *testing.T) {
	r := newRig(t, newBase(t), filepath.Join(t.TempDir(), "s"))
	defer r.close()
	if err := r.Snapshot("kept"); err != nil {
		t.Fatal(err)
	}
	rollback := func(to string) error { _, err := r.Rollback(to); return err }
	for what, c := range map[string]struct {
		err  error
		want Kind
	}{
		"a name with a slash":   {r.Snapshot("a/b"), Invalid},
		"an empty name":         {r.Snapshot(""), Invalid},
		"a name like a flag":    {r.Snapshot("-x"), Invalid},
		"a name as in a mount":  {r.Fork("@x", "kept"), Invalid},
		"a name twice":          {r.Snapshot("kept"), Exist},
		"a fork named main":     {r.Fork("main", "kept"), Exist},
		"a fork of nothing":     {r.Fork("x", "nothing"), NotExist},
		"a fork of a line":      {r.Fork("x", "main"), Invalid},
		"going back to nothing": {rollback("nothing"), NotExist},
		"going back to a line":  {rollback("main"), Invalid},
		"dropping itself":       {r.Drop("main"), Invalid},
		"dropping nothing":      {r.Drop("nothing"), NotExist},
	} {
		var e *Error
		if !errors.As(c.err, &e) || e.Kind != c.want {
			t.Errorf("%s: %v, want %v", what, c.err, c.want)
		}
	}
}

// TestSnapshotsUnderLoad takes snapshots while others write: each is the tree as
// it was at one moment.
func TestSnapshotsUnderLoad(t *testing.T) {
	r := newRig(t, newBase(t), filepath.Join(t.TempDir(), "s"))
	defer r.close()
	files := []Ino{r.path("d/f").Ino, r.path("f").Ino}
	var stop sync.WaitGroup
	done, wrote := make(chan struct{}), make(chan struct{})
	stop.Go(func() {
		var p [8]byte
		for n := uint64(1); ; n++ { // to one file, then to the other
			select {
			case <-done:
				return
			default:
			}
			for _, ino := range files {
				binary.BigEndian.PutUint64(p[:], n)
				if _, err := r.WriteAt(root, ino, p[:], 0); err != nil {
					t.Error(err)
					return
				}
			}
			if n == 1 {
				close(wrote)
			}
		}
	})
	<-wrote
	stop.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			default:
			}
			a, _, err := r.Create(root, r.Root(), "temp", CreateHow{Mode: Unchecked, Attr: SetAttr{Mode: ptr(uint32(0o600))}})
			if err == nil {
				_, err = r.WriteAt(root, a.Ino, []byte("temp"), 0)
			}
			if err == nil {
				_, err = r.Remove(root, r.Root(), "temp")
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	const snaps = 30
	for i := range snaps {
		if err := r.Snapshot(fmt.Sprint("s", i)); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	stop.Wait()
	var last uint64
	for i := range snaps {
		if err := r.Fork(fmt.Sprint("f", i), fmt.Sprint("s", i)); err != nil {
			t.Fatal(err)
		}
		tr := r.openLine(fmt.Sprint("f", i))
		var n [2]uint64
		for k, ino := range files {
			var p [8]byte
			if _, _, err := tr.ReadAt(ino, p[:], 0); err != nil {
				t.Fatal(err)
			}
			if n[k] = binary.BigEndian.Uint64(p[:]); n[k] > 1<<40 { // not written yet
				n[k] = 0
			}
		}
		if n[0] != n[1] && n[0] != n[1]+1 || n[0] < last {
			t.Errorf("snapshot %d shows %d and %d, the one before it %d", i, n[0], n[1], last)
		}
		last = n[0]
		checkInvariants(t, tr)
	}
	if last == 0 {
		t.Error("no snapshot shows anything of what was written")
	}
	for i := range snaps {
		for _, name := range []string{"f", "s"} {
			if err := r.Drop(fmt.Sprint(name, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := r.store.Settle(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	checkInvariants(t, r.Tree)
	if n := len(r.store.Layers()); n > 2 {
		t.Errorf("%d layers are left: %v", n, r.store.Layers())
	}
}

// TestRollbackTouches: what a rollback changes has a later mtime and ctime than clients
// have seen, and so have the directories of names that come and go; what has not changed
// keeps its times. None of that is a change of the base.
func TestRollbackTouches(t *testing.T) {
	r := newRig(t, newBase(t), filepath.Join(t.TempDir(), "s"))
	defer r.close()
	f, df, d := r.path("f"), r.path("d/f"), r.path("d")
	if err := r.Snapshot("kept"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.WriteAt(root, f.Ino, []byte("other"), 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Create(root, d.Ino, "new", CreateHow{}); err != nil {
		t.Fatal(err)
	}
	was := map[string]Attr{"f": r.path("f"), "d": r.path("d")}
	if _, err := r.Rollback("kept"); err != nil {
		t.Fatal(err)
	}
	for name, old := range was {
		if now := r.path(name); now.Mtime <= old.Mtime || now.Ctime <= old.Ctime || now.Ino != old.Ino {
			t.Errorf("%s: mtime %d, ctime %d; clients have seen %d, %d", name, now.Mtime, now.Ctime, old.Mtime, old.Ctime)
		}
	}
	if now := r.path("d/f"); now != df {
		t.Errorf("what has not changed is %+v, was %+v", now, df)
	}
	if got, err := readAll(r.Tree, f.Ino); err != nil || strings.HasPrefix(got, "other") {
		t.Errorf("f is %.20q, %v", got, err)
	}
	none := func(what string) {
		t.Helper()
		err := r.Status(func(s StatusEntry) error { return fmt.Errorf("%c %s", s.Code, s.Path) })
		if err != nil {
			t.Errorf("%s: there is a change: %v", what, err)
		}
	}
	none("after a rollback")
	if err := r.Snapshot("again"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Rollback("again"); err != nil {
		t.Fatal(err)
	}
	none("after another one")
	// Whoever sets the time makes it a change.
	if _, err := r.SetAttr(root, f.Ino, SetAttr{Mtime: ptr(int64(12345))}); err != nil {
		t.Fatal(err)
	}
	var codes []string
	if err := r.Status(func(s StatusEntry) error { codes = append(codes, string(rune(s.Code))+" "+s.Path); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(codes) != 1 || codes[0] != "m f" {
		t.Errorf("after a change of the time: %q", codes)
	}
}

// TestAccept: a line becomes what its fork is, and keeps what it had; objects keep their
// numbers. A line that has changed meanwhile refuses, names what, and stays.
func TestAccept(t *testing.T) {
	r := newRig(t, newBase(t), filepath.Join(t.TempDir(), "s"))
	defer r.close()
	df := r.path("d/f")
	if _, err := r.WriteAt(root, df.Ino, []byte("before"), 0); err != nil {
		t.Fatal(err)
	}
	if err := r.Fork("fork", ""); err != nil {
		t.Fatal(err)
	}
	fork := r.openLine("fork")
	if _, err := fork.WriteAt(root, df.Ino, []byte("forked"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := fork.Remove(root, fork.Root(), "f"); err != nil {
		t.Fatal(err)
	}
	made, _, err := fork.Create(root, fork.Root(), "made", CreateHow{})
	if err != nil {
		t.Fatal(err)
	}
	// Another one, which comes too late.
	if err := r.Fork("late", ""); err != nil {
		t.Fatal(err)
	}
	late := r.openLine("late")
	if _, err := late.WriteAt(root, df.Ino, []byte("too late"), 0); err != nil {
		t.Fatal(err)
	}
	if err := r.Accept(fork); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		if got, err := readAll(r.Tree, df.Ino); err != nil || !strings.HasPrefix(got, "forked") {
			t.Errorf("d/f is %.20q, %v", got, err)
		}
		if _, err := r.Lookup(r.Root(), "f"); KindOf(err) != NotExist {
			t.Errorf("f: %v", err)
		}
		if a, err := r.Lookup(r.Root(), "made"); err != nil || a.Ino != made.Ino {
			t.Errorf("made: %+v, %v", a, err)
		}
		if now := r.path("d/f"); now.Ino != df.Ino {
			t.Errorf("d/f has number %d, had %d", now.Ino, df.Ino)
		}
	}
	check()
	err = r.Accept(late)
	if KindOf(err) != Exist || !strings.Contains(err.Error(), "d/f") || !strings.Contains(err.Error(), "made") {
		t.Errorf("a fork that comes too late: %v", err)
	}
	check()
	if got, err := readAll(late, df.Ino); err != nil || !strings.HasPrefix(got, "too late") {
		t.Errorf("the fork that was refused has %.20q, %v", got, err)
	}
	if _, err := late.WriteAt(root, df.Ino, []byte("still live"), 0); err != nil {
		t.Errorf("the fork that was refused: %v", err)
	}
	if KindOf(r.Accept(r.Tree)) != Invalid {
		t.Error("a line accepts itself")
	}
	if err := r.store.Settle(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	check()
	if _, ok := r.store.LayerNamed("fork"); ok {
		t.Error("the fork is still there")
	}
	for _, l := range r.store.Layers() {
		if l.Flags&2 != 0 {
			t.Errorf("a snapshot that nobody needs is left: %q", l.Name)
		}
	}
}

// TestFlatten: a line of as many layers as there can be gives up all its snapshots at once, and shows what it showed; so
// does a fork that began with one of them.
func TestFlatten(t *testing.T) {
	r := newRig(t, newBase(t), filepath.Join(t.TempDir(), "s"))
	defer r.close()
	df := r.path("d/f")
	put := func(tr *Tree, off int64, s string) {
		t.Helper()
		_, err := tr.WriteAt(root, df.Ino, []byte(s), off)
		must(t, err)
	}
	if names, err := r.Flatten(); len(names) != 0 || err != nil {
		t.Fatalf("without snapshots: %q, %v", names, err)
	}
	want := ""
	var snaps []string
	for n := 0; ; n++ {
		put(r.Tree, int64(n), string(rune('a'+n%26)))
		want += string(rune('a' + n%26))
		name := fmt.Sprint("s", n)
		err := r.Snapshot(name)
		if errors.Is(err, deltalog.ErrDepth) {
			break
		}
		must(t, err)
		snaps = append(snaps, name)
	}
	must(t, r.Fork("fork", "s1"))
	fork := r.openLine("fork")
	put(fork, 0, "F")
	forked, err := readAll(fork, df.Ino)
	must(t, err)
	must(t, r.Drop(snaps[len(snaps)-1])) // the line cannot step over it, and needs not
	names, err := r.Flatten()
	must(t, err)
	slices.Reverse(names)
	if got := snaps[:len(snaps)-1]; !slices.Equal(names, got) {
		t.Errorf("dropped %q, not %q", names, got)
	}
	for _, settled := range []bool{false, true} {
		if settled {
			must(t, r.store.Settle(context.Background(), nil))
			r.reopen(true)
			fork = r.openLine("fork")
		}
		if got, err := readAll(r.Tree, df.Ino); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("settled %v: the line has %.100q, %v", settled, got, err)
		}
		if got, err := readAll(fork, df.Ino); err != nil || got != forked {
			t.Errorf("settled %v: the fork has %.100q, not %.100q, %v", settled, got, forked, err)
		}
	}
	if _, ok := r.store.LayerNamed("s3"); ok || len(r.store.Layers()) > 4 { // two lines, what they share, what main had behind
		t.Errorf("layers are left: %+v", r.store.Layers())
	}
	must(t, r.Snapshot("again"))
	if names, err := r.Flatten(); !slices.Equal(names, []string{"again"}) || err != nil {
		t.Errorf("%q, %v", names, err)
	}
}

package billyfs

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// statusOf returns the lines of Status in short form.
func statusOf(t *testing.T, r *rig) []string {
	t.Helper()
	var lines []string
	must(t, r.Status(func(e StatusEntry) error {
		s := string(rune(e.Code)) + " " + e.Path
		if e.From != "" {
			s += " < " + e.From
		}
		if e.Changed {
			s += " *"
		}
		if e.Conflict != "" {
			s += " !"
		}
		lines = append(lines, s)
		return nil
	}))
	return lines
}

// step is one change of a tree; paths are those of the export at that time.
type step func(t *testing.T, r *rig)

// split returns the directory of a path, and the last name.
func (r *rig) split(p string) (Ino, string) {
	dir, name := filepath.Split(p)
	return r.path(strings.TrimSuffix(dir, "/")).Ino, name
}

func write(p, s string) step {
	return func(t *testing.T, r *rig) {
		_, err := r.WriteAt(root, r.path(p).Ino, []byte(s), 0)
		must(t, err)
	}
}

func create(p string) step {
	return func(t *testing.T, r *rig) {
		dir, name := r.split(p)
		_, _, err := r.Create(root, dir, name, CreateHow{Mode: Guarded})
		must(t, err)
	}
}

func mkdir(p string) step {
	return func(t *testing.T, r *rig) {
		dir, name := r.split(p)
		_, _, err := r.Mkdir(root, dir, name, SetAttr{})
		must(t, err)
	}
}

func symlink(p string) step {
	return func(t *testing.T, r *rig) {
		dir, name := r.split(p)
		_, _, err := r.Symlink(root, dir, name, "target", SetAttr{})
		must(t, err)
	}
}

func remove(p string) step {
	return func(t *testing.T, r *rig) {
		dir, name := r.split(p)
		_, err := r.Remove(root, dir, name)
		must(t, err)
	}
}

func rename(from, to string) step {
	return func(t *testing.T, r *rig) {
		d1, n1 := r.split(from)
		d2, n2 := r.split(to)
		_, _, err := r.Rename(root, d1, n1, d2, n2)
		must(t, err)
	}
}

func link(from, to string) step {
	return func(t *testing.T, r *rig) {
		dir, name := r.split(to)
		_, _, err := r.Link(root, r.path(from).Ino, dir, name)
		must(t, err)
	}
}

func set(p string, s SetAttr) step {
	return func(t *testing.T, r *rig) {
		_, err := r.SetAttr(root, r.path(p).Ino, s)
		must(t, err)
	}
}

// statusCases are changes of the tree of populate, and what Status says of them.
var statusCases = []struct {
	name  string
	steps []step
	want  []string
}{
	{"nothing", nil, nil},
	{"written", []step{write("d/f", "x")}, []string{"M d/f"}},
	{"truncated", []step{set("d/f", SetAttr{Size: ptr(uint64(5))})}, []string{"M d/f"}},
	{"mode", []step{set("d/f", SetAttr{Mode: ptr(uint32(0o600))})}, []string{"m d/f"}},
	{"times", []step{set("d/f", SetAttr{Mtime: ptr(int64(77))})}, []string{"m d/f"}},
	{"mode of a directory", []step{set("d", SetAttr{Mode: ptr(uint32(0o700))})}, []string{"m d"}},
	{"mode of the root", []step{set("", SetAttr{Mode: ptr(uint32(0o700))})}, []string{"m ."}},
	{"created", []step{create("d/new")}, []string{"A d/new"}},
	{"created and removed", []step{create("d/new"), remove("d/new")}, nil},
	{"removed", []step{remove("d/f")}, []string{"D d/f"}},
	{"removed and created", []step{remove("d/f"), create("d/f")}, []string{"M d/f"}},
	{"removed, created, removed", []step{remove("d/f"), create("d/f"), remove("d/f")}, []string{"D d/f"}},
	{"another type", []step{remove("d/f"), symlink("d/f")}, []string{"T d/f"}},
	{"new directory", []step{mkdir("n"), mkdir("n/m"), create("n/m/f")}, []string{"A n", "A n/m", "A n/m/f"}},
	{"removed directory", []step{removeAll("d/sub")}, []string{"D d/sub"}},
	{"removed tree", []step{write("d/sub/g", "x"), create("d/sub/new"), removeAll("d")}, []string{"D d"}},
	{"renamed", []step{rename("d/f", "e/x")}, []string{"R e/x < d/f"}},
	{"renamed and written", []step{rename("d/f", "e/x"), write("e/x", "x")}, []string{"R e/x < d/f *"}},
	{"renamed twice", []step{rename("d/f", "e/x"), rename("e/x", "y")}, []string{"R y < d/f"}},
	{"renamed and back", []step{rename("d/f", "e/x"), rename("e/x", "d/f")}, nil},
	{"renamed directory", []step{rename("d", "e/dir")}, []string{"R e/dir < d"}},
	{"changed in a renamed directory", []step{rename("d", "e/dir"), write("e/dir/sub/g", "x"), remove("e/dir/f")},
		[]string{"R e/dir < d", "D e/dir/f", "M e/dir/sub/g"}},
	{"renamed out of a renamed directory", []step{rename("d", "dir"), rename("dir/sub", "sub")},
		[]string{"R dir < d", "R sub < d/sub"}},
	{"renamed into a new directory", []step{mkdir("n"), rename("d/f", "n/f")}, []string{"A n", "R n/f < d/f"}},
	{"renamed over", []step{rename("g", "d/f")}, []string{"R d/f < g"}},
	{"renamed, and a new one in its place", []step{rename("g", "x"), create("g")}, []string{"A g", "R x < g"}},
	{"linked", []step{link("g", "d/g")}, []string{"A d/g"}},
	{"linked, and the old name removed", []step{link("g", "d/g"), remove("g")}, []string{"R d/g < g"}},
	{"swapped", []step{rename("d/f", "t"), rename("g", "d/f"), rename("t", "g")}, []string{"R d/f < g", "R g < d/f"}},
	{"one of several names removed", []step{remove("d/hard")}, []string{"D d/hard"}},
}

func TestStatus(t *testing.T) {
	for _, c := range statusCases {
		t.Run(c.name, func(t *testing.T) {
			r, _ := newHandleRig(t)
			for _, s := range c.steps {
				s(t, r)
			}
			for _, when := range []string{"at once", "in the next process"} {
				if got := statusOf(t, r); !reflect.DeepEqual(got, c.want) {
					t.Fatalf("%s: %q, want %q", when, got, c.want)
				}
				r.reopen(true)
			}
		})
	}
}

// removeAll removes a tree from the leaves up, as clients do.
func removeAll(p string) step {
	return func(t *testing.T, r *rig) {
		var rm func(dir Ino, name string)
		rm = func(dir Ino, name string) {
			a, err := r.Lookup(dir, name)
			must(t, err)
			if a.Mode&TypeMask != TypeDir {
				_, err := r.Remove(root, dir, name)
				must(t, err)
				return
			}
			for _, n := range r.names(a.Ino) {
				rm(a.Ino, n)
			}
			_, err = r.Rmdir(root, dir, name)
			must(t, err)
		}
		rm(r.split(p))
	}
}

func TestStatusShowsConflicts(t *testing.T) {
	r, base := newHandleRig(t)
	for _, p := range []string{"d/f", "d/sub/g", "e/h"} {
		_, err := r.WriteAt(root, r.path(p).Ino, []byte("x"), 0)
		must(t, err)
	}
	r.opts.Immutable = false
	must(t, os.WriteFile(filepath.Join(base, "d/f"), []byte("changed behind our back"), 0o644))
	must(t, os.Remove(filepath.Join(base, "e/h")))
	r.reopen(true)
	if got, want := statusOf(t, r), []string{"M d/f !", "M d/sub/g", "M e/h !"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestStatusStopsAtAnError(t *testing.T) {
	r, _ := newHandleRig(t)
	for _, n := range []string{"new1", "new2"} {
		_, _, err := r.Create(root, r.Root(), n, CreateHow{})
		must(t, err)
	}
	stop, calls := errors.New("stop"), 0
	if err := r.Status(func(StatusEntry) error { calls++; return stop }); err != stop || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

func TestStatusEntryAsJSON(t *testing.T) {
	out, err := json.Marshal(StatusEntry{Code: 'R', Path: "b", From: "a", Size: 5})
	if want := `{"code":"R","path":"b","from":"a","size":5}`; string(out) != want || err != nil {
		t.Errorf("%s, %v", out, err)
	}
}

func TestPathOf(t *testing.T) {
	r, _ := newHandleRig(t)
	_, _, err := r.Rename(root, r.Root(), "d", r.path("e").Ino, "moved")
	must(t, err)
	_, _, err = r.Create(root, r.path("e/moved/sub").Ino, "new", CreateHow{})
	must(t, err)
	all := everything(t, r, r.Root(), "", map[string]Ino{})
	names := map[Ino][]string{r.Root(): {"."}}
	for p, ino := range all {
		names[ino] = append(names[ino], p)
	}
	for ino, paths := range names {
		if p, err := r.PathOf(ino); err != nil || !slices.Contains(paths, p) {
			t.Errorf("inode %d: %q, %v, want one of %q", ino, p, err, paths)
		}
	}
	gone := all["g"]
	_, err = r.Remove(root, r.Root(), "g")
	must(t, err)
	_, err = r.PathOf(gone)
	wantKind(t, err, Stale)
	if _, err := r.PathOf(1 << 40); KindOf(err) != Stale {
		t.Error(fmt.Errorf("unknown inode: %w", err))
	}
}

// TestStatusOfAFileThatLostItsName: a file of the base is known by one of its names; when that is removed, what has
// changed in it is listed under another.
func TestStatusOfAFileThatLostItsName(t *testing.T) {
	base := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(base, "deep/down"), 0o755))
	must(t, os.WriteFile(filepath.Join(base, "f"), []byte("content"), 0o644))
	must(t, os.Link(filepath.Join(base, "f"), filepath.Join(base, "deep/down/g")))
	must(t, os.Link(filepath.Join(base, "f"), filepath.Join(base, "deep/h")))
	r := newRig(t, base, filepath.Join(t.TempDir(), "delta"))
	defer r.close()
	for _, s := range []step{write("f", "changed"), remove("f"), remove("deep/h")} {
		s(t, r)
	}
	want := []string{"D deep/h", "M deep/down/g", "D f"}
	slices.SortFunc(want, func(a, b string) int { return strings.Compare(a[2:], b[2:]) })
	if got := statusOf(t, r); !slices.Equal(got, want) {
		t.Errorf("status says %q, not %q", got, want)
	}
	if got := r.content(r.path("deep/down/g").Ino); got != "changed" {
		t.Errorf("the file holds %q", got)
	}
	remove("deep/down/g")(t, r)
	want = []string{"D deep/down/g", "D deep/h", "D f"}
	if got := statusOf(t, r); !slices.Equal(got, want) {
		t.Errorf("without names status says %q, not %q", got, want)
	}
}

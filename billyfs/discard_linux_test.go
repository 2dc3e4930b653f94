package billyfs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestDiscardPathsInHistories gives up what random histories have changed, path by path in random order:
// each path is as the base has it then, the rules of the tree hold, and in the end nothing is left.
func TestDiscardPathsInHistories(t *testing.T) {
	base, stores := newBase(t), storesDir(t)
	checks(t, 200)
	fsys := openRoot(t, base)
	stamps := regexp.MustCompile(` at -?\d+`)
	plain := func(m map[string]string) map[string]string {
		for p, s := range m {
			m[p] = stamps.ReplaceAllString(s, "")
		}
		return m
	}
	want := plain(portrait(t, base))
	rapid.Check(t, func(rt *rapid.T) {
		r := newRigSized(t, fsys, freshDir(stores), smallSegment)
		m := &mem{}
		m.load(t, base)
		h := newHistory(rt, r, m)
		h.who = []Caller{root, user}
		for range steps {
			h.play()
		}
		times := map[string]int{}
		for n := 0; ; n++ {
			var paths []string
			must(rt, r.Status(func(e StatusEntry) error {
				paths = append(paths, e.Path)
				return nil
			}))
			if len(paths) == 0 {
				break
			}
			if n > 500 {
				rt.Fatalf("discarding does not end: %v", paths)
			}
			p := rapid.SampledFrom(paths).Draw(rt, "path")
			gone, err := r.DiscardPaths([]string{p})
			if err != nil {
				rt.Fatalf("discard %s: %v", p, err)
			}
			// A name that shows again can be that of a file which is changed under other names.
			if times[p]++; times[p] > 3 {
				rt.Fatalf("%s is there again after it was discarded with %v", p, gone)
			}
			checkInvariants(rt, r.Tree)
		}
		compareTrees(rt, "after all was discarded", plain(portraitOf(rt, r.Tree)), want)
		h.tree.rig.reopen(false)
		compareTrees(rt, "after all was discarded and a restart", plain(portraitOf(rt, r.Tree)), want)
		r.close()
		os.RemoveAll(r.dir)
	})
}

// TestDiscardOfAnotherName: what has changed in a file of the base that has lost the name it was known by is given
// up under another name of it, and the lost name stays lost.
func TestDiscardOfAnotherName(t *testing.T) {
	base := t.TempDir()
	must(t, os.WriteFile(filepath.Join(base, "f"), []byte("content"), 0o644))
	must(t, os.Link(filepath.Join(base, "f"), filepath.Join(base, "g")))
	r := newRig(t, base, filepath.Join(t.TempDir(), "delta"))
	defer r.close()
	for _, s := range []step{write("f", "changed"), remove("f")} {
		s(t, r)
	}
	discard := func(path string, want ...string) {
		t.Helper()
		if got, err := r.DiscardPaths([]string{path}); err != nil || !slices.Equal(got, []string{path}) {
			t.Fatalf("discard of %s: %q, %v", path, got, err)
		}
		if got := statusOf(t, r); !slices.Equal(got, want) {
			t.Errorf("after the discard of %s status says %q, not %q", path, got, want)
		}
		checkInvariants(t, r.Tree)
		if got := r.content(r.path("g").Ino); got != "content" {
			t.Errorf("after the discard of %s g holds %q", path, got)
		}
	}
	discard("g", "D f")
	if n := r.path("g").Nlink; n != 1 {
		t.Errorf("%d names, with one removed", n)
	}
	discard("f")
	if n := r.path("g").Nlink; n != 2 {
		t.Errorf("%d names, with none removed", n)
	}
}

// TestStatusOfLinks: what has become of the names of a file does not depend on which of them it was met by last.
func TestStatusOfLinks(t *testing.T) {
	base := t.TempDir()
	names := []string{"f", "g", "h"}
	must(t, os.WriteFile(filepath.Join(base, "f"), []byte("content"), 0o644))
	for _, n := range names[1:] {
		must(t, os.Link(filepath.Join(base, "f"), filepath.Join(base, n)))
	}
	for _, c := range []struct {
		what  string
		steps []step
		want  []string
	}{
		{"one is removed, and one was and is there again", []step{remove("f"), link("g", "f"), remove("g")}, []string{"D g"}},
		{"one is removed and there is a new one", []step{remove("g"), link("h", "x")}, []string{"R x < g"}},
		{"two are removed and there is a new one", []step{remove("g"), remove("f"), link("h", "x")}, []string{"D g", "R x < f"}},
		{"there is a new one", []step{link("h", "x")}, []string{"A x"}},
	} {
		r := newRig(t, base, filepath.Join(t.TempDir(), "delta"))
		for _, s := range c.steps {
			s(t, r)
		}
		for range 10 {
			for _, n := range names {
				_, err := r.base.Lookup(RootIno, n)
				must(t, err)
				if got := statusOf(t, r); !slices.Equal(got, c.want) {
					t.Errorf("%s: after a look at %s status says %q, not %q", c.what, n, got, c.want)
				}
			}
		}
		for n := 0; ; n++ {
			left := statusOf(t, r)
			if len(left) == 0 {
				break
			}
			if n == 3 {
				t.Fatalf("%s: discarding does not end: %q", c.what, left)
			}
			_, err := r.DiscardPaths([]string{left[0][2:3]})
			must(t, err)
		}
		for _, n := range names {
			if a := r.path(n); a.Nlink != 3 {
				t.Errorf("%s: %s has %d names when all is discarded", c.what, n, a.Nlink)
			}
		}
		r.close()
	}
}

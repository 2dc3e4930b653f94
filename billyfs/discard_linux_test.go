package billyfs

import (
	"os"
	"regexp"
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

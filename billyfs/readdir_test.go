package billyfs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// listRig is a directory of the base with half its names covered: removed,
// replaced, new ones between them.
func listRig(t *testing.T, weak func(string) uint64) (*rig, Ino, []string) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	r.base.weakCookie = weak
	dir := r.path("many").Ino
	want := map[string]bool{}
	for i := range 30 {
		name := fmt.Sprintf("n%02d", i)
		want[name] = true
		if i%3 == 0 {
			delete(want, name)
			if _, err := r.Remove(root, dir, name); err != nil {
				t.Fatal(err)
			}
		}
		if i%6 == 0 {
			want[name] = true
			if _, _, err := r.Mkdir(root, dir, name, SetAttr{}); err != nil {
				t.Fatal(err)
			}
		}
		fresh := fmt.Sprintf("new%02d", i)
		want[fresh] = true
		if _, _, err := r.Create(root, dir, fresh, CreateHow{}); err != nil {
			t.Fatal(err)
		}
	}
	return r, dir, append(slices.Sorted(maps.Keys(want)), ".", "..")
}

// page lists from cookie on, at most n entries, but never part of a group of
// one cookie, as a server does.
func (r *rig) page(t *testing.T, dir Ino, cookie uint64, n int) (page []DirEntry, eof bool) {
	t.Helper()
	eof, err := r.ReadDir(dir, cookie, func(e DirEntry) bool {
		if len(page) >= n && e.Cookie != page[len(page)-1].Cookie {
			return false
		}
		page = append(page, e)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return page, eof
}

// TestListingResumesAtEveryCookie lists from the start and from every cookie
// that a listing shows: what follows is the rest of the same list.
func TestListingResumesAtEveryCookie(t *testing.T) {
	weak := func(s string) uint64 { return 3 + uint64(s[len(s)-1]%4) }
	same := func(string) uint64 { return 1 << 60 }
	for name, hash := range map[string]func(string) uint64{"good hash": nil, "weak hash": weak, "constant": same} {
		t.Run(name, func(t *testing.T) {
			r, dir, want := listRig(t, hash)
			all, eof := r.page(t, dir, 0, 1<<20)
			if !eof {
				t.Error("no eof")
			}
			var got []string
			for _, e := range all {
				got = append(got, e.Name)
			}
			if all[0].Name != "." || all[1].Name != ".." || all[1].Ino != r.Root() || all[0].Ino != dir {
				t.Errorf("begins with %+v", all[:2])
			}
			slices.Sort(got)
			if slices.Sort(want); !slices.Equal(got, want) {
				t.Fatalf("got %q\nwant %q", got, want)
			}
			if !slices.IsSortedFunc(all, compareEntries) {
				t.Error("not in order of cookie and name")
			}
			for i, e := range all {
				rest := all[i+1:]
				for len(rest) > 0 && rest[0].Cookie == e.Cookie {
					rest = rest[1:]
				}
				if page, eof := r.page(t, dir, e.Cookie, 1<<20); !eof || !slices.Equal(page, rest) {
					t.Fatalf("behind %+v: %d entries, eof %v, want %d", e, len(page), eof, len(rest))
				}
			}
			if page, eof := r.page(t, dir, ^uint64(0), 1); len(page) != 0 || !eof {
				t.Error("something behind the last cookie")
			}
		})
	}
}

// TestListingShowsEveryNameOnce lists page by page while other names come and
// go: those that stay are shown exactly once.
func TestListingShowsEveryNameOnce(t *testing.T) {
	r, dir, stay := listRig(t, nil)
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, seed))
	for size := 1; size < 12; size++ {
		seen := map[string]int{}
		cookie, eof := uint64(0), false
		for !eof {
			var page []DirEntry
			page, eof = r.page(t, dir, cookie, size)
			for _, e := range page {
				seen[e.Name]++
				cookie = e.Cookie
			}
			for range 5 {
				name := fmt.Sprint("guest", rnd.IntN(20))
				if _, _, err := r.Mkdir(root, dir, name, SetAttr{}); err != nil {
					if _, err := r.Rmdir(root, dir, name); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		for _, name := range stay {
			if seen[name] != 1 {
				t.Errorf("pages of %d: %q was shown %d times", size, name, seen[name])
			}
		}
		for name, n := range seen {
			if n > 1 {
				t.Errorf("pages of %d: %q was shown %d times", size, name, n)
			}
		}
	}
}

// TestRemovingWhatWasListed is rm -r: each page is removed before the next is
// asked for, and nothing is left over.
func TestRemovingWhatWasListed(t *testing.T) {
	r, dir, _ := listRig(t, nil)
	cookie, eof := uint64(0), false
	for !eof {
		var page []DirEntry
		page, eof = r.page(t, dir, cookie, 7)
		for _, e := range page {
			cookie = e.Cookie
			var err error
			switch {
			case isDot(e.Name):
			case e.Type == TypeDir:
				_, err = r.Rmdir(root, dir, e.Name)
			default:
				_, err = r.Remove(root, dir, e.Name)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := r.Rmdir(root, r.Root(), "many"); err != nil {
		t.Errorf("rmdir after removing all: %v", err)
	}
	checkInvariants(t, r.Tree)
}

// TestLongListingIsChunked lists more entries of the layer than are taken at a
// time.
func TestLongListingIsChunked(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	dir := r.path("many").Ino
	for i := range 3 * mergeChunk {
		if _, _, err := r.Create(root, dir, fmt.Sprint("x", i), CreateHow{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.names(dir)); n != 30+3*mergeChunk {
		t.Errorf("%d names", n)
	}
}

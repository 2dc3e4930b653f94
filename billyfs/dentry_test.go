package billyfs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// agrees checks that what the cache says of a name is what a lookup says.
func agrees(t *testing.T, r *rig, dir Ino, name string) {
	t.Helper()
	cached, ok := r.Cached(dir, []byte(name))
	a, err := r.Lookup(dir, name)
	switch {
	case !ok:
	case err != nil:
		t.Fatalf("%q is cached as %d: %v", name, cached, err)
	case a.Ino != cached:
		t.Fatalf("%q is cached as %d, and is %d", name, cached, a.Ino)
	}
	if again, ok := r.Cached(dir, []byte(name)); err == nil && (!ok || again != a.Ino) {
		t.Fatalf("%q has just been looked up, and is cached as %d, %v", name, again, ok)
	}
}

// TestCachedNames changes names at random and asks the cache for all of them after
// each change.
func TestCachedNames(t *testing.T) {
	const seed = 4
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	r, _ := newHandleRig(t)
	dirs := []Ino{r.Root()}
	var names []string
	for _, name := range r.names(r.Root()) {
		names = append(names, name)
	}
	for i := range 6 {
		names = append(names, fmt.Sprint("n", i))
	}
	a, _, err := r.Mkdir(root, r.Root(), "second", SetAttr{})
	if err != nil {
		t.Fatal(err)
	}
	dirs = append(dirs, a.Ino)
	for range 1500 {
		d, n := dirs[rnd.IntN(2)], names[rnd.IntN(len(names))]
		d2, n2 := dirs[rnd.IntN(2)], names[rnd.IntN(len(names))]
		// What cannot be done fails, and must change nothing either.
		switch rnd.IntN(6) {
		case 0:
			_, _, _ = r.Create(root, d, n, CreateHow{Mode: Guarded})
		case 1:
			_, _ = r.Remove(root, d, n)
		case 2:
			_, _, _ = r.Rename(root, d, n, d2, n2)
		case 3:
			if a, err := r.Lookup(d, n); err == nil {
				_, _, _ = r.Link(root, a.Ino, d2, n2)
			}
		case 4:
			_, _, _ = r.Mkdir(root, d, n, SetAttr{})
		case 5:
			_, _ = r.Rmdir(root, d, n)
		}
		for _, dir := range dirs {
			for _, name := range names {
				agrees(t, r, dir, name)
			}
		}
	}
}

// TestCachedNamesUnderLoad: once a change of a name has returned, the cache never
// says what it was before, whoever looks it up meanwhile.
func TestCachedNamesUnderLoad(t *testing.T) {
	r, _ := newHandleRig(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = r.Lookup(r.Root(), "x") // it is there or not
				}
			}
		})
	}
	n := 2000
	if testing.Short() {
		n = 300
	}
	for range n {
		a, _, err := r.Create(root, r.Root(), "x", CreateHow{Mode: Guarded})
		if err != nil {
			t.Fatal(err)
		}
		if ino, ok := r.Cached(r.Root(), []byte("x")); ok && ino != a.Ino {
			t.Fatalf("made as %d, cached as %d", a.Ino, ino)
		}
		if _, err := r.Remove(root, r.Root(), "x"); err != nil {
			t.Fatal(err)
		}
		if ino, ok := r.Cached(r.Root(), []byte("x")); ok {
			t.Fatalf("removed, cached as %d", ino)
		}
	}
	close(stop)
	wg.Wait()
}

// TestCachedNamesOfTheBase are believed for a second, those of a base that cannot
// change for good.
func TestCachedNamesOfTheBase(t *testing.T) {
	for _, immutable := range []bool{false, true} {
		base := t.TempDir()
		if err := os.WriteFile(filepath.Join(base, "f"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		now := time.Now().UnixNano()
		r := newRig(t, base, filepath.Join(t.TempDir(), "store"))
		r.opts = Options{Immutable: immutable, Now: func() int64 {
			mu.Lock()
			defer mu.Unlock()
			return now
		}}
		r.open()
		a, err := r.Lookup(r.Root(), "f")
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []struct {
			after int64
			want  bool
		}{{0, true}, {trust - 1, true}, {trust, immutable}} {
			mu.Lock()
			saved := now
			now += k.after
			mu.Unlock()
			if ino, ok := r.Cached(r.Root(), []byte("f")); ok != k.want || ok && ino != a.Ino {
				t.Errorf("immutable %v, after %d ns: %d, %v", immutable, k.after, ino, ok)
			}
			mu.Lock()
			now = saved
			mu.Unlock()
		}
	}
}

// TestCachedNamesAreBounded.
func TestCachedNamesAreBounded(t *testing.T) {
	var c dentryCache
	const names, most = 20_000, 2 * 2 * 20_000 // room for twice as many, and that up to a power of two
	c.init(names)
	for i := range 3 * most {
		c.put(0, dentryKey{Ino(i % 1000), fmt.Sprint(i)}, dentry{ino: Ino(i)})
	}
	room := 0
	for i := range c.shards {
		room += len(c.shards[i].sets) * dentryWays
		there := 0
		for _, set := range c.shards[i].sets {
			for _, tag := range set.tags {
				there += int(min(tag, 1))
			}
		}
		if there != c.shards[i].names {
			t.Errorf("shard %d has %d names and says %d", i, there, c.shards[i].names)
		}
	}
	if room < 2*names || room > most {
		t.Errorf("there is room for %d names, want %d to %d", room, 2*names, most)
	}
	if d, ok := c.get((3*most-1)%1000, []byte(fmt.Sprint(3*most-1))); !ok || d.ino != 3*most-1 {
		t.Errorf("the last one: %v, %v", d, ok)
	}
}

// TestCachedNamesOfOneDirectory: the names of a large directory are remembered as those of many are, and all stand for
// what they were entered for.
func TestCachedNamesOfOneDirectory(t *testing.T) {
	var c dentryCache
	const names = 16_000
	c.init(names)
	for i := range names {
		c.put(0, dentryKey{7, fmt.Sprint(i)}, dentry{ino: Ino(i)})
	}
	there := 0
	for i := range names {
		switch d, ok := c.get(7, []byte(fmt.Sprint(i))); {
		case ok && d.ino != Ino(i):
			t.Fatalf("%d is cached as %d", i, d.ino)
		case ok:
			there++
		}
		if _, ok := c.get(8, []byte(fmt.Sprint(i))); ok {
			t.Fatalf("%d is cached in another directory", i)
		}
	}
	if there < names*98/100 { // by chance nine names or more have one set
		t.Errorf("%d names of %d are cached", there, names)
	}
}

package billyfs

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// patience is how long tests wait for what must come. It is long on purpose:
// only a deadlock reaches it.
const patience = 2 * time.Minute

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: never", what)
		}
	}
}

// storm runs n workers for rounds each and fails if they do not end.
func storm(t *testing.T, n, rounds int, work func(worker, round int, rnd *rand.Rand) error) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	for w := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rnd := rand.New(rand.NewPCG(seed, uint64(w)))
			for i := range rounds {
				if err := work(w, i, rnd); err != nil {
					t.Errorf("worker %d, round %d: %v", w, i, err)
					return
				}
			}
		}()
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("deadlock")
	}
}

// expected passes the errors that calls racing for the same names may get.
func expected(err error) error {
	switch KindOf(err) {
	case 0, NotExist, Exist, NotEmpty, NotDir, IsDir, Invalid, Stale:
		return nil
	}
	return err
}

// TestCrossingDirectoryRenames moves directories of base and delta below each
// other from many sides: no circle, no deadlock, nothing lost.
func TestCrossingDirectoryRenames(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	dirs := []Ino{r.Root(), r.path("d").Ino, r.path("d/sub").Ino, r.path("d/sub/deep").Ino, r.path("e").Ino}
	for i := range 4 {
		a, _, err := r.Mkdir(root, dirs[i], fmt.Sprint("new", i), SetAttr{})
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, a.Ino)
	}
	names := []string{"d", "sub", "deep", "e", "new0", "new1", "new2", "new3", "x", "y"}
	pick := func(rnd *rand.Rand) (Ino, string) { return dirs[rnd.IntN(len(dirs))], names[rnd.IntN(len(names))] }
	storm(t, 8, 1500, func(_, _ int, rnd *rand.Rand) error {
		from, a := pick(rnd)
		to, b := pick(rnd)
		_, _, err := r.Rename(root, from, a, to, b)
		return expected(err)
	})
	checkInvariants(t, r.Tree)
	w := &walker{t: t, tree: r.Tree, names: map[Ino]uint32{}, seen: map[Ino]bool{}}
	w.dir(r.Root(), r.Root())
	for _, d := range dirs {
		if _, err := r.Attr(d); (err == nil) != w.seen[d] {
			t.Errorf("directory %d: attributes say %v, reached %v", d, err, w.seen[d])
		}
	}
}

// TestStorm plays all calls from many sides on few names.
func TestStorm(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	var mu sync.Mutex
	objs := []Ino{r.Root(), r.path("d").Ino, r.path("e").Ino, r.path("f").Ino, r.path("d/f").Ino}
	pick := func(rnd *rand.Rand) Ino {
		mu.Lock()
		defer mu.Unlock()
		return objs[rnd.IntN(len(objs))]
	}
	keep := func(a Attr, err error) error {
		mu.Lock()
		defer mu.Unlock()
		if err == nil && len(objs) < 64 {
			objs = append(objs, a.Ino)
		}
		return err
	}
	name := func(rnd *rand.Rand) string {
		return []string{"a", "b", "d", "e", "f", "l", "hard", "sub"}[rnd.IntN(8)]
	}
	storm(t, 8, 1500, func(w, i int, rnd *rand.Rand) error {
		return expected(stormCall(r.Tree, rnd, pick, keep, name))
	})
	checkInvariants(t, r.Tree)
	if !raceEnabled {
		r.reopen(false)
		checkInvariants(t, r.Tree)
	}
}

func stormCall(t *Tree, rnd *rand.Rand, pick func(*rand.Rand) Ino, keep func(Attr, error) error, name func(*rand.Rand) string) error {
	switch o := pick(rnd); rnd.IntN(12) {
	case 0, 1:
		a, _, err := t.Create(user, o, name(rnd), CreateHow{Mode: CreateMode(rnd.IntN(3)), Attr: SetAttr{Size: ptr(rnd.Uint64N(9999))}})
		return keep(a, err)
	case 2:
		a, _, err := t.Mkdir(user, o, name(rnd), SetAttr{})
		return keep(a, err)
	case 3:
		_, err := t.Remove(user, o, name(rnd))
		return err
	case 4:
		_, err := t.Rmdir(user, o, name(rnd))
		return err
	case 5, 6:
		_, _, err := t.Rename(user, o, name(rnd), pick(rnd), name(rnd))
		return err
	case 7:
		_, _, err := t.Link(user, o, pick(rnd), name(rnd))
		if KindOf(err) == NotPermitted {
			err = nil
		}
		return err
	case 8:
		_, err := t.WriteAt(user, o, make([]byte, rnd.IntN(5000)), rnd.Int64N(20000))
		return err
	case 9:
		_, err := t.SetAttr(user, o, SetAttr{Size: ptr(rnd.Uint64N(20000))})
		return err
	case 10:
		_, _, err := t.ReadAt(o, make([]byte, rnd.IntN(9000)), rnd.Int64N(20000))
		return err
	}
	_, err := t.ReadDir(pick(rnd), 0, func(e DirEntry) bool { return rnd.IntN(10) > 0 })
	return err
}

// TestReadsSeeWholeWrites writes a file over and over, all of it the same
// byte, and changes its length: no reader ever sees two writes mixed, nor bytes
// of the base come back.
func TestReadsSeeWholeWrites(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	ino := r.path("d/f").Ino
	const size = 9000
	fill := func(b byte) []byte {
		p := make([]byte, size)
		for i := range p {
			p[i] = b
		}
		return p
	}
	if _, err := r.WriteAt(root, ino, fill('A'), 0); err != nil {
		t.Fatal(err)
	}
	storm(t, 4, 800, func(w, i int, rnd *rand.Rand) error {
		if w == 0 {
			if i%3 == 2 {
				if _, err := r.SetAttr(root, ino, SetAttr{Size: ptr(uint64(0))}); err != nil {
					return err
				}
			}
			_, err := r.WriteAt(root, ino, fill('A'+byte(i%26)), 0)
			return err
		}
		p := make([]byte, size)
		n, _, err := r.ReadAt(ino, p, 0)
		if err != nil {
			return err
		}
		for _, b := range p[:n] {
			if b != p[0] {
				return fmt.Errorf("%q and %q in one read", p[0], b)
			}
		}
		if n != 0 && n != size {
			return fmt.Errorf("%d bytes", n)
		}
		return nil
	})
}

// TestBeforeAndAfterFitTogether makes names in one directory from many sides:
// the attributes before a change are those after the one before it, so all
// changes form one chain, without a gap that another change could hide in.
func TestBeforeAndAfterFitTogether(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	dir := r.path("d").Ino
	first := r.path("d")
	var mu sync.Mutex
	next := map[Attr]Attr{}
	const workers, rounds = 6, 200
	storm(t, workers, rounds, func(w, i int, rnd *rand.Rand) error {
		var ch Change
		var err error
		name := fmt.Sprint("w", w)
		if i%2 == 0 {
			_, ch, err = r.Mkdir(user, dir, name, SetAttr{})
		} else {
			ch, err = r.Rmdir(user, dir, name)
		}
		mu.Lock()
		defer mu.Unlock()
		next[ch.Before] = ch.After
		return err
	})
	n, at := 0, first
	for {
		after, ok := next[at]
		if !ok {
			break
		}
		n, at = n+1, after
	}
	if now := r.path("d"); n != workers*rounds || now != at {
		t.Errorf("the chain has %d of %d changes and ends at %+v; now %+v", n, workers*rounds, at, now)
	}
}

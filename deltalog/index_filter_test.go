package deltalog

import (
	"math/rand/v2"
	"testing"
)

// TestInoFilter: what was added may be there, and of what was not most is known not to be: numbers that are counted and
// numbers that are hashes.
func TestInoFilter(t *testing.T) {
	for _, n := range []int{0, 1000, 1_000_000} {
		for name, number := range map[string]func(i int) Ino{
			"counted": func(i int) Ino { return Born | Ino(i+1) },
			"hashes":  func(i int) Ino { return Ino(rand.New(rand.NewPCG(7, uint64(i))).Uint64() &^ uint64(Born)) },
		} {
			f := newInoFilter(0)
			for i := range n {
				f.add(number(i))
			}
			for i := range n {
				if !f.may(number(i)) {
					t.Fatalf("%s: %d of %d is not known", name, i, n)
				}
			}
			wrong := 0
			for i := range 100_000 {
				if f.may(number(n + i)) {
					wrong++
				}
			}
			t.Logf("%d %s: %d of 100000 are not known to be absent", n, name, wrong)
			if wrong > 8000 || n < 10_000 && wrong > 10 {
				t.Errorf("%d %s: %d of 100000 are not known to be absent", n, name, wrong)
			}
		}
	}
	if w := len(newInoFilter(1 << 60).words); w != filterMost {
		t.Errorf("%d words for far too many inodes", w)
	}
}

// TestAbsentInodes: to find that the log says nothing of an inode leaves no garbage, and what it says something of is found
// from every level: memtable, database, and after the store was opened again.
func TestAbsentInodes(t *testing.T) {
	o := testOptions()
	dir := t.TempDir()
	s := mustCreate(t, dir, o)
	const n = 3000
	check := func(what string, s *Store) {
		t.Helper()
		for i := range Ino(n) {
			r, ok, err := s.Inode(MainLayer, 100+2*i)
			if err != nil || !ok || r.Size != uint64(i) {
				t.Fatalf("%s: inode %d: %v, %v, %v", what, 100+2*i, r, ok, err)
			}
			if o, ok, err := s.Origin(100 + 2*i); err != nil || !ok || o.Name != "n" {
				t.Fatalf("%s: origin %d: %v, %v, %v", what, 100+2*i, o, ok, err)
			}
			if _, ok, err := s.Inode(MainLayer, 101+2*i); err != nil || ok {
				t.Fatalf("%s: inode %d, which is not there: %v, %v", what, 101+2*i, ok, err)
			}
		}
		if raceDetector {
			return
		}
		if allocs := testing.AllocsPerRun(1000, func() {
			s.Inode(MainLayer, 1<<50)
			s.Origin(1 << 50)
		}); allocs > 0 {
			t.Errorf("%s: %v allocations for what is not there", what, allocs)
		}
	}
	for i := range Ino(n) {
		mustAppend(t, s, func(b *Batch) {
			b.Inode(MainLayer, 100+2*i, &Inode{Mode: TypeRegular, Nlink: 1, Size: uint64(i)})
			b.Origin(100+2*i, Origin{Parent: 1, Name: "n"})
		})
	}
	check("in memory", s)
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	check("in the database", s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	check("opened again", s)
}

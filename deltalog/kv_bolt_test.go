package deltalog

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// boltIndex makes a store's index in dir with n files and returns its digest.
func boltIndex(t *testing.T, dir string, n int) uint64 {
	t.Helper()
	x := openPlace(t, dir, nil)
	for i := range n {
		f := frame{typ: frameInode, lsn: LSN(i + 1), layer: MainLayer, ino: Born + Ino(i), payload: appendInode(nil, &Inode{Size: uint64(i)})}
		mustApply(t, x, f, i)
		f = frame{typ: frameData, lsn: LSN(i + 1), layer: MainLayer, ino: Born + Ino(i), length: 100}
		mustApply(t, x, f, i)
	}
	x.freeze(LSN(n), logPos{7, 512})
	if err := x.flush(); err != nil {
		t.Fatal(err)
	}
	d, err := x.digest()
	if err := errors.Join(err, x.close()); err != nil {
		t.Fatal(err)
	}
	return d
}

func mustApply(t testing.TB, x *index, f frame, i int) {
	t.Helper()
	if err := x.apply(&f, loc{seg: 1 + uint64(i/100), off: uint32(512 * i), size: 208}); err != nil {
		t.Fatal(err)
	}
}

// openPlace opens the index of dir; bad, if not nil, gets why it was thrown away.
func openPlace(t testing.TB, dir string, bad *error) *index {
	t.Helper()
	x, why, err := indexPlace{dir: dir, id: StoreID{1}}.openIndex()
	if err != nil {
		t.Fatal(err)
	}
	if bad != nil {
		*bad = why
	} else if why != nil {
		t.Fatalf("the index was thrown away: %v", why)
	}
	return x
}

func TestBoltKeepsTheIndex(t *testing.T) {
	dir := t.TempDir()
	want := boltIndex(t, dir, 3000)
	x := openPlace(t, dir, nil)
	defer x.close()
	if got, err := x.digest(); got != want || err != nil {
		t.Errorf("digest %x (%v), want %x", got, err, want)
	}
	lsn, pos, ok := x.position()
	if lsn != 3000 || pos != (logPos{7, 512}) || !ok {
		t.Errorf("position %d %v %v", lsn, pos, ok)
	}
	if got := x.highestIno(); got != Born+2999 {
		t.Errorf("highest inode %x", uint64(got))
	}
	if n, err := x.size(); n == 0 || err != nil {
		t.Errorf("size %d, %v", n, err)
	}
}

func TestBoltFinishesNothingUnderItsName(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, indexNewName), []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	openPlace(t, dir, nil).close()
	if _, err := os.Stat(filepath.Join(dir, indexNewName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a crash left is still there: %v", err)
	}
}

func TestIndexOfAnotherStoreIsThrownAway(t *testing.T) {
	dir := t.TempDir()
	boltIndex(t, dir, 10)
	x, bad, err := indexPlace{dir: dir, id: StoreID{2}}.openIndex()
	if err != nil || !errors.Is(bad, errIndexBad) {
		t.Fatal(bad, err)
	}
	defer x.close()
	if _, _, ok := x.position(); ok {
		t.Error("the position of another store counts")
	}
	if _, ok, err := x.inode(MainLayer, Born); ok || err != nil {
		t.Error("an inode of another store shows", err)
	}
}

func TestReadOnlyIndexChangesNothing(t *testing.T) {
	dir := t.TempDir()
	place := indexPlace{dir: dir, id: StoreID{1}, readOnly: true}
	x, bad, err := place.openIndex()
	if err != nil || !errors.Is(bad, fs.ErrNotExist) {
		t.Fatal(bad, err)
	}
	mustApply(t, x, frame{typ: frameInode, lsn: 1, layer: 1, ino: 5, payload: appendInode(nil, &Inode{})}, 0)
	if _, ok, err := x.inode(1, 5); !ok || err != nil {
		t.Error("an index in memory does not answer", err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("files were made: %v", names)
	}
	boltIndex(t, dir, 10)
	path := filepath.Join(dir, indexName)
	before, _ := os.ReadFile(path)
	before[len(before)/2] ^= 1 // may or may not matter to it
	os.WriteFile(path, before, 0o600)
	x, _, err = place.openIndex()
	if err != nil {
		t.Fatal(err)
	}
	x.close()
	if now, _ := os.ReadFile(path); !bytes.Equal(now, before) {
		t.Error("the file changed")
	}
}

// TestDamagedIndexFileIsNeverBelieved flips bits and cuts the file: what opens
// must be what was written, or be thrown away. A panic fails the test.
func TestDamagedIndexFileIsNeverBelieved(t *testing.T) {
	orig := t.TempDir()
	want := boltIndex(t, orig, 400)
	file, err := os.ReadFile(filepath.Join(orig, indexName))
	if err != nil {
		t.Fatal(err)
	}
	x := openPlace(t, orig, nil)
	used, err := x.size()
	if err := errors.Join(err, x.close()); err != nil {
		t.Fatal(err)
	}
	file = file[:used]
	n := 120
	if testing.Short() {
		n = 24
	}
	thrown := 0
	for seed := range n {
		rng := rand.New(rand.NewPCG(uint64(seed), 3))
		dir := t.TempDir()
		p := bytes.Clone(file)
		switch seed % 4 {
		case 0:
			p = p[:rng.IntN(len(p))]
		case 1:
			page := rng.IntN(len(p)/4096) * 4096
			copy(p[page:page+4096], p[rng.IntN(len(p)/4096)*4096:])
		default:
			p[rng.IntN(len(p))] ^= 1 << rng.IntN(8)
		}
		if err := os.WriteFile(filepath.Join(dir, indexName), p, 0o600); err != nil {
			t.Fatal(err)
		}
		var bad error
		x := openPlace(t, dir, &bad)
		got, err := x.digest()
		if err := errors.Join(err, x.close()); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if bad != nil {
			thrown++
			want := uint64(0)
			if got != want {
				t.Errorf("seed %d: a new index has digest %x", seed, got)
			}
		} else if got != want {
			t.Errorf("seed %d: damage was believed", seed)
		}
	}
	t.Logf("%d of %d damaged files were thrown away; in the others the damage was where nothing is", thrown, n)
	if thrown < n/4 {
		t.Error("hardly any damage was found: the test does not test")
	}
}

func BenchmarkIndexApplyInode(b *testing.B) {
	x := newIndex(newKVMem(), StoreID{})
	payload := appendInode(nil, &Inode{})
	for i := 0; b.Loop(); i++ {
		mustApply(b, x, frame{typ: frameInode, lsn: LSN(i), layer: 1, ino: Ino(i), payload: payload}, i&0xffff)
	}
}

func BenchmarkIndexApplyData(b *testing.B) {
	for _, kind := range []string{"sequential", "random"} {
		b.Run(kind, func(b *testing.B) {
			x := openPlace(b, b.TempDir(), nil)
			defer x.close()
			rng := rand.New(rand.NewPCG(1, 1))
			for i := 0; b.Loop(); i++ {
				off := uint64(i) * 4096
				if kind == "random" {
					off = uint64(rng.IntN(1<<18)) * 4096
				}
				mustApply(b, x, frame{typ: frameData, lsn: LSN(i), layer: 1, ino: 1, offset: off, length: 4096}, i&0xffff)
			}
		})
	}
}

func BenchmarkIndexLookup(b *testing.B) {
	for _, where := range []string{"memtable", "database"} {
		b.Run(where, func(b *testing.B) {
			x := openPlace(b, b.TempDir(), nil)
			defer x.close()
			const n = 100_000
			for i := range n {
				mustApply(b, x, frame{typ: frameInode, lsn: 1, layer: 1, ino: Ino(i), payload: appendInode(nil, &Inode{})}, i)
			}
			if where == "database" {
				x.freeze(1, logPos{1, 512})
				if err := x.flush(); err != nil {
					b.Fatal(err)
				}
			}
			rng := rand.New(rand.NewPCG(1, 1))
			for b.Loop() {
				if _, ok, err := x.inode(1, Ino(rng.IntN(n))); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

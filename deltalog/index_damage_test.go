package deltalog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// settledWorld is a history whose index is wholly in the database.
func settledWorld(t *testing.T, seed uint64) (*indexWorld, uint64) {
	t.Helper()
	w := newIndexWorld(t, seed)
	for range 300 {
		w.add(w.randomFrame())
	}
	for range 2 { // the first may be followed by a frame
		w.checkpoint(0)
	}
	w.reopen()
	d, err := w.x.digest()
	if err != nil {
		t.Fatal(err)
	}
	return w, d
}

// pairs returns the number of pairs of a table, and its n-th.
func (s *memSnapshot) pair(b table, n int) (count int, p memPair) {
	s.trees[b].Scan(func(x memPair) bool {
		if count == n {
			p = x
		}
		count++
		return true
	})
	return count, p
}

// TestDamagedPairsAreNeverBelieved changes single pairs of the database below an
// open index, and below one that is opened. Reading then fails with errIndexBad
// or shows the truth, and opening fails.
func TestDamagedPairsAreNeverBelieved(t *testing.T) {
	damages := map[string]func(m *memSnapshot, b table, p memPair, rng *rand.Rand){
		"flipped bit": func(m *memSnapshot, b table, p memPair, rng *rand.Rand) {
			v := append([]byte{}, p.val...)
			v[rng.IntN(len(v))] ^= 1 << rng.IntN(8)
			memTx{m}.put(b, p.key, v)
		},
		"flipped bit in a key": func(m *memSnapshot, b table, p memPair, rng *rand.Rand) {
			k := append([]byte{}, p.key...)
			k[rng.IntN(len(k))] ^= 1 << rng.IntN(8)
			memTx{m}.del(b, p.key)
			memTx{m}.put(b, k, p.val)
		},
		"cut value": func(m *memSnapshot, b table, p memPair, rng *rand.Rand) {
			memTx{m}.put(b, p.key, p.val[:rng.IntN(len(p.val))])
		},
		"lost pair": func(m *memSnapshot, b table, p memPair, _ *rand.Rand) {
			memTx{m}.del(b, p.key)
		},
		"pair of another bucket": func(m *memSnapshot, b table, p memPair, _ *rand.Rand) {
			memTx{m}.put((b+1)%tables, p.key, p.val)
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(40) {
				w, _ := settledWorld(t, seed%4)
				rng := rand.New(rand.NewPCG(seed, 9))
				b := table(rng.IntN(int(tables) + 1))
				n, _ := w.db.now().pair(b, 0)
				if n == 0 || b == tableMeta && name == "pair of another bucket" {
					continue
				}
				_, p := w.db.now().pair(b, rng.IntN(n))
				damage(w.db.now(), b, p, rng)
				if x, err := openIndex(w.db, StoreID{1}); !errors.Is(err, errIndexBad) && !(b == tableMeta && sameAsLog(w, x)) {
					t.Errorf("seed %d: %s in bucket %s is believed: %v", seed, name, b, err)
				}
				if name == "lost pair" || b == tableMeta {
					continue // an open index does not see that; the next open does
				}
				if _, err := w.x.digest(); err != nil && !errors.Is(err, errIndexBad) {
					t.Errorf("seed %d: reading says %v", seed, err)
				} else if err == nil && name != "pair of another bucket" {
					t.Errorf("seed %d: reading does not see a %s in bucket %s", seed, name, b)
				}
			}
		})
	}
}

// sameAsLog tells whether an index that was opened, with the log replayed from
// its position, is what the log makes: losing the checkpoint's record alone is
// harmless, since all is replayed then.
func sameAsLog(w *indexWorld, x *index) bool {
	if x == nil {
		return false
	}
	w.reopen()
	rebuilt := newIndex(emptyKV{}, StoreID{1})
	for _, l := range w.log {
		w.apply(rebuilt, l)
	}
	return sameIndex(w.x, rebuilt) == nil
}

// TestReadersSeeEverythingOnceDuringCheckpoints reads what does not change while
// other keys change and checkpoints move everything from level to level.
func TestReadersSeeEverythingOnceDuringCheckpoints(t *testing.T) {
	const files, extentsEach = 200, 40
	x := newIndex(newKVMem(), StoreID{1})
	x.txBytes = 3000
	for i := range files {
		name := fmt.Sprintf("f%03d", i)
		mustApply(t, x, frame{typ: frameEntry, lsn: 1, layer: 1, ino: 1, offset: 5, length: 4,
			payload: appendEntryValue([]byte(name), Entry{Ino: Ino(i)})}, i)
	}
	for i := range extentsEach {
		mustApply(t, x, frame{typ: frameData, lsn: 1, layer: 1, ino: 2, offset: uint64(i) * 1024, length: 512}, i)
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				last, n := "", 0
				err := x.entries(1, 1, 0, func(e DirEntry) bool {
					if e.Name <= last {
						t.Errorf("%q is listed after %q", e.Name, last)
					}
					last = e.Name
					n++
					return true
				})
				if err != nil || n != files {
					t.Errorf("%d entries (%v), want %d", n, err, files)
				}
				n = 0
				err = x.extents(1, 2, 0, 1<<30, func(e extent) bool {
					if e.off%1024 == 0 && e.length >= 512 {
						n++
					}
					return true
				})
				if err != nil || n < extentsEach {
					t.Errorf("%d extents (%v), want %d at least", n, err, extentsEach)
				}
				if _, ok, err := x.entry(1, 1, 5, "f100"); !ok || err != nil {
					t.Errorf("an entry is gone: %v", err)
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 40 {
		for range 60 { // extents between those that stay, so that chunks split
			lsn := LSN(2 + round)
			mustApply(t, x, frame{typ: frameData, lsn: lsn, layer: 1, ino: 2, offset: uint64(rng.IntN(1000))*1024 + 512, length: 100 + uint32(rng.IntN(400))}, rng.IntN(1000))
			mustApply(t, x, frame{typ: frameInode, lsn: lsn, layer: 1, ino: Ino(rng.IntN(50)), payload: appendInode(nil, &Inode{})}, rng.IntN(1000))
		}
		x.freeze(LSN(2+round), logPos{1, 512})
		if err := x.flush(); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	wg.Wait()
}

func TestApplyRefusesWhatDoesNotFit(t *testing.T) {
	x := newIndex(newKVMem(), StoreID{})
	for name, f := range map[string]frame{
		"name longer than the payload": {typ: frameEntry, length: 5, payload: []byte("abc")},
		"no name":                      {typ: frameEntryGone},
		"data beyond the last offset":  {typ: frameData, offset: 1<<63 - 10, length: 11},
		"too much data":                {typ: frameData, length: MaxData + 1},
	} {
		if err := x.apply(&f, loc{seg: 1, off: 512, size: 64}); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	last := frame{typ: frameData, offset: 1<<63 - 11, length: 10}
	if err := x.apply(&last, loc{seg: 1, off: 512, size: 64}); err != nil {
		t.Errorf("data at the very end: %v", err)
	}
	end := frame{typ: frameTruncate, offset: 1<<64 - 1}
	if err := x.apply(&end, loc{}); err != nil {
		t.Errorf("truncate beyond the last offset: %v", err)
	}
}

// FuzzIndexValue opens any bytes as a pair of any table. What is taken must be
// written back as the same bytes, and must not panic where it is used.
func FuzzIndexValue(f *testing.F) {
	at := loc{seg: 3, off: 512, size: 208}
	seed := func(b table, key, val []byte) { f.Add(byte(b), key, appendStored(nil, b, key, val, 9)) }
	seed(tableInode, keyOfIno(1, 2), pointerValue(at, appendInode(nil, &Inode{Target: "x"})))
	seed(tableEntry, keyOfEntry(1, 2, 3, []byte("name")), pointerValue(at, appendEntryValue(nil, Entry{Ino: 5, Type: TypeDir})))
	seed(tableOrigin, keyOfIno(noLayer, 2), pointerValue(at, appendOrigin(nil, Origin{Parent: 1, Name: "n"})))
	seed(tableLayer, keyOfLayer(1), pointerValue(at, appendLayer(nil, Layer{ID: 1, Name: "main"})))
	seed(tableExtent, keyOfExtent(1, 2, 0), encodeChunk([]extent{{off: 5, length: 5, seg: 1, lsn: 1}, {off: 10, length: 1, seg: 2, lsn: 9}}))
	f.Add(byte(tableExtent), keyOfExtent(1, 2, 1<<62), []byte{})
	f.Fuzz(func(t *testing.T, n byte, key, stored []byte) {
		b := table(n) % tables
		v, lsn, err := openStored(nil, b, key, stored)
		if err != nil {
			// The checksum stops nearly all; what has a right one must do as well.
			if checkKey(b, key) != nil || checkValue(b, key, stored) != nil {
				return
			}
			v, lsn = stored, 7
		} else if again := appendStored(nil, b, key, v, lsn); string(again) != string(stored) && (b != tableExtent || stored[len(stored)-4] == packed) {
			t.Fatalf("%x is written back as %x", stored, again)
		}
		db := newKVMem()
		db.update(func(tx kvTx) error { return tx.put(b, key, appendStored(nil, b, key, v, lsn)) })
		x := newIndex(db, StoreID{})
		l := keyLayer(key)
		if b == tableLayer {
			x.layers()
		} else {
			x.inode(l, keyIno(key))
			x.origin(keyIno(key))
			x.extents(l, keyIno(key), 0, 1<<62, func(extent) bool { return true })
		}
		x.eachEntry(l, func(Ino, DirEntry) bool { return true })
		if _, err := x.digest(); err != nil {
			t.Fatalf("what opens one by one is refused in a listing: %v", err)
		}
		x.recount()
	})
}

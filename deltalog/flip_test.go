package deltalog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"deltafs/deltalog/disk"
	"deltafs/deltalog/simdisk"
)

// flipTally counts what became of flipped bits.
type flipTally struct{ flips, refused, readOnly, detected, harmless, salvaged, whole int }

// runFlips closes a store cleanly, and then flips one bit of its files, each time
// another: what is read is right, or the store says that it is damaged.
func runFlips(seed uint64, flips int, t *flipTally) error {
	w, err := newLife(seed)
	if err == nil {
		err = w.run(80)
	}
	if err == nil {
		err = w.s.Close()
	}
	if err != nil {
		return fmt.Errorf("history %d: %w", seed, err)
	}
	r := w.d.Replay()
	for more := true; more; {
		_, more = r.Next()
	}
	rng := rand.New(rand.NewPCG(seed, 20))
	for range flips {
		img := r.Crash(simdisk.KeepAll)
		name, at, bit, err := flip(img, rng)
		if err != nil {
			return err
		}
		index := w.kv.at
		if rng.IntN(2) == 0 {
			index = nil
		}
		t.flips++
		if err := w.judgeFlip(img, index, t); err != nil {
			return fmt.Errorf("history %d, bit %d of byte %d of %s, index %v: %w", seed, bit, at, name, index != nil, err)
		}
	}
	return nil
}

// flip flips a bit of a file of a store, mostly of a segment.
func flip(d *simdisk.Disk, rng *rand.Rand) (name string, at int64, bit int, err error) {
	name = superName
	if rng.IntN(50) > 0 {
		names, err := d.List(logDir)
		if err != nil {
			return "", 0, 0, err
		}
		name = logDir + "/" + names[rng.IntN(len(names))]
	}
	f, err := d.Open(name, true)
	if err != nil {
		return name, 0, 0, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return name, 0, 0, err
	}
	at, bit = rng.Int64N(size), rng.IntN(8)
	var p [1]byte
	if _, err := f.ReadAt(p[:], at); err != nil {
		return name, at, bit, err
	}
	p[0] ^= 1 << bit
	_, err = f.WriteAt(p[:], at)
	return name, at, bit, err
}

// judgeFlip opens a store with a flipped bit and reads all of it.
func (w *life) judgeFlip(img disk.FS, index *memSnapshot, t *flipTally) error {
	d := img.(*simdisk.Disk)
	s, err := Open(lifeDir, w.optionsOf(d, newCrashKV(d, index)))
	if err != nil {
		if errors.Is(err, ErrDamaged) || errors.Is(err, ErrNotStore) || errors.Is(err, ErrVersion) {
			t.refused++
			return nil
		}
		return fmt.Errorf("open: %w", err)
	}
	info, err := s.Info()
	if err != nil {
		return fmt.Errorf("info: %w", err)
	}
	if info.ReadOnly != "" {
		t.readOnly++
		if t.readOnly%10 == 0 {
			if err := w.salvage(d, index, t); err != nil {
				return fmt.Errorf("salvage: %w", err)
			}
		}
	}
	got, err := readOracle(s, w.files)
	switch {
	case err != nil && errors.Is(err, ErrDamaged):
		t.detected++
	case err != nil:
		return fmt.Errorf("read: %w", err)
	case got.sum == w.m.sum:
		t.harmless++
	case info.ReadOnly == "":
		return fmt.Errorf("the store is not what it was, and says nothing: %w", errors.New(got.diff(w.m)))
	}
	return nil
}

// salvage makes a new store of a damaged one: it is sound, it takes changes, and
// with an index all that was not damaged is as it was, but for zeros where it says so.
func (w *life) salvage(d *simdisk.Disk, index *memSnapshot, t *flipTally) error {
	o := w.optionsOf(d, newCrashKV(d, index))
	o.ReadOnly = true
	s, err := Open(lifeDir, o)
	if err != nil {
		return err
	}
	fresh := simdisk.New()
	kv := newCrashKV(fresh, nil)
	r, err := s.salvage(lifeDir, w.optionsOf(fresh, kv))
	if errors.Is(err, ErrDamaged) && index == nil { // the first segment is lost, and all layers with it
		return nil
	}
	if err != nil {
		return err
	}
	t.salvaged++
	if s, err = Open(lifeDir, w.optionsOf(fresh, kv)); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	info, err := s.Info()
	if err != nil || info.ReadOnly != "" {
		return fmt.Errorf("the new store: %+v, %w", info, orNone(err))
	}
	got, err := readOracle(s, w.files)
	if err != nil {
		return err
	}
	if err := checkStore(s); err != nil {
		return err
	}
	if index == nil {
		return nil
	}
	want := w.m.clone()
	for _, l := range r.Lost { // a layer's loss shows in each view that sees it
		for k, rs := range want.files {
			if k.ino == l.Ino {
				delete(want.files, k)
				want.sum -= sumFile(k, rs)
				got.setFile(k, nil)
			}
		}
	}
	if got.sum != want.sum {
		return fmt.Errorf("%d ranges are said to be lost, and this differs: %w", len(r.Lost), errors.New(got.diff(want)))
	}
	if len(r.Lost) == 0 {
		t.whole++
	}
	return nil
}

// TestFlips flips bits all over stores that were closed.
func TestFlips(t *testing.T) {
	from, to := crashScale(t, 40)
	var tally flipTally
	for seed := from; seed < to; seed++ {
		if err := runFlips(uint64(seed), 500, &tally); err != nil {
			t.Fatal("DELTAFS_HISTORY=" + strconv.Itoa(seed) + ": " + err.Error())
		}
	}
	t.Logf("%d bits: %d stores refused, %d read-only, %d reads say so, %d harmless; %d salvaged, %d of them whole", tally.flips, tally.refused, tally.readOnly, tally.detected, tally.harmless, tally.salvaged, tally.whole)
	if os.Getenv("DELTAFS_HISTORY") == "" && (tally.refused == 0 || tally.readOnly == 0 || tally.detected == 0 || tally.salvaged == 0) {
		t.Error("too little was damaged for the test to mean anything")
	}
}

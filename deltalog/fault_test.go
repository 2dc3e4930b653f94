package deltalog

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"deltafs/deltalog/disk"
	"deltafs/deltalog/simdisk"
)

// faultKind is a way for the disk to fail.
type faultKind struct {
	name    string
	fault   simdisk.Fault
	noSpace bool // the store must live on
}

func faultKinds() []faultKind {
	writes := []simdisk.Kind{simdisk.Write}
	growing := []simdisk.Kind{simdisk.Write, simdisk.Allocate, simdisk.Create, simdisk.Mkdir, simdisk.Rename}
	syncs := []simdisk.Kind{simdisk.Sync, simdisk.SyncDir}
	return []faultKind{
		{"EIO once", simdisk.Fault{}, false},
		{"failing sync once", simdisk.Fault{Kinds: syncs}, false},
		{"no space once", simdisk.Fault{Kinds: growing, Err: disk.ErrNoSpace}, true},
		{"short write once", simdisk.Fault{Kinds: writes, Short: true}, false},
		{"EIO for good", simdisk.Fault{Forever: true}, false},
		{"failing syncs for good", simdisk.Fault{Kinds: syncs, Forever: true}, false},
		{"no space for good", simdisk.Fault{Kinds: growing, Err: disk.ErrNoSpace, Forever: true}, true},
		{"short write, then no space for good", simdisk.Fault{Kinds: writes, Err: disk.ErrNoSpace, Short: true, Forever: true}, true},
	}
}

// faultTally counts what a run of fault tests went through.
type faultTally struct{ runs, hits, poisoned, noSpace, opens int }

// runFaults runs one history against every kind of fault: each at every
// stride-th operation, beginning with another one for each history.
func runFaults(seed uint64, steps, stride int, t *faultTally) error {
	for i, k := range faultKinds() {
		for at := 1 + (int(seed)+i)%stride; ; at += stride {
			k.fault.At = at
			hit, err := runFault(seed, steps, k, t)
			if err != nil {
				return fmt.Errorf("history %d, %s, operation %d: %w", seed, k.name, at, err)
			}
			if !hit { // the history is over before
				break
			}
		}
	}
	return nil
}

// runFault runs one history against one fault.
func runFault(seed uint64, steps int, k faultKind, t *faultTally) (hit bool, err error) {
	t.runs++
	w, err := newLife(seed)
	if err != nil {
		return false, err
	}
	f := &faulty{life: w, kind: k}
	w.d.Inject(k.fault)
	for n := 0; n < steps && f.after < 6; n++ {
		if err := f.step(); err != nil {
			w.d.Heal()
			return true, err
		}
	}
	hits := w.d.Heal()
	t.hits += hits
	if f.poisoned {
		t.poisoned++
	}
	if f.spaceless > 0 {
		t.noSpace++
	}
	t.opens += f.noOpen
	f.end, f.atEnd = len(w.d.Trace()), w.kv.at
	if err := f.kill(); err != nil {
		return true, err
	}
	for _, seed := range []uint64{simdisk.LoseAll, simdisk.KeepAll, 2, 3} {
		if err := f.cut(seed); err != nil {
			return true, fmt.Errorf("power cut %d: %w", seed, err)
		}
	}
	return hits > 0, nil
}

// faulty drives a life whose disk fails.
type faulty struct {
	*life
	kind      faultKind
	synced    int
	doubt     []edit // the batch whose append failed by poison: it may survive or not
	poisoned  bool
	spaceless int
	noOpen    int
	after     int // steps since the store was poisoned or could not be opened
	down      bool
	end       int // of the trace, when the disk was healed
	atEnd     *memSnapshot
}

// step does a step and judges its error.
func (f *faulty) step() error {
	if f.down {
		f.after++
		return nil
	}
	var err error
	var es []edit
	switch p := f.rng.IntN(100); {
	case p < 22:
		err = f.life.sync()
		if err == nil {
			f.synced = f.lastSynced
		}
	case p < 30:
		err = f.life.checkpoint()
	case p < 34:
		return f.reopen()
	case p < 40:
		err = f.life.clean()
	case p < 44:
		es = f.randomRestack()
		err = f.life.append(es)
	case p < 46:
		err = f.life.settle()
	default:
		es = f.randomBatch()
		err = f.life.append(es)
	}
	return f.judge(err, es)
}

func (f *faulty) judge(err error, es []edit) error {
	if f.poisoned {
		f.after++
		if !errors.Is(err, ErrPoisoned) {
			return fmt.Errorf("the store is poisoned, but an operation says %w", orNone(err))
		}
		return f.readable()
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNoSpace) && f.kind.noSpace:
		f.spaceless++
		return f.readable()
	case f.kind.noSpace:
		return fmt.Errorf("the disk is full, and the error is %w", err)
	case !errors.Is(err, ErrPoisoned) && !errors.Is(err, syscall.EIO):
		return fmt.Errorf("an error of another kind: %w", err)
	}
	// An EIO poisons unless it was in something that the log does not need.
	if _, serr := f.s.Append(&Batch{}); !errors.Is(serr, ErrPoisoned) {
		if es != nil {
			return fmt.Errorf("an append failed (%w), but the store lives on: %w", err, orNone(serr))
		}
		return nil
	}
	f.poisoned, f.doubt = true, es
	return f.readable()
}

func orNone(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}

// readable sees that the store shows all that was appended, whatever failed.
func (f *faulty) readable() error {
	got, err := readOracle(f.s, f.files)
	if err != nil {
		return fmt.Errorf("read after a fault: %w", err)
	}
	if got.sum != f.m.sum {
		return fmt.Errorf("a fault changed what is read: %w", errors.New(got.diff(f.m)))
	}
	return nil
}

// reopen closes and opens while the disk may fail.
func (f *faulty) reopen() error {
	err := f.s.Close()
	if err == nil {
		f.synced = f.batches()
	}
	s, err := Open(lifeDir, f.options())
	if err != nil { // it may well fail, but must not harm: kill sees to that
		f.down = true
		f.noOpen++
		return nil
	}
	got, err := readOracle(s, f.files)
	if err != nil {
		return fmt.Errorf("read after reopening: %w", err)
	}
	if !f.mayHold(f.batches())[got.sum] {
		return fmt.Errorf("reopening changed the store: %w", errors.New(got.diff(f.m)))
	}
	if got.sum != f.m.sum { // the batch in doubt is there
		f.note(s.LastLSN(), f.doubt)
	}
	f.use(s)
	f.poisoned, f.doubt = false, nil
	f.synced = f.batches() // Open syncs what it finds
	return nil
}

// mayHold returns what a store may hold that has lost nothing synced.
func (f *faulty) mayHold(from int) map[uint64]bool {
	ok := map[uint64]bool{}
	for _, sum := range f.sums[from:] {
		ok[sum] = true
	}
	if f.doubt != nil {
		m := f.m.clone()
		for _, e := range f.doubt {
			m.apply(e)
		}
		ok[m.sum] = true
	}
	return ok
}

// kill ends the process, not the machine, and opens the store on a disk that
// works again: everything that was appended is there. What is read then is
// acknowledged, and survives the machine's death.
func (f *faulty) kill() error {
	s, err := Open(lifeDir, f.options())
	if err != nil {
		return fmt.Errorf("open on a healed disk: %w", err)
	}
	got, err := f.check(s, f.mayHold(f.batches()))
	if err != nil {
		return fmt.Errorf("killed: %w", err)
	}
	img := f.d.CrashAt(len(f.d.Trace()), simdisk.LoseAll)
	s, err = Open(lifeDir, f.optionsOf(img, newCrashKV(img, f.kv.at)))
	if err != nil {
		return fmt.Errorf("open after kill and power cut: %w", err)
	}
	if _, err := f.check(s, map[uint64]bool{got: true}); err != nil {
		return fmt.Errorf("killed, opened, and the power cut: %w", err)
	}
	return nil
}

// cut ends the machine where the trace of the faults ended.
func (f *faulty) cut(seed uint64) error {
	img := f.d.CrashAt(f.end, seed)
	s, err := Open(lifeDir, f.optionsOf(img, newCrashKV(img, f.atEnd)))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	_, err = f.check(s, f.mayHold(f.synced))
	return err
}

func (f *faulty) check(s *Store, ok map[uint64]bool) (uint64, error) {
	info, err := s.Info()
	if err != nil {
		return 0, err
	}
	if info.ReadOnly != "" {
		return 0, fmt.Errorf("the store is read-only: %s", info.ReadOnly)
	}
	got, err := readOracle(s, f.files)
	if err != nil {
		return 0, err
	}
	if !ok[got.sum] {
		return 0, fmt.Errorf("batches 0 to %d, synced to %d; the store holds something else: %w",
			f.batches(), f.synced, errors.New(got.diff(f.m)))
	}
	return got.sum, checkStore(s)
}

// TestFaults lets the disk fail at every operation, in every way.
func TestFaults(t *testing.T) {
	from, to := crashScale(t, 20)
	var tally faultTally
	for seed := from; seed < to; seed++ {
		if err := runFaults(uint64(seed), 40, 1, &tally); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d histories, %d runs with a fault, %d of %d failed operations poisoned the store, %d found no space, %d could not open",
		to-from, tally.runs, tally.poisoned, tally.hits, tally.noSpace, tally.opens)
	if n := to - from; n >= 2 && (tally.poisoned < 8*n || tally.noSpace < 5*n || tally.opens == 0) {
		t.Error("too little failed for the test to mean anything")
	}
}

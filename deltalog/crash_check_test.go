package deltalog

import (
	"errors"
	"fmt"
	"maps"

	"deltafs/deltalog/simdisk"
)

// crashTally counts what a run of crash tests went through.
type crashTally struct {
	histories, crashes, again                 int
	trims, rotations, recycled, reopen, kills int
	cleanedHot, cleanedCold                   int
	restacks, settles                         int
	images                                    map[[2]uint64]bool // disk and index
	seen                                      map[state]bool
}

// state is an image and what must be found on it: one image may be left by
// crashes before and after the acknowledgement of a sync.
type state struct {
	disk, index      uint64
	synced, appended int
}

func newTally() *crashTally {
	return &crashTally{images: map[[2]uint64]bool{}, seen: map[state]bool{}}
}

// add counts an image and reports whether there is anything new to be seen.
func (t *crashTally) add(d *simdisk.Disk, b bounds) bool {
	s := state{d.Sum(), b.index.sum(), b.synced, b.appended}
	if t.seen[s] {
		return false
	}
	t.seen[s] = true
	t.images[[2]uint64{s.disk, s.index}] = true
	return true
}

// crashPlan says how much of a history is tested.
type crashPlan struct {
	lives, steps int // per history
	seeds        int // random crashes at each place, beside one that loses all, and at each third one that keeps all
	every        int // of the recoveries, one in so many is crashed again, and so on
	lost         int // of the crashes, one in so many is recovered from without the index, too
}

// seedsAt returns the seeds to crash with at a position of a trace.
func (p crashPlan) seedsAt(pos int) []uint64 {
	seeds := []uint64{simdisk.LoseAll}
	if pos%3 == 0 {
		seeds = append(seeds, simdisk.KeepAll)
	}
	for i := range p.seeds {
		seeds = append(seeds, uint64(2+pos*p.seeds+i))
	}
	return seeds
}

// runHistory runs one history and crashes it everywhere. The error says how to
// see it again.
func runHistory(seed uint64, p crashPlan, t *crashTally) error {
	t.histories++
	w, err := newLife(seed)
	for n := 0; err == nil; n++ {
		if err = w.run(p.steps); err != nil {
			break
		}
		if err = w.crashAll(p, t); err != nil || n+1 == p.lives {
			break
		}
		err = w.rebirth()
	}
	if w != nil {
		t.trims, t.rotations, t.recycled = t.trims+w.trims, t.rotations+w.rotations, t.recycled+w.recycled
		t.reopen, t.kills = t.reopen+w.reopens, t.kills+w.kills
		t.restacks, t.settles = t.restacks+w.restacks, t.settles+w.settles
		t.cleanedHot, t.cleanedCold = t.cleanedHot+w.cleanedHot, t.cleanedCold+w.cleanedCold
	}
	if err != nil {
		return fmt.Errorf("history %d: %w", seed, err)
	}
	return nil
}

// matters reports whether a crash just before op differs from one before the
// operation before it: marks of the test change nothing, but the index's do.
func matters(op simdisk.Op) bool {
	if op.Kind != simdisk.Mark {
		return true
	}
	_, index := op.Value.(markIndex)
	return index
}

// crashAll crashes at every operation of the life so far.
func (w *life) crashAll(p crashPlan, t *crashTally) error {
	r, b := w.d.Replay(), bounds{index: w.kv.base}
	for {
		op, more := r.Peek()
		if b.opened && (!more || matters(op)) {
			for _, seed := range p.seedsAt(r.Pos()) {
				if err := w.crash(r, b, seed, p, t); err != nil {
					return fmt.Errorf("crash before operation %d (%v), seed %d: %w", r.Pos(), op, seed, err)
				}
			}
		}
		if !more {
			return nil
		}
		r.Next()
		b.follow(op)
	}
}

// crash recovers from one crash.
func (w *life) crash(r *simdisk.Replay, b bounds, seed uint64, p crashPlan, t *crashTally) error {
	img := r.Crash(seed)
	if !t.add(img, b) {
		return nil
	}
	t.crashes++
	a := &after{w: w, d: img, kv: newCrashKV(img, b.index), bounds: b, fresh: t.crashes%4 == 0}
	if err := a.recover(); err != nil {
		return err
	}
	if t.crashes%p.lost == 0 { // the same crash, and the index is lost too
		img := r.Crash(seed)
		l := &after{w: w, d: img, kv: newCrashKV(img, nil), bounds: b}
		if err := l.recover(); err != nil {
			return fmt.Errorf("without an index: %w", err)
		}
	}
	if t.crashes%p.every == 0 {
		return a.crashAgain(seed, p, t)
	}
	return nil
}

// after is a disk after a crash, and what its recovery may find.
type after struct {
	w  *life
	d  *simdisk.Disk
	kv *crashKV
	bounds
	fresh bool // look closer: rebuild, write on

	s *Store
	n int // the batch that the store had got to
}

func (a *after) options() Options {
	return a.w.optionsOf(a.d, a.kv)
}

// recover opens the store and checks all that recovery promises.
func (a *after) recover() error {
	if err := a.open(); err != nil {
		return err
	}
	if ino := a.s.NewIno(); ino&Born == 0 {
		return fmt.Errorf("NewIno gives %x, which is none of ours", uint64(ino))
	} else if first, ok := a.w.used[ino]; ok && first <= a.n {
		return fmt.Errorf("NewIno gives %x again, which batch %d used", uint64(ino), first)
	}
	if err := checkStore(a.s); err != nil {
		return err
	}
	if !a.fresh {
		return nil
	}
	if err := a.rebuild(); err != nil {
		return err
	}
	return a.goOn()
}

// open opens the store and finds out which batch it got to.
func (a *after) open() error {
	s, err := Open(lifeDir, a.options())
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	a.s = s
	info, err := s.Info()
	if err != nil {
		return fmt.Errorf("info: %w", err)
	}
	if info.ReadOnly != "" {
		return fmt.Errorf("a crash alone made the store read-only: %s", info.ReadOnly)
	}
	got, err := readOracle(s, a.w.files)
	if err != nil {
		return fmt.Errorf("read after recovery: %w", err)
	}
	a.n, err = a.w.find(got, a.bounds)
	a.d.Mark(markRecovered(a.n))
	return err
}

// checkStore checks a store in itself: its index against what it counts.
func checkStore(s *Store) error {
	live, err := s.x.recount()
	if err != nil {
		return fmt.Errorf("recount: %w", err)
	}
	if counted := s.x.live(); !maps.Equal(live, counted) {
		return fmt.Errorf("live bytes by segment are counted as %v, and are %v", counted, live)
	}
	return s.checkPlaces()
}

// rebuild opens a copy of the store without its index, and compares the one
// that is made from the log alone.
func (a *after) rebuild() error {
	img := a.d.CrashAt(len(a.d.Trace()), simdisk.KeepAll)
	s, err := Open(lifeDir, a.w.optionsOf(img, newCrashKV(img, nil)))
	if err != nil {
		return fmt.Errorf("open without an index: %w", err)
	}
	if err := a.s.x.sweepAll(); err != nil { // what a rebuilt index has not
		return fmt.Errorf("sweep: %w", err)
	}
	want, err := a.s.x.digest()
	if err != nil {
		return fmt.Errorf("digest: %w", err)
	}
	got, err := s.x.digest()
	if err != nil {
		return fmt.Errorf("digest of a rebuilt index: %w", err)
	}
	if got != want {
		return fmt.Errorf("a rebuilt index has digest %x, the old one %x", got, want)
	}
	read, err := readOracle(s, a.w.files)
	if err != nil {
		return fmt.Errorf("read by a rebuilt index: %w", err)
	}
	if same, err := readOracle(a.s, a.w.files); err != nil || same.sum != read.sum {
		return fmt.Errorf("a rebuilt index shows %s, %w", read.diff(same), orNone(err))
	}
	wantLive, err := a.s.x.recount()
	if err != nil {
		return fmt.Errorf("live bytes: %w", err)
	}
	gotLive, err := s.x.recount()
	if err != nil {
		return fmt.Errorf("live bytes of a rebuilt index: %w", err)
	}
	// A record that was being moved has two places.
	if total(gotLive) != total(wantLive) {
		return fmt.Errorf("live bytes are %v by a rebuilt index, %v by the old one", gotLive, wantLive)
	}
	return s.checkPlaces()
}

// goOn writes, syncs, crashes with the loss of everything else, and looks
// whether it is all there.
func (a *after) goOn() error {
	e := edit{kind: "origin", l: mainView, ino: 99, origin: Origin{Parent: 1, Name: "after the crash"}}
	i := edit{kind: "inode", l: mainView, ino: 98, rec: Inode{Mode: TypeRegular}}
	d := edit{kind: "data", l: mainView, ino: 98, off: 3000, data: []byte("after the crash")}
	a.d.Mark(markStop{})
	var b Batch
	drafts := drafts{}
	for _, e := range []edit{e, i, d} {
		if err := e.put(a.s, &b, drafts); err != nil {
			return err
		}
	}
	lsn, err := a.s.Append(&b)
	if err != nil {
		return fmt.Errorf("append after recovery: %w", err)
	}
	if err := a.s.Sync(lsn); err != nil {
		return fmt.Errorf("sync after recovery: %w", err)
	}
	want := a.w.at(a.n)
	want.apply(e)
	want.apply(i)
	want.apply(d)
	img := a.d.CrashAt(len(a.d.Trace()), simdisk.LoseAll)
	s, err := Open(lifeDir, a.w.optionsOf(img, newCrashKV(img, a.kv.at)))
	if err != nil {
		return fmt.Errorf("open after a second crash: %w", err)
	}
	got, err := readOracle(s, append(a.w.files, 98))
	if err != nil {
		return fmt.Errorf("read after a second crash: %w", err)
	}
	if got.sum != want.sum {
		return fmt.Errorf("a second crash changed the store: %w", errors.New(got.diff(want)))
	}
	return nil
}

// crashAgain crashes the recovery at its operations. What it returned from Open
// is durable.
func (a *after) crashAgain(seed uint64, p crashPlan, t *crashTally) error {
	w := a.w
	r, b := a.d.Replay(), a.bounds
	b.index = a.kv.base
	for step := 0; ; step++ {
		op, more := r.Peek()
		_, stop := op.Value.(markStop)
		more = more && !stop
		if !more || matters(op) {
			img := r.Crash(seed + uint64(step))
			if t.add(img, b) {
				t.again++
				n := &after{w: w, d: img, kv: newCrashKV(img, b.index), bounds: b}
				if err := n.recover(); err != nil {
					return fmt.Errorf("crash of the recovery before operation %d (%v), seed %d: %w", r.Pos(), op, seed+uint64(step), err)
				}
			}
		}
		if !more {
			return nil
		}
		r.Next()
		b.follow(op)
	}
}

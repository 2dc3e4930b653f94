package deltalog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"deltafs/deltalog/disk"
	"deltafs/deltalog/simdisk"
)

// A history is made of lives. A life begins with a disk as a crash left it (the
// first: with an empty one), opens the store, changes it, syncs it, closes and
// reopens it, and ends in a crash anywhere on its way. Everything that the
// oracle must know about a moment of it is a mark in the disk's trace.

const (
	lifeSegment = 64 << 10
	lifeDir     = "store" // only named in errors
)

// Marks in the trace.
type (
	markAppend    int                       // the batch of this number is being appended
	markSynced    int                       // all batches up to this one are acknowledged as synced
	markIndex     struct{ at *memSnapshot } // the index was committed
	markOpen      struct{}                  // the life has begun
	markRecovered int                       // a recovery has returned, with this batch as the last
	markStop      struct{}                  // what follows is not of the history any more
)

// life is one life of a store, and what it should hold.
type life struct {
	seed uint64
	rng  *rand.Rand
	d    *simdisk.Disk
	kv   *crashKV
	s    *Store

	m          *oracle
	sums       []uint64    // digest of m after each batch; [0] is what the life began with
	lsns       []LSN       // of each batch; [0] is 0
	edit       [][]edit    // batches, to replay them for messages
	from       *oracle     // what the life began with
	used       map[Ino]int // born numbers: batch that first used them; 0 from earlier lives
	inos       []Ino       // to pick from
	files      []Ino       // that ever had data
	opens      uint64      // of stores, on any disk
	lastSynced int         // batch, as far as acknowledged
	bad        error       // found by a random edit

	trims, rotations, recycled, reopens, kills int
	cleanedHot, cleanedCold                    int
	restacks, settles                          int
	views                                      LayerID // the last number given to one
}

func (w *life) options() Options {
	return w.optionsOf(w.d, w.kv)
}

// optionsOf returns options with which a store does the same again for the same
// seed and history, but has other salts each time that it is opened.
func (w *life) optionsOf(d disk.FS, k *crashKV) Options {
	w.opens++
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], w.seed)
	binary.LittleEndian.PutUint64(key[8:], w.opens)
	return Options{
		FS: d, Manual: true, SegmentSize: lifeSegment, openKV: k.open,
		Cleaner: CleanerOptions{Compress: w.seed%2 == 1},
		rand:    rand.NewChaCha8(key), now: func() time.Time { return time.Unix(1, 0) },
	}
}

// newLife begins the first life of a history.
func newLife(seed uint64) (*life, error) {
	w := &life{seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), d: simdisk.New(),
		m: newOracle(), used: map[Ino]int{}}
	for i := range 4 {
		w.inos = append(w.inos, Ino(100+i))
	}
	w.kv = newCrashKV(w.d, nil)
	s, err := Create(lifeDir, w.options())
	if err != nil {
		return w, fmt.Errorf("create: %w", err)
	}
	w.use(s)
	w.views = mainView
	w.m.set(viewKey{mainView}, true)
	w.begin()
	return w, nil
}

// use goes on with a store that was opened. Its checkpoints take several
// transactions, so that a crash can come between.
func (w *life) use(s *Store) {
	w.s = s
	s.x.txBytes = 1500
}

// begin starts the books of a life: the store holds m, durably.
func (w *life) begin() {
	w.from = w.m.clone()
	w.sums, w.lsns, w.edit = []uint64{w.m.sum}, []LSN{0}, [][]edit{nil}
	for ino := range w.used {
		w.used[ino] = 0
	}
	w.d.Mark(markOpen{})
}

// rebirth ends the life in a crash at random, and begins the next.
func (w *life) rebirth() error {
	w.count()
	var r *simdisk.Replay
	var b bounds
	for to := w.rng.IntN(len(w.d.Trace())); r == nil || !b.opened || r.Pos() < to; {
		if r == nil {
			r, b = w.d.Replay(), bounds{index: w.kv.base}
		}
		op, ok := r.Next()
		if !ok {
			break
		}
		b.follow(op)
	}
	img := r.Crash(w.rng.Uint64N(50))
	a := &after{w: w, d: img, kv: newCrashKV(img, b.index), bounds: b}
	if err := a.open(); err != nil {
		return fmt.Errorf("next life: %w", err)
	}
	for ino, first := range w.used {
		if first > a.n {
			delete(w.used, ino)
		}
	}
	w.forgetUnused()
	w.m = w.at(a.n)
	w.d, w.kv = a.d, a.kv
	w.use(a.s)
	w.begin()
	return nil
}

// forgetUnused forgets numbers that the process which got them has not used:
// they may be given out again.
func (w *life) forgetUnused() {
	w.inos = slices.DeleteFunc(w.inos, func(ino Ino) bool {
		_, ok := w.used[ino]
		return ino&Born != 0 && !ok
	})
}

// count adds up what the trace of this life shows.
func (w *life) count() {
	for _, op := range w.d.Trace() {
		name := op.Name
		if op.Kind == simdisk.Rename {
			name = op.To
			if strings.HasSuffix(op.Name, segSuffix) && strings.HasSuffix(op.To, segSuffix) {
				w.recycled++
			}
		}
		if (op.Kind == simdisk.Create || op.Kind == simdisk.Rename) && strings.HasSuffix(name, segSuffix) {
			w.rotations++
		}
	}
}

// batches returns the number of batches of this life.
func (w *life) batches() int { return len(w.sums) - 1 }

// run does n steps.
func (w *life) run(n int) error {
	for range n {
		if err := w.step(); err != nil {
			return err
		}
	}
	return nil
}

func (w *life) step() error {
	if w.bad != nil {
		return w.bad
	}
	switch p := w.rng.IntN(100); {
	case p < 16:
		return w.sync()
	case p < 21:
		return w.checkpoint()
	case p < 23:
		return w.reopen()
	case p < 28:
		return w.sweep()
	case p < 31:
		return w.kill()
	case p < 37:
		return w.clean()
	case p < 41:
		return w.restack()
	case p < 43:
		return w.settle()
	default:
		return w.append(w.randomBatch())
	}
}

func (w *life) append(es []edit) error {
	var b Batch
	if len(es) > 0 && es[0].restacks() {
		return w.appendBy(es, es[0].restack)
	}
	d := drafts{}
	for _, e := range es {
		if err := e.put(w.s, &b, d); err != nil {
			return err
		}
	}
	if w.rng.IntN(4) == 0 {
		b.Tag([]byte("tag")[:w.rng.IntN(4)])
	}
	return w.appendBy(es, func(s *Store) (LSN, error) { return s.Append(&b) })
}

func (w *life) appendBy(es []edit, fn func(*Store) (LSN, error)) error {
	n := len(w.sums)
	w.d.Mark(markAppend(n))
	lsn, err := fn(w.s)
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	if last := w.lsns[n-1]; lsn <= last {
		return fmt.Errorf("batch %d has LSN %d, the one before it %d", n, lsn, last)
	}
	w.note(lsn, es)
	return nil
}

// note enters a batch that the store has taken into the books.
func (w *life) note(lsn LSN, es []edit) {
	n := len(w.sums)
	for _, e := range es {
		w.m.apply(e)
		if e.kind == "data" && !slices.Contains(w.files, e.ino) {
			w.files = append(w.files, e.ino)
		}
		for _, ino := range []Ino{e.ino, e.entry.Ino} {
			if _, ok := w.used[ino]; !ok && ino&Born != 0 {
				w.used[ino] = n
			}
		}
	}
	w.sums, w.lsns, w.edit = append(w.sums, w.m.sum), append(w.lsns, lsn), append(w.edit, es)
}

// restack makes a snapshot or a fork, goes back to a snapshot, or gives one up.
func (w *life) restack() error {
	es := w.randomRestack()
	w.restacks++
	return w.append(es)
}

func (w *life) randomRestack() []edit {
	lives, frozen := w.m.views(true), w.m.views(false)
	pick := func(ls []LayerID) LayerID { return ls[w.rng.IntN(len(ls))] }
	w.views++
	p := w.rng.IntN(10)
	switch {
	case len(frozen)+len(lives) > 5 || p < 3 && len(frozen) > 0:
		all := append(slices.Clone(frozen), lives[1:]...) // not main
		return []edit{{kind: "forget", l: pick(all)}}
	case p < 7 || len(frozen) == 0:
		return []edit{{kind: "snapshot", l: w.views, from: pick(lives)}}
	case p < 8:
		return []edit{{kind: "fork", l: w.views, from: pick(frozen)}}
	}
	return []edit{{kind: "rollback", l: pick(lives), from: pick(append(frozen, noLayer)), off: int64(w.views)}}
}

// settle makes the store settle, a bit or in whole.
func (w *life) settle() error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	n := w.rng.IntN(40)
	rest := func() {
		if n--; n == 0 {
			stop()
		}
	}
	w.settles++
	if err := w.s.Settle(ctx, rest); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	return nil
}

// sync syncs up to some batch of this life.
func (w *life) sync() error {
	n := w.batches()
	if n > 2 && w.rng.IntN(4) == 0 {
		n -= w.rng.IntN(3)
	}
	if err := syncOrBeTold(w.s, w.lsns[n], n%2 == 1); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	w.lastSynced = max(w.lastSynced, n)
	w.d.Mark(markSynced(n))
	return nil
}

func (w *life) checkpoint() error {
	before, err := w.s.Info()
	if err != nil {
		return fmt.Errorf("info: %w", err)
	}
	if err := w.s.Checkpoint(); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	info, err := w.s.Info()
	if err == nil && info.Segments < before.Segments {
		w.trims++
	}
	return err
}

// clean frees some segments, whatever it costs.
func (w *life) clean() error {
	if w.rng.IntN(2) == 0 || len(w.s.victims()) == 0 {
		if err := w.s.Checkpoint(); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
	}
	for range 1 + w.rng.IntN(4) {
		vs := w.s.victims()
		if len(vs) == 0 {
			return nil
		}
		v := vs[w.rng.IntN(len(vs))]
		if w.rng.IntN(3) > 0 {
			v = vs[0] // the hot one, if there is one
		}
		if _, err := w.s.cleanOne(v, nil); err != nil {
			return fmt.Errorf("clean %d: %w", v.id, err)
		}
		if v.cold {
			w.cleanedCold++
		} else {
			w.cleanedHot++
		}
	}
	return nil
}

func (w *life) reopen() error {
	if err := w.s.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	w.d.Mark(markSynced(w.batches()))
	s, err := Open(lifeDir, w.options())
	if err != nil {
		return fmt.Errorf("reopen: %w", err)
	}
	w.use(s)
	w.reopens++
	if w.rng.IntN(2) == 0 {
		got, err := readOracle(s, w.files)
		if err != nil {
			return err
		}
		if got.sum != w.m.sum {
			return fmt.Errorf("a clean close and open changed the store: %s", got.diff(w.m))
		}
	}
	return nil
}

// kill lets the process die at some operation soon, but not the machine, and
// opens the store again. All that was appended is there, and from then on it
// survives the machine's death too.
func (w *life) kill() error {
	w.d.Inject(simdisk.Fault{At: 1 + w.rng.IntN(12), Forever: true, Dead: true})
	var err error
	var dying []edit // not known whether it was appended
	for n := 0; n < 12 && err == nil && w.bad == nil; n++ {
		dying = nil
		switch w.rng.IntN(8) {
		case 6:
			dying = w.randomRestack()
			err = w.append(dying)
		case 7:
			err = w.settle()
		case 0:
			err = w.sync()
		case 1:
			err = w.checkpoint()
		case 5:
			err = w.clean()
		case 2:
			if err = w.s.Close(); err == nil {
				var s *Store
				if s, err = Open(lifeDir, w.options()); err == nil {
					w.use(s)
				}
			}
		default:
			dying = w.randomBatch()
			err = w.append(dying)
		}
	}
	w.d.Heal()
	s, operr := Open(lifeDir, w.options())
	if operr != nil {
		return fmt.Errorf("open after a kill: %w", operr)
	}
	w.use(s)
	got, operr := readOracle(s, w.files)
	if operr != nil {
		return fmt.Errorf("read after a kill: %w", operr)
	}
	if got.sum != w.m.sum && err != nil && dying != nil {
		w.note(s.LastLSN(), dying)
	}
	if got.sum != w.m.sum {
		return fmt.Errorf("a kill changed the store: %s", got.diff(w.m))
	}
	w.forgetUnused()
	w.kills++
	w.d.Mark(markAppend(w.batches()))
	w.d.Mark(markSynced(w.batches()))
	return nil
}

// sweep drops or rewrites everything, so that the segments so far hold nothing
// live, and checkpoints, so that they are trimmed.
func (w *life) sweep() error {
	var es []edit
	for _, k := range w.m.keys() {
		switch k := k.(type) {
		case inodeKey:
			if w.m.recs[viewKey{k.l}] != any(true) {
				continue
			}
			es = append(es, edit{kind: "drop", l: k.l, ino: k.ino})
		case entryKey:
			if w.m.recs[viewKey{k.l}] != any(true) {
				continue
			}
			es = append(es, edit{kind: "gone", l: k.l, ino: k.dir, cookie: k.cookie, name: k.name})
		case originKey:
			es = append(es, edit{kind: "origin", l: mainView, ino: k.ino, origin: w.randomOrigin()})
		}
		if len(es) >= 12 {
			if err := w.append(es); err != nil {
				return err
			}
			es = nil
		}
	}
	if len(es) > 0 {
		if err := w.append(es); err != nil {
			return err
		}
	}
	if len(w.inos) > 8 { // born ones that are gone for good
		w.inos = append(w.inos[:4:4], w.inos[len(w.inos)-3:]...)
	}
	return w.checkpoint()
}

func (w *life) randomBatch() []edit {
	var es []edit
	room := 56 << 10 // of a segment
	for range 1 + w.rng.IntN(4) {
		e := w.randomEdit()
		if room -= len(e.data) + 1024; room < 0 {
			break
		}
		gone := slices.ContainsFunc(es, func(o edit) bool { return o.kind == "drop" && o.l == e.l && o.ino == e.ino })
		if gone && (e.kind == "data" || e.kind == "truncate") {
			continue // data needs an inode
		}
		es = append(es, e)
	}
	return es
}

func (w *life) randomEdit() edit {
	lives := w.m.views(true)
	e := edit{l: lives[w.rng.IntN(len(lives))], ino: w.inos[w.rng.IntN(len(w.inos))]}
	p := w.rng.IntN(100)
	if _, ok := w.m.recs[inodeKey{e.l, e.ino}]; !ok && p >= 45 && p < 87 {
		p = 0 // data needs an inode
	}
	switch {
	case p < 15:
		e.kind, e.rec = "inode", w.randomInode()
	case p < 25:
		e.kind = "inode"
		e.ino, e.rec = w.s.NewIno(), w.randomInode()
		if first, ok := w.used[e.ino]; ok {
			w.bad = fmt.Errorf("NewIno gives %x again, which batch %d used", uint64(e.ino), first)
		}
		w.inos = append(w.inos, e.ino)
	case p < 37:
		e.kind = "entry"
		e.cookie, e.name = w.randomName()
		e.entry = Entry{Ino: w.inos[w.rng.IntN(len(w.inos))], Type: TypeRegular}
		if w.rng.IntN(4) == 0 {
			e.entry = Entry{Whiteout: true}
		}
	case p < 45:
		e.kind = "gone"
		e.cookie, e.name = w.randomName()
	case p < 80:
		e.kind, e.off, e.data = "data", w.randomOffset(), w.randomData()
	case p < 87:
		e.kind, e.off = "truncate", w.randomOffset()
	case p < 92:
		e.kind = "drop"
	default:
		e.kind, e.origin = "origin", w.randomOrigin()
	}
	return e
}

func (w *life) randomInode() Inode {
	r := Inode{Mode: TypeRegular | 0o644, Nlink: 1, UID: w.rng.Uint32(), Size: w.rng.Uint64() >> 1,
		Mtime: w.rng.Int64(), Ctime: w.rng.Int64(), Base: Fingerprint{Ino: w.rng.Uint64()}}
	if w.rng.IntN(4) == 0 {
		r.Mode = TypeSymlink | 0o777
		r.Target = "target"[:1+w.rng.IntN(6)]
	}
	return r
}

func (w *life) randomOrigin() Origin {
	return Origin{Parent: Ino(w.rng.IntN(50)), Name: fmt.Sprint("o", w.rng.IntN(1000)), Pinned: w.rng.IntN(2) == 0}
}

func (w *life) randomName() (cookie uint64, name string) {
	n := w.rng.IntN(8)
	return uint64(n / 2), fmt.Sprint("name", n) // two names share a cookie
}

// randomOffset is mostly small, so that writes overlap, and now and then next
// to the 4 MiB at which the index splits extents.
func (w *life) randomOffset() int64 {
	switch w.rng.IntN(8) {
	case 0:
		return 4<<20 - int64(w.rng.IntN(4096))
	case 1:
		return 0
	default:
		return int64(w.rng.IntN(20 << 10))
	}
}

// randomData sits on boundaries: sectors, pages, 16 KiB, where CRC tables begin.
func (w *life) randomData() []byte {
	sizes := [...]int{1, 7, 100, 464, 512, 1000, 4096, 5000, 16384, 16385, 20000, 40000}
	i := w.rng.IntN(len(sizes))
	p := make([]byte, sizes[i])
	v := w.rng.Uint64()
	for j := range p {
		p[j] = byte(v >> (8 * (j & 7)))
	}
	return p
}

// bounds tell what a recovery may find at a position of the trace.
type bounds struct {
	synced, appended int
	index            *memSnapshot
	opened           bool
}

func (b *bounds) follow(op simdisk.Op) {
	switch v := op.Value.(type) {
	case markAppend:
		b.appended = int(v)
	case markSynced:
		b.synced = max(b.synced, int(v))
	case markIndex:
		b.index = v.at
	case markOpen:
		b.synced, b.appended, b.opened = 0, 0, true
	case markRecovered: // Open syncs what it has replayed
		b.synced, b.appended = int(v), int(v)
	}
}

// at returns the oracle after batch n.
func (w *life) at(n int) *oracle {
	m := w.from.clone()
	for _, es := range w.edit[1 : n+1] {
		for _, e := range es {
			m.apply(e)
		}
	}
	return m
}

// find returns the batch after which the store held what got holds.
func (w *life) find(got *oracle, b bounds) (int, error) {
	for n := b.synced; n <= b.appended && n < len(w.sums); n++ {
		if w.sums[n] == got.sum {
			return n, nil
		}
	}
	for n, sum := range w.sums {
		if sum == got.sum {
			return 0, fmt.Errorf("recovered batch %d, but %d to %d are allowed", n, b.synced, b.appended)
		}
	}
	return 0, fmt.Errorf("recovered no state that ever was; after batch %d, %w", b.synced, errors.New(got.diff(w.at(b.synced))))
}

package billyfs

import (
	"io/fs"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"deltafs/deltalog"
)

// Plus is what is known of an entry besides its name. Either can be missing: the object
// may just have gone.
type Plus struct {
	Attr      Attr
	Handle    Handle
	HasAttr   bool
	HasHandle bool
	// Until is up to when Attr, and that there is such an entry, may be believed, in nanoseconds
	// since 1970; 0: not longer than now.
	Until int64
	// Renews tells that [Tree.Renew] can find out whether it may be believed for longer.
	Renews bool
}

// ReadDirPlus is ReadDir with attributes and identity of each entry, as Attr and Handle
// return them; *Plus is valid until fn returns. It costs less than to ask for each.
func (t *Tree) ReadDirPlus(dir Ino, cookie uint64, fn func(DirEntry, *Plus) bool) (eof bool, err error) {
	w := plusWalk{t: t, dir: dir, until: t.untilOf(dir)}
	return t.ReadDir(dir, cookie, func(e DirEntry) bool {
		if w.look(&e); !w.HasAttr { // it may have been forgotten since it was listed
			if _, err := t.Lookup(dir, e.Name); err == nil {
				w.look(&e)
			}
		}
		return fn(e, &w.Plus)
	})
}

// plusWalk keeps what entries of one directory have in common.
type plusWalk struct {
	t   *Tree
	dir Ino
	now int64 // when the first entry was looked at, or what was too old last
	// ahead is the cookie up to which what was too old was looked at anew.
	ahead uint64
	// until is up to when the listing may be believed.
	until int64
	Plus

	home  deltalog.Home // of the directory's entries
	known bool          // home is
}

func (w *plusWalk) look(e *DirEntry) {
	t, ino := w.t, e.Ino
	if ino != RootIno && t.untouched(ino) && w.lookBase(e) {
		return
	}
	n := t.nodes.get(ino)
	defer t.nodes.put(n)
	s, err := t.load(n)
	if err == nil && s.rec == nil && ino != RootIno && w.lookBase(e) {
		return
	}
	if err == nil {
		w.Attr, err = t.attr(n, s)
	}
	w.HasAttr, w.HasHandle = err == nil, false
	w.Until, w.Renews = 0, ino&deltalog.Born != 0
	if err == nil {
		w.Handle, err = t.Handle(ino)
		w.HasHandle = err == nil
	}
	switch {
	case err != nil:
	case s.rec != nil:
		w.Until = w.until
	default:
		w.Until = min(w.until, t.base.until(ino))
	}
}

// untilOf returns up to when a listing of a directory may be believed.
func (t *Tree) untilOf(dir Ino) int64 {
	if !t.inBase(dir) {
		return Forever
	}
	return t.base.until(dir)
}

// untouched tells that the layer says nothing of an object, as far as that is easily said. A node that is not used
// is one of a list, and one that is not there need not be made: to look is cheaper than to use.
func (t *Tree) untouched(ino Ino) bool {
	if t.store.Unrecorded(ino) {
		return true
	}
	if s := t.nodes.peek(ino); s != nil && s.epoch == t.epoch.Load() {
		return s.rec == nil
	}
	_, ok, err := t.store.Inode(t.live(), ino)
	return err == nil && !ok
}

// lookBase is look for an object of the base that is known, and was looked at lately, and
// that nothing is peculiar about; it is false for others.
func (w *plusWalk) lookBase(e *DirEntry) bool {
	b, ino := w.t.base, e.Ino
	o := b.known(ino)
	if o == nil || o.shared || o.pinned || o.parent != w.dir || b.pinned.Load() {
		return false
	}
	st := o.st.Load()
	if w.now == 0 {
		w.now = b.lately()
	}
	if st == nil || o.typ == TypeDir && !st.links {
		return false
	}
	if !b.immutable && !trusted(st.at.Load(), w.now) {
		if !w.lookAhead(e.Cookie) {
			return false
		}
		if st = o.st.Load(); st == nil || o.typ == TypeDir && !st.links || !trusted(st.at.Load(), w.now) {
			return false
		}
	}
	if !w.known {
		w.home = deltalog.Home{Parent: w.dir}
		if w.t.ancestors(&w.home) != nil || w.home.Depth == unfit {
			return false
		}
		w.known = true
	}
	w.Attr = st.attr
	w.Attr.Ino, w.Attr.Gen = ino, o.gen
	w.Handle = Handle{Ino: ino, Gen: o.gen, Parent: w.home.Parent, Depth: w.home.Depth, Ancestors: w.home.Ancestors}
	w.HasAttr, w.HasHandle = true, true
	w.Until, w.Renews = min(w.until, b.untilOf(st)), true
	return true
}

// ageing is for how long what is to be renewed is believed, at most.
const ageing = trust * 2 / 5

// Ages tells that it is time to call Renew for what was read, which is not believed for long any more.
func (t *Tree) Ages(s Stamp) bool { return s.Until != Forever && t.lately() > s.Until-ageing }

// Renew finds out whether what ReadDirPlus said of the entries of a directory behind cookie, up to last, would be said
// again: where nothing was changed since s, only the base can have been, so what is too old of it to be believed, or soon will be,
// is looked at anew. If so, it returns s with a later Until. Renews must be set for each of these entries.
func (t *Tree) Renew(s Stamp, dir Ino, cookie, last uint64) (Stamp, bool) {
	if !t.same(s) || cookie == math.MaxUint64 {
		return s, false
	}
	lower, err := t.lowerEntries(dir)
	if err != nil {
		return s, false
	}
	lower = lower[firstFrom(lower, cookie+1):]
	n := len(lower)
	if last != math.MaxUint64 {
		n = firstFrom(lower, last+1)
	}
	s.Until = t.base.believe(dir, lower[:n], lower[n:min(max(n, lookAhead), len(lower))])
	// An object that is known no more may have changed and be known again.
	return s, s.left == t.base.objs.left.Load() && t.Unchanged(s)
}

// believe returns up to when all that is known of some of what the base lists in a directory may be believed, for which it
// looks at what is too old or soon will be; at what follows it, next, too then. It is not later than now if something of it may
// not be.
func (b *base) believe(dir Ino, list, next []DirEntry) int64 {
	soon := b.lately() + ageing
	if !b.lasts(b.until(dir), soon) {
		_, _, _ = b.stat(dir, false) // what is wrong with it is seen below
	}
	until := b.until(dir)
	for i := range list {
		if u := b.until(list[i].Ino); b.lasts(u, soon) {
			until = min(until, u)
			continue
		}
		until = min(until, b.lookAnew(dir, list[i:], soon))
		b.lookAnew(dir, next, soon)
		break
	}
	return until
}

// lasts tells whether what is believed up to some time is now, and longer than until soon.
func (b *base) lasts(until, soon int64) bool { return until > soon && holds(until, b.lately()) }

// Where the base is far away each look at an object waits, so those of a listing are looked at anew several at a time, and
// for the calls that come next, too. Where it is not, others would only be in the way.
const (
	lookers   = 8
	lookPart  = 16                     // entries for each of them at a time, at most
	lookAhead = 512                    // entries
	farLook   = 200 * time.Microsecond // what a look takes, on average, where it waits
)

// lookAhead looks at what is too old of what the base lists from a cookie on, unless that was done already, or is little.
func (w *plusWalk) lookAhead(cookie uint64) bool {
	if cookie <= w.ahead {
		return false
	}
	b := w.t.base
	list, err := b.ReadDir(w.dir)
	if err != nil {
		return false
	}
	list = list[firstFrom(list, cookie):]
	list = list[:min(len(list), lookAhead)]
	if len(list) <= lookPart {
		return false
	}
	w.ahead = list[len(list)-1].Cookie
	b.lookAnew(w.dir, list, b.lately())
	w.now = b.lately()
	return true
}

// lookAnew looks at what may not be believed for longer than until soon, of some of what the base lists in a directory, and returns
// up to when all that is known of that may be. What is wrong with it is seen by who asks for it.
func (b *base) lookAnew(dir Ino, list []DirEntry, soon int64) int64 {
	l := looks{b: b, dir: dir, list: list, soon: soon}
	l.until.Store(Forever)
	in := b.looker(dir)
	var helpers sync.WaitGroup
	began, far := time.Now(), false
	for n := 1; l.part(in, n); n = min(2*n, lookPart) {
		if far {
			continue
		}
		now := time.Now()
		if took := now.Sub(began); took > time.Duration(n)*farLook {
			far = true
			for range min(lookers-1, (len(list)-int(l.next.Load()))/lookPart) {
				helpers.Go(l.help)
			}
		}
		began = now
	}
	helpers.Wait()
	return l.until.Load()
}

// looks is one lookAnew.
type looks struct {
	b           *base
	dir         Ino
	list        []DirEntry
	soon        int64
	next, until atomic.Int64
}

// part looks at the next n entries, or is false if there are none left.
func (l *looks) part(in *looker, n int) bool {
	to := int(l.next.Add(int64(n)))
	if to-n >= len(l.list) {
		return false
	}
	part, until := l.list[to-n:min(to, len(l.list))], int64(Forever)
	for i := range part {
		until = min(until, in.until(part[i].Ino, l.soon))
	}
	for {
		least := l.until.Load()
		if until >= least || l.until.CompareAndSwap(least, until) {
			return true
		}
	}
}

func (l *looks) help() {
	for in := l.b.looker(l.dir); l.part(in, lookPart); {
	}
}

// looker looks at objects of one directory of the base that is held open: as base.stat, but for what is the same for all.
type looker struct {
	b   *base
	dir Ino
	in  openDir // nil: it is not
	seq uint64
	fi  fs.FileInfo // what in has returned last
	st  stat        // of that
}

func (b *base) looker(dir Ino) *looker {
	l := &looker{b: b, dir: dir}
	if o, ok := b.fs.(dirOpener); ok {
		_ = b.at(dir, func(p string, seq uint64) error { // without it each is looked at by itself
			l.in, l.seq = b.held.get(dir, seq, b.lately(), b.believed, func() (openDir, error) { return o.OpenDir(p) }), seq
			return nil
		})
	}
	return l
}

// until is base.until of an object of the directory, which is looked at if it may not be believed for longer than until soon. One
// that is not known stays so.
func (l *looker) until(ino Ino, soon int64) int64 {
	o := l.b.known(ino)
	if o == nil {
		return 0
	}
	if u := l.b.untilOf(o.st.Load()); l.b.lasts(u, soon) {
		return u
	}
	if l.look(o) {
		return l.b.untilOf(o.st.Load())
	}
	_, st, _ := l.b.stat(ino, false)
	return l.b.untilOf(st)
}

// look is false if it could not find out how an object is, or if that has changed.
func (l *looker) look(o *object) bool {
	if l.in == nil || o.parent != l.dir || o.shared {
		return false
	}
	at := l.b.lately()
	fi, err := l.in.LstatInto(l.fi, o.name)
	if err != nil {
		return false
	}
	l.fi = fi
	l.b.describe(&l.st, fi, at)
	if l.st.typ() != o.typ {
		return false
	}
	l.b.mu.RLock()
	defer l.b.mu.RUnlock()
	if l.b.moves.Load() != l.seq {
		return false
	}
	if !o.again(&l.st) {
		st := l.b.newStat(fi, 0)
		st.at.Store(at)
		l.b.note(o, st)
	}
	return true
}

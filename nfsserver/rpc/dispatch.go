package rpc

import (
	"context"
	"runtime"
	"time"
)

// Who carries a call out. The reader itself does where it can: no other goroutine has to
// be woken, and the replies to calls that came together leave together. But while it is
// in a call nobody reads. So after a call of a class that took longer than slowCall the next few of
// that class get goroutines, up to slowCalls where they are slow, too; and where the reader
// is still in a call after takeOverAfter, or a few times that, another one takes its place.
// To look at the clock can cost more than a call, so the reader does for some calls only.
const (
	slowCall  = int64(150 * time.Microsecond)
	slowCalls = 16
	// slowMore is how many more calls get goroutines for one that took longer, slowCalls in all: a few in between that did so
	// because the processor was taken away from them, as it is where calls come as fast as they are answered, mean nothing.
	slowMore = 4
	// swiftCall is what the fastest calls take at most on a machine for which slowCall is
	// meant. On one that is slower, slowCall is so many times as long: a call that waits for
	// nothing is not to get a goroutine there.
	swiftCall = slowCall / 12
	// mostScale is up to how many times: more, and all that was called so far has waited for a slow base.
	mostScale     = 8
	takeOverAfter = int64(time.Millisecond)
	// inCompany is for how many calls a connection is one on which more than one is in flight, after it was found to be.
	inCompany = 1 << 10
	// afterSlow is for how many it is taken for one after a call that took so long that another reader came.
	afterSlow = 32
	// watchSeldom is how often readers are looked after while there is nothing to do.
	watchSeldom = 4 * takeOverAfter
	// maxIdle is how many workers are kept that have nothing to do: their stacks have
	// grown already.
	maxIdle = 32
)

// start of time, for now.
var start = time.Now()

// now is a time in nanoseconds, above 0, that only goes forward.
func now() int64 { return int64(time.Since(start)) + 1 }

// sampled tells whether the call of a turn is timed: one of eight, in no order that calls
// could come in.
func sampled(turn int64) bool { return uint64(turn)*0x9e3779b97f4a7c15>>61 == 0 }

// took notes how long a call of a class has taken.
func (s *Server) took(class int, ns int64) {
	if class < 0 {
		return
	}
	fastest := s.fastest.Load()
	if fastest == 0 || ns < fastest {
		s.fastest.Store(ns) // or somebody else did: they are about the same
		fastest = ns
	}
	limit := slowCall
	if class >= Patient {
		limit = takeOverAfter
	}
	n := s.slow[class].Load()
	more := max(n-1, 0)
	if ns >= limit*min(max(1, fastest/swiftCall), mostScale) {
		more = min(n+slowMore, slowCalls)
	}
	if more != n {
		s.slow[class].CompareAndSwap(n, more) // or somebody else has
	}
}

// alone tells whether the reader carries out a call that waits, too: nothing else is to be read meanwhile, for this client
// sends a call when it has got the reply to the last one. Nobody has to be woken then, neither to read nor to look after
// the reader. It is a guess: see lookAround.
func (c *Conn) alone() bool {
	if c.company == 0 && c.busy.Load() > 0 { // others are being carried out
		c.company = inCompany
	}
	if c.company == 0 {
		return c.r.Buffered() == 0 && peeks(c.conn)
	}
	c.company--
	if c.company == 0 {
		c.unsure = true
	}
	return false
}

// lookAround is called before the reply to a call that waited leaves, and looks, now and then and where it is not sure,
// whether more calls have come meanwhile. They should have been read.
func (c *Conn) lookAround(now bool) {
	if (now || c.unsure) && hasMore(c.conn) {
		c.company = inCompany
	}
	c.unsure = false
}

// beingTaken is the turn of a reader while another is put in its place.
const beingTaken = -1

// here carries a call out on the reader's goroutine, or begins it, if it may be answered
// later. It is false if that took so long that another one has become the reader: what this one
// did has had a slot of its own since. (What is begun has one from the beginning.)
func (c *Conn) here(ctx context.Context, rec []byte, class int, begin bool) bool {
	c.taken++
	turn, began := c.taken, int64(0)
	if sampled(turn) {
		began = now()
	}
	c.begins.Store(begin)
	c.turn.Store(turn)
	c.s.watched()
	if begin {
		c.begin(rec)
	} else {
		c.busy.Add(1)
		c.call(ctx, rec, false)
	}
	if !c.turn.CompareAndSwap(turn, 0) {
		for c.turn.Load() == beingTaken {
			runtime.Gosched()
		}
		c.s.late(class)
		c.flush()
		if begin {
			c.calls.Done()
		} else {
			c.leave()
		}
		return false
	}
	if began != 0 {
		c.s.took(class, now()-began)
	}
	if !begin && c.s.waits(class) {
		c.lookAround(began != 0)
	}
	return true
}

// swap carries a call out on the reader's goroutine while another one reads on: the call
// need not wait for that one to wake up.
func (c *Conn) swap(ctx context.Context, rec []byte, class int) {
	c.flush()
	c.enter()
	c.calls.Add(1)
	c.of.spawn(job{c: c})
	c.timed(ctx, rec, class)
	c.leave()
}

// timed carries a call out, answers it, and notes how long it took.
func (c *Conn) timed(ctx context.Context, rec []byte, class int) {
	if class < 0 {
		c.call(ctx, rec, true)
		return
	}
	began := now()
	c.call(ctx, rec, true)
	c.s.took(class, now()-began)
}

// takeOver lets another goroutine read on while the reader is in the call of that turn,
// unless there are too many calls in flight.
func (c *Conn) takeOver(turn int64) {
	slot := !c.begins.Load() // of this turn, or turn is over
	if slot && !c.tryEnter() {
		return
	}
	if !c.turn.CompareAndSwap(turn, beingTaken) {
		if slot {
			<-c.s.slots
			<-c.slots
		}
		return
	}
	// The reader does not come to wait for the calls now, nor to end this one, nor to what is its own.
	c.company = afterSlow
	if hasMore(c.conn) {
		c.company = inCompany
	}
	c.calls.Add(1)
	c.turn.Store(0)
	c.of.spawn(job{c: c})
}

// Go has a worker do something beside the calls, for which it has a slot as one of them: the connection, and a server that ends,
// wait for it, and ctx is as that of a call. It is to be called by a call of the connection, and does nothing, and is false, if
// there is no slot at once.
func (c *Conn) Go(fn func(ctx context.Context)) bool {
	if !c.tryEnter() {
		return false
	}
	c.calls.Add(1)
	c.of.spawn(job{c: c, fn: fn})
	return true
}

// tryEnter takes a slot if there is one.
func (c *Conn) tryEnter() bool {
	select {
	case c.slots <- struct{}{}:
	default:
		return false
	}
	select {
	case c.s.slots <- struct{}{}:
		return true
	default:
		<-c.slots
		return false
	}
}

// enter waits until one call more may be carried out.
func (c *Conn) enter() {
	c.busy.Add(1)
	select {
	case c.slots <- struct{}{}:
	default:
		c.flush()
		c.slots <- struct{}{}
	}
	select {
	case c.s.slots <- struct{}{}:
	default:
		c.flush()
		c.s.slots <- struct{}{}
	}
}

func (c *Conn) leave() {
	<-c.s.slots
	<-c.slots
	c.calls.Done()
}

// waits tells whether a call of a class is one that waits, or one of those did of late.
func (s *Server) waits(class int) bool { return class < 0 || s.slow[class].Load() > 0 }

// late has the next calls of a class on goroutines.
func (s *Server) late(class int) {
	if class >= 0 {
		s.slow[class].Store(slowCalls)
	}
}

// watched sees that somebody looks whether readers stay in a call.
func (s *Server) watched() {
	if !s.watching.Load() && s.watching.CompareAndSwap(false, true) {
		go s.watch()
	}
}

// watch looks after the readers, until there was nothing to do for a while.
func (s *Server) watch() {
	calls := s.stats.calls.Load()
	pause := takeOverAfter
	for quiet := 0; ; {
		time.Sleep(time.Duration(pause))
		pause = min(2*pause, watchSeldom)
		inCall := false
		s.mu.Lock()
		for c := range s.conns {
			turn := c.turn.Load()
			inCall = inCall || turn > 0
			if turn > 0 && turn == c.seen {
				c.takeOver(turn)
				pause = takeOverAfter
			}
			c.seen = turn
		}
		s.mu.Unlock()
		if n := s.stats.calls.Load(); inCall || n != calls {
			quiet, calls = 0, n
		} else if quiet++; quiet == 20 {
			// A reader that begins a call now sees that nobody watches, or is seen below.
			s.watching.Store(false)
			if s.quiet() || !s.watching.CompareAndSwap(false, true) {
				return
			}
			quiet = 0
		}
	}
}

// quiet tells that no reader is in a call.
func (s *Server) quiet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.turn.Load() > 0 {
			return false
		}
	}
	return true
}

// job is a call for a worker, who has a slot for it; or, without a record, a connection
// that he is to read on; or, of a call that was answered later, its reply to write; or what Go was given.
type job struct {
	c     *Conn
	rec   []byte
	class int
	flush bool
	fn    func(context.Context)
}

func (j job) do(ctx context.Context) {
	switch {
	case j.flush:
		j.c.flushSlowly()
		return
	case j.fn != nil:
		j.c.aside(ctx, j.fn)
		j.c.leave()
		return
	case j.rec == nil:
		j.c.readOn()
		return
	}
	j.c.timed(ctx, j.rec, j.class)
	j.c.leave()
}

// aside does what Go was given.
func (c *Conn) aside(ctx context.Context, fn func(context.Context)) {
	var err error
	defer c.recovered(&err) // logged
	fn(ctx)
}

// spawn gives a job to a worker.
func (of *serving) spawn(j job) {
	j.c.s.stats.handed.Add(1)
	select {
	case of.jobs <- j:
	default:
		go of.work(j)
	}
}

// work carries out jobs, until there are workers enough without one.
func (of *serving) work(j job) {
	for ok := true; ok; {
		j.do(of.ctx)
		j = job{} // nothing of it is kept while there is no other
		if of.idle.Add(1) > maxIdle {
			of.idle.Add(-1)
			return
		}
		j, ok = <-of.jobs
		of.idle.Add(-1)
	}
}

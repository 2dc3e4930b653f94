package rpc

import (
	"context"
	"time"
)

// Who carries a call out. The reader itself does where it can: no other goroutine has to
// be woken, and the replies to calls that came together leave together. But while it is
// in a call nobody reads. So calls of a class of which one took longer than slowCall, the
// next slowCalls of them, get goroutines, until they are fast again; and where the reader
// is still in a call after takeOverAfter, another one takes its place.
const (
	slowCall      = int64(150 * time.Microsecond)
	slowCalls     = 16
	takeOverAfter = int64(time.Millisecond)
	// maxIdle is how many workers are kept that have nothing to do: their stacks have
	// grown already.
	maxIdle = 32
)

// start of time, for now.
var start = time.Now()

// now is a time in nanoseconds, above 0, that only goes forward.
func now() int64 { return int64(time.Since(start)) + 1 }

// took notes how long a call of a class has taken.
func (s *Server) took(class int, ns int64) {
	if class == Waits {
		return
	}
	slow, limit := &s.slow[class], slowCall
	if class >= Patient {
		limit = takeOverAfter
	}
	if ns >= limit {
		slow.Store(slowCalls)
	} else if n := slow.Load(); n > 0 {
		slow.CompareAndSwap(n, n-1) // or somebody else has
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
	t := time.NewTicker(time.Duration(takeOverAfter))
	defer t.Stop()
	calls := s.stats.calls.Load()
	for quiet := 0; ; {
		<-t.C
		inCall := false
		s.mu.Lock()
		for c := range s.conns {
			began := c.turn.Load()
			inCall = inCall || began > 0
			if began > 0 && now()-began > takeOverAfter {
				c.takeOver(began)
			}
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
// that he is to read on.
type job struct {
	c     *Conn
	rec   []byte
	class int
}

func (j job) do(ctx context.Context) {
	if j.rec == nil {
		j.c.readOn()
		return
	}
	began := now()
	j.c.call(ctx, j.rec, true)
	j.c.s.took(j.class, now()-began)
	j.c.leave()
}

// spawn gives a job to a worker.
func (of *serving) spawn(j job) {
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

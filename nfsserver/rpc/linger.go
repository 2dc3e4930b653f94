package rpc

import (
	"runtime"
	"time"
)

// A client that has one call in flight at a time sends the next one soon after it got a reply.
// To wait for that, and be woken, takes the system longer than most calls take; so the reader
// first looks for it again and again for a moment. It holds a processor meanwhile, and with it
// one of the GOMAXPROCS of the process. So it does so only where nothing else is going on in the
// server, stops when something is, and where no call came in that time it waits at once for
// a while.
//
// Where there is one processor the client needs it to send a call, and the reader dozes instead: the system wakes it, but Go's
// scheduler is not told that it waits, which it looks at the clock for several times, and asks around for something else
// to do. It holds none of the processors, but one of the GOMAXPROCS, of which another must be left; so one reader does at a
// time, and briefly. The scheduler can interrupt it, as to collect garbage.
const (
	lingerMost = int64(50 * time.Microsecond)
	dozeMost   = 2 * time.Millisecond
	// inDoubt is how many times the reader does not look after it has looked in vain.
	inDoubt = 32
)

// lingering belongs to a reader.
type lingering struct {
	met   int64 // calls of the server when the reader last had none
	alone bool  // one had come since the time before, and no other was carried out
	since int64 // when it began to look
	doubt int   // so many times it is not to
	more  func() bool
}

// expect has the reader, who has none, look for the next call for a moment, if that may well
// be there soon.
func (c *Conn) expect() {
	l := &c.linger
	calls := c.s.stats.calls.Load()
	alone := calls-l.met == 1 && len(c.s.slots) == 0
	// Once may be by chance, where another client's call came just before the reader was here.
	if only := alone && l.alone; only != c.only.Load() {
		c.only.Store(only)
	}
	l.alone = alone
	switch l.met = calls; {
	case !alone || !lingers(c.conn):
	case l.doubt > 0:
		l.doubt--
	case c.s.o.Processors > 1:
		if l.more == nil {
			l.more = c.goesOn
		}
		l.since = now()
		c.s.stats.lingered.Add(1)
		linger(c.conn, l.more)
	case runtime.GOMAXPROCS(0) > 1:
		c.s.stats.lingered.Add(1)
		doze(c.conn, &c.s.dozing)
	}
}

// goesOn tells whether the reader is to look once more.
func (c *Conn) goesOn() bool {
	l := &c.linger
	if now()-l.since < lingerMost && c.s.stats.calls.Load() == l.met {
		return true
	}
	l.doubt = inDoubt
	return false
}

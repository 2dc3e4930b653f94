package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Handler answers calls. Its methods are called concurrently.
type Handler interface {
	// Class says what kind of call a record is: [Waits], or a number below
	// [Classes] for calls that take about as long as each other. Those from
	// [Patient] on may take a while, such as when they wait for each other.
	Class(record []byte) int
	// Call appends the reply to a record to reply, or nothing if there is to be
	// no answer, and returns it. An error closes the connection. The record
	// may not be used after Call has returned, nor reply. ctx ends when the
	// server will not wait any longer.
	Call(ctx context.Context, c *Conn, record, reply []byte) ([]byte, error)
}

// Deferrer is a Handler of which some calls do all their work at once and then only wait for
// something, such as a disk: those of class [Defers]. They need no goroutines while they wait.
type Deferrer interface {
	Handler
	// Begin is Call for such a record where others are in flight on its connection. If it says
	// that the reply comes later, record and reply are the handler's until it calls
	// [Conn.Answer], once, and [Conn.Release] after it.
	Begin(c *Conn, record, reply []byte) (b []byte, later bool, err error)
}

// Watcher is a Handler that sees long records while they arrive.
type Watcher interface {
	Handler
	// Arrives is called by the connection's reader for a record that has [Notes], each time that some more of it has
	// come, with what there is. It may come in pieces of any size, and there may be no call in the end. It does not
	// change the record and does not wait.
	Arrives(record []byte)
}

// Waits is the class of calls that wait for something, such as a disk, or that
// work for long: each gets a goroutine. Defers is that of those for which a [Deferrer] has
// Begin; for other handlers they are as Waits. Classes is above all others.
const (
	Defers  = -2
	Waits   = -1
	Patient = 32
	Classes = 64
)

// Options of a server; zero values mean what is said.
type Options struct {
	MaxRecord     int           // bytes of a call: 1 MiB + 4 KiB
	MaxConns      int           // connections: 1024
	MaxCalls      int           // calls on goroutines, or to be answered later: 256
	ConnCalls     int           // those of one connection: 64
	Processors    int           // that the process may use at a time: GOMAXPROCS
	Idle          time.Duration // after which a silent connection is closed: 10 minutes
	RecordTimeout time.Duration // in which a record must arrive: 1 minute
	WriteTimeout  time.Duration // in which replies must be read: 1 minute
	Drain         time.Duration // for calls in flight, when the server ends: 10 seconds
	// Idle, RecordTimeout and WriteTimeout are not started anew for each call: they may end an eighth earlier.

	// Opened is called with each new connection before its first call. What it
	// returns is Conn.Value; an error closes the connection.
	Opened func(*Conn) (any, error)
	Log    *slog.Logger // nil: discarded
	// Now is nanoseconds since 1970. It is asked often, and may be late by 0.1 s. nil: the clock.
	Now func() int64
}

func (o *Options) setDefaults() {
	def := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	wait := func(p *time.Duration, v time.Duration) {
		if *p <= 0 {
			*p = v
		}
	}
	def(&o.MaxRecord, 1<<20+4<<10)
	def(&o.MaxConns, 1024)
	def(&o.MaxCalls, 256)
	def(&o.ConnCalls, 64)
	def(&o.Processors, runtime.GOMAXPROCS(0))
	wait(&o.Idle, 10*time.Minute)
	wait(&o.RecordTimeout, time.Minute)
	wait(&o.WriteTimeout, time.Minute)
	wait(&o.Drain, 10*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = func() int64 { return time.Now().UnixNano() }
	}
}

// Server carries calls to a handler. All methods may be called concurrently.
type Server struct {
	h     Handler
	later Deferrer // h, if it is one
	o     Options

	arrived func(record []byte) // of h, if it is a Watcher
	slots   chan struct{}       // one for each call on a goroutine, or to be answered later
	stats   struct{ calls, sent, writes, refused, handed, lingered atomic.Int64 }

	slow     [Classes]atomic.Int32 // how many more calls of a class get a goroutine
	fastest  atomic.Int64          // nanoseconds of the fastest call so far; 0: none was timed
	watching atomic.Bool           // that readers do not stay in a call
	dozing   atomic.Bool           // one reader: see linger.go

	warned atomic.Int64 // when the last warning was logged, in nanoseconds
	hidden atomic.Int64 // warnings since

	mu    sync.Mutex
	conns map[*Conn]struct{}
}

// serving is one call of Serve.
type serving struct {
	ctx  context.Context // of calls
	wg   sync.WaitGroup  // connections
	jobs chan job        // for the workers that have nothing to do
	idle atomic.Int32    // those
}

// New returns a server.
func New(h Handler, o Options) *Server {
	o.setDefaults()
	s := &Server{h: h, o: o, slots: make(chan struct{}, o.MaxCalls), conns: map[*Conn]struct{}{}}
	s.later, _ = h.(Deferrer)
	if w, ok := h.(Watcher); ok {
		s.arrived = w.Arrives
	}
	return s
}

// Stats is what a server has done.
type Stats struct {
	Conns   int   // open now
	InCalls int   // on goroutines now, or to be answered later
	Calls   int64 // taken so far
	Sent    int64 // bytes of replies so far
	Writes  int64 // of a connection: each takes all replies that are ready
	Refused int64 // connections closed since there were too many
	Handed  int64 // how often a call, or the reading of a connection, went to another goroutine
}

// Stats returns numbers that need not be of one moment.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	n := len(s.conns)
	s.mu.Unlock()
	return Stats{
		Conns: n, InCalls: len(s.slots),
		Calls: s.stats.calls.Load(), Sent: s.stats.sent.Load(), Writes: s.stats.writes.Load(), Refused: s.stats.refused.Load(),
		Handed: s.stats.handed.Load(),
	}
}

// Serve accepts connections until ctx ends, then waits for the calls in flight,
// Drain at most, and closes l. It returns nil then, or the error with which l
// ended.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	of := &serving{ctx: calls, jobs: make(chan job)}
	defer close(of.jobs) // no connection is left
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	err := s.accept(ctx, l, of)
	_ = l.Close()
	s.drain(of, cancel)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// accept takes connections until the listener is closed. An error that may
// pass, such as that there are too many descriptors, is waited out.
func (s *Server) accept(ctx context.Context, l net.Listener, of *serving) error {
	const shortest, longest = 5 * time.Millisecond, time.Second
	pause := shortest
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause = shortest
			s.start(nc, of)
			continue
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return err
		}
		s.warn("accept failed", "error", err, "again in", pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, longest)
	}
}

// start serves a connection, if need be in place of one that is idle.
func (s *Server) start(nc net.Conn, of *serving) {
	c := s.newConn(nc, of)
	s.mu.Lock()
	var old *Conn
	full := len(s.conns) >= s.o.MaxConns
	if full {
		if old = s.idlestLocked(); old != nil {
			delete(s.conns, old)
		}
	}
	if !full || old != nil {
		s.conns[c] = struct{}{}
		of.wg.Add(1)
	}
	s.mu.Unlock()
	if full {
		s.stats.refused.Add(1)
		s.warn("too many connections: one is closed", "limit", s.o.MaxConns)
		if old == nil { // all are at work
			_ = nc.Close()
			return
		}
		_ = old.conn.Close()
	}
	go c.serve()
}

// ended forgets a connection of which nothing is left.
func (s *Server) ended(c *Conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	c.of.wg.Done()
}

// idlestLocked returns the connection that is silent for the longest time.
func (s *Server) idlestLocked() (idlest *Conn) {
	for c := range s.conns {
		if c.busy.Load() == 0 && len(c.slots) == 0 && (idlest == nil || c.used.Load() < idlest.used.Load()) {
			idlest = c
		}
	}
	return idlest
}

// drain ends the connections of one call of Serve.
func (s *Server) drain(of *serving, cancel func()) {
	s.each(of, (*Conn).drain)
	done := make(chan struct{})
	go func() { of.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(s.o.Drain):
		cancel()
		s.each(of, func(c *Conn) { _ = c.conn.Close() })
		s.o.Log.Warn("calls in flight have not ended: closed", "after", s.o.Drain)
		<-done
	}
}

func (s *Server) each(of *serving, fn func(*Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.of == of {
			fn(c)
		}
	}
}

// warn logs what a client, or many, can bring about at will: not more than once
// in five seconds.
func (s *Server) warn(msg string, args ...any) {
	const pause = 5 * time.Second
	now, last := time.Now().UnixNano(), s.warned.Load()
	if now-last < int64(pause) || !s.warned.CompareAndSwap(last, now) {
		s.hidden.Add(1)
		return
	}
	if n := s.hidden.Swap(0); n > 0 {
		args = append(args, "more not logged", n)
	}
	s.o.Log.Warn(msg, args...)
}

// ServePacket answers datagrams, one after the other, until ctx ends; then it
// closes p and returns nil. Replies that cannot be sent are dropped.
func (s *Server) ServePacket(ctx context.Context, p net.PacketConn) error {
	stop := context.AfterFunc(ctx, func() { _ = p.Close() })
	defer stop()
	defer p.Close()
	rec := make([]byte, min(s.o.MaxRecord, 64<<10))
	for {
		n, from, err := p.ReadFrom(rec)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // of a datagram sent before, on some systems
			s.warn("datagram not read", "error", err)
			time.Sleep(time.Millisecond) // if it lasts
			continue
		}
		s.stats.calls.Add(1)
		c := &Conn{s: s, peer: addrPort(from), local: addrPort(p.LocalAddr())}
		if c.open() != nil {
			continue
		}
		reply, err := c.answer(ctx, rec[:n])
		if err == nil && len(reply) > markSize {
			_, _ = p.WriteTo(reply[markSize:], from)
			s.stats.sent.Add(int64(len(reply) - markSize))
		}
		putBuffer(reply)
	}
}

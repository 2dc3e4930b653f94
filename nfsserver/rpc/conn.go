package rpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

const (
	readAhead = 32 << 10
	// maxQueued is how many bytes of replies may wait for a client to read
	// them before no more of its calls are taken.
	maxQueued = 4 << 20
	// flatten is how many bytes several replies may have together to be copied into one
	// buffer to be written.
	flatten = 8 << 10
	// lateness is by how much Options.Now may be late.
	lateness = 100 * time.Millisecond
)

// Conn is a connection as the handler sees it, or where a datagram came from.
type Conn struct {
	peer, local netip.AddrPort
	value       any

	s               *Server
	of              *serving
	conn            net.Conn // nil for datagrams
	r               *bufio.Reader
	slots           chan struct{}  // one for each call on a goroutine, or to be answered later
	calls           sync.WaitGroup // those
	used            atomic.Int64   // when it was last heard of, in nanoseconds
	busy            atomic.Int32   // calls whose replies are not queued
	turn            atomic.Int64   // number of the call that the reader carries out itself; 0: none; beingTaken
	begins          atomic.Bool    // that call is one to be answered later, which has a slot
	only            atomic.Bool    // see Alone
	seen            int64          // of Server.watch: the turn that it met last
	taken           int64          // of the reader: calls that it has carried out itself
	company         int            // of the reader: so many calls more that wait get goroutines of their own; see alone
	unsure          bool           // of the reader: it is to look around
	linger          lingering      // of the reader
	readBy, writeBy armed

	mu        sync.Mutex
	out       [][]byte // replies that nobody has begun to write
	queued    int      // bytes of replies that are not written
	writing   bool
	called    bool      // a worker is about to write, who has a slot
	room      sync.Cond // of mu: queued has sunk, or dead is set
	dead      error     // why nothing can be written any more
	draining  bool
	spare     [][]byte    // an empty out, for the next turn
	vec, rest net.Buffers // of the writer: what it writes, and what is left of that
	flat      []byte      // of the writer: small replies, one behind the other
}

// Peer and Local are the two ends. They have the zero port where the network is
// not TCP or UDP.
func (c *Conn) Peer() netip.AddrPort  { return c.peer }
func (c *Conn) Local() netip.AddrPort { return c.local }

// Alone tells whether nothing else went on in the server of late than calls of this
// connection, one at a time. It is a guess, for a handler that could do better then.
func (c *Conn) Alone() bool { return c.only.Load() && len(c.s.slots) == 0 }

// Value is what Options.Opened returned.
func (c *Conn) Value() any { return c.value }

func (s *Server) newConn(nc net.Conn, of *serving) *Conn {
	nc = direct(nc)
	c := &Conn{
		peer: addrPort(nc.RemoteAddr()), local: addrPort(nc.LocalAddr()),
		s: s, of: of, conn: nc, r: bufio.NewReaderSize(nc, readAhead),
		slots: make(chan struct{}, s.o.ConnCalls), unsure: true,
	}
	c.room.L = &c.mu
	c.used.Store(c.s.o.Now())
	return c
}

func addrPort(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.AddrPort()
	case *net.UDPAddr:
		return a.AddrPort()
	}
	return netip.AddrPort{}
}

// serve begins a connection and reads calls until it ends, or until another goroutine
// does that.
func (c *Conn) serve() {
	if err := c.open(); err != nil {
		c.finish(err)
		return
	}
	c.readOn()
}

// readOn reads calls until the connection ends, and returns when nothing of it is left;
// or until another goroutine has taken over.
func (c *Conn) readOn() {
	if err := c.read(c.of.ctx); !errors.Is(err, errTakenOver) {
		c.finish(err)
	}
}

// finish waits for the calls in flight and ends the connection.
func (c *Conn) finish(err error) {
	c.calls.Wait()
	c.flush()
	err = c.end(err)
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
		c.s.o.Log.Debug("connection ended", "peer", c.peer, "error", err)
	default:
		c.s.warn("connection closed", "peer", c.peer, "error", err)
	}
	c.s.ended(c)
}

// open asks who is there.
func (c *Conn) open() (err error) {
	if c.s.o.Opened != nil {
		c.value, err = c.s.o.Opened(c)
	}
	return err
}

// end closes the connection, if that has not been done, and drops what is
// queued. It returns what has ended the connection first.
func (c *Conn) end(err error) error {
	if err == nil {
		err = net.ErrClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead == nil {
		c.dead = err
	}
	c.dropLocked()
	_ = c.conn.Close() // what it could say has been said
	return c.dead
}

// dropLocked drops the replies that nobody writes.
func (c *Conn) dropLocked() {
	for i, b := range c.out {
		c.queued -= len(b)
		putBuffer(b)
		c.out[i] = nil
	}
	c.out = c.out[:0]
	c.room.Broadcast()
}

// errTakenOver tells a reader that another one has taken its place.
var errTakenOver = errors.New("another goroutine reads on")

// read takes calls until there are no more.
func (c *Conn) read(ctx context.Context) error {
	for {
		if err := c.waitForRoom(); err != nil {
			return err
		}
		if !buffered(c.r) {
			c.flush()
			if err := c.wait(); err != nil {
				return err
			}
		}
		rec, err := readRecord(c.r, c.s.o.MaxRecord, c.s.arrived)
		if err != nil {
			return err
		}
		c.s.stats.calls.Add(1)
		class := c.s.h.Class(rec)
		switch {
		case !c.s.waits(class), (class < 0 || class >= Patient) && c.alone():
			if !c.here(ctx, rec, class, false) {
				return errTakenOver
			}
		case class == Defers && c.s.later != nil:
			c.enter()
			c.calls.Add(1)
			if !c.here(ctx, rec, class, true) {
				return errTakenOver
			}
		case !buffered(c.r):
			c.swap(ctx, rec, class)
			return errTakenOver
		default:
			c.enter()
			c.calls.Add(1)
			c.of.spawn(job{c: c, rec: rec, class: class})
		}
	}
}

// wait waits for the next record, which is all read ahead then or must follow
// soon.
func (c *Conn) wait() error {
	if c.r.Buffered() == 0 {
		c.used.Store(c.s.o.Now())
		if err := c.readWithin(c.s.o.Idle); err != nil {
			return err
		}
		c.expect()
		if _, err := c.r.Peek(1); err != nil {
			return err
		}
		if buffered(c.r) {
			return nil
		}
	}
	return c.readWithin(c.s.o.RecordTimeout)
}

// readWithin sets how long the next reads may take, unless nothing is to be read any
// more.
func (c *Conn) readWithin(d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return net.ErrClosed
	}
	if !c.readBy.due(d, c.s.o.Now()) {
		return nil
	}
	return c.conn.SetReadDeadline(time.Now().Add(d))
}

// armed is the last deadline of its kind. It is not set anew for each call, but when an
// eighth of it is over: so much earlier it may end.
type armed struct {
	d  time.Duration
	at int64 // Options.Now then
}

// due tells whether it is to be set.
func (a *armed) due(d time.Duration, now int64) bool {
	if past := now - a.at; d == a.d && past >= 0 && past < int64(d/8-lateness) {
		return false
	}
	a.d, a.at = d, now
	return true
}

// drain ends reading.
func (c *Conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	_ = c.conn.SetReadDeadline(time.Unix(1, 0)) // of a closed connection there is nothing to read
}

// call answers one record, which is counted by busy, and gives its buffer back.
func (c *Conn) call(ctx context.Context, rec []byte, flush bool) {
	reply, err := c.answer(ctx, rec)
	c.reply(rec, reply, err)
	if flush {
		c.flush()
	}
}

// reply queues what came of a call, and gives the buffer of its record back.
func (c *Conn) reply(rec, reply []byte, err error) {
	defer c.busy.Add(-1)
	putBuffer(rec)
	switch {
	case err != nil:
		_ = c.end(err) // logged where the reader ends
	case len(reply) <= markSize: // no answer
		putBuffer(reply)
	default:
		setMark(reply)
		c.queue(reply)
	}
}

// answer runs the handler.
func (c *Conn) answer(ctx context.Context, rec []byte) (reply []byte, err error) {
	defer c.recovered(&err)
	return c.s.h.Call(ctx, c, rec, getBuffer(size0)[:markSize])
}

// recovered makes an error of a panic, which is a bug that one client has met: it closes that
// client's connection and nothing else.
func (c *Conn) recovered(err *error) {
	if p := recover(); p != nil {
		c.s.o.Log.Error("panic in a call", "peer", c.peer, "panic", p, "stack", string(debug.Stack()))
		*err = fmt.Errorf("panic: %v", p)
	}
}

// queue adds a reply to those that wait to be written.
func (c *Conn) queue(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead != nil {
		putBuffer(b)
		return
	}
	c.out = append(c.out, b)
	c.queued += len(b)
}

// waitForRoom waits until so few replies are queued that a call may be taken.
func (c *Conn) waitForRoom() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.queued > maxQueued && c.dead == nil {
		if !c.writing {
			c.flushLocked()
			continue
		}
		c.room.Wait()
	}
	return c.dead
}

// flush writes what is queued, unless somebody is doing that.
func (c *Conn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushLocked()
}

func (c *Conn) flushLocked() {
	if c.writing {
		return
	}
	c.writing = true
	for len(c.out) > 0 && c.dead == nil {
		batch := c.out
		c.out, c.spare = c.spare[:0], nil
		c.mu.Unlock()
		sum, err := c.write(batch)
		c.mu.Lock()
		c.spare = batch[:0]
		c.queued -= sum
		c.room.Broadcast()
		if err != nil && c.dead == nil {
			c.dead = err
			_ = c.conn.Close() // wakes the reader
		}
	}
	if c.dead != nil {
		c.dropLocked()
	}
	c.writing = false
}

// write writes replies by one call, gives their buffers back, and returns how
// many bytes they had.
func (c *Conn) write(batch [][]byte) (sum int, err error) {
	for _, b := range batch {
		sum += len(b)
	}
	if c.writeBy.due(c.s.o.WriteTimeout, c.s.o.Now()) {
		err = c.conn.SetWriteDeadline(time.Now().Add(c.s.o.WriteTimeout))
	}
	if err == nil {
		switch {
		case len(batch) == 1:
			_, err = c.conn.Write(batch[0])
		case sum <= flatten: // to copy is less than what the kernel does to take many
			c.flat = c.flat[:0]
			for _, b := range batch {
				c.flat = append(c.flat, b...)
			}
			_, err = c.conn.Write(c.flat)
		default:
			c.vec = append(c.vec[:0], batch...)
			c.rest = c.vec // WriteTo moves it on
			_, err = c.rest.WriteTo(many(c.conn))
		}
	}
	for i, b := range batch {
		putBuffer(b)
		batch[i] = nil
	}
	c.s.stats.sent.Add(int64(sum))
	c.s.stats.writes.Add(1)
	return sum, err
}

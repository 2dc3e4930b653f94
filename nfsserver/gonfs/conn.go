package gonfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	maxFragments = 1024             // of one record
	recordTime   = 60 * time.Second // for a record to arrive once it has begun
	flushTime    = 10 * time.Second // for replies to leave when a connection ends
)

// conn is the guard: go-nfs reads from it only records that were checked, and
// what go-nfs writes is mended record by record. Read is called by one
// goroutine of go-nfs, Write by another.
type conn struct {
	net.Conn
	h       *Handler
	onClose func(*conn)

	// Only Read uses these.
	record bytes.Buffer
	out    []byte // rest of a record for go-nfs

	wmu sync.Mutex // held while a record is written to Conn

	mu      sync.Mutex
	replied sync.Cond // waits for queue to shrink, or broken
	queue   []*call   // at go-nfs, in order: it answers in order
	partial []byte    // the beginning of a reply
	broken  bool      // no more replies can be sent
	closing bool
}

func newConn(nc net.Conn, h *Handler, onClose func(*conn)) *conn {
	c := &conn{Conn: nc, h: h, onClose: onClose}
	c.replied.L = &c.mu
	return c
}

// Read hands go-nfs the next checked record. Any error becomes io.EOF behind a
// closed connection: it is the only one that go-nfs tidies up after.
func (c *conn) Read(p []byte) (int, error) {
	for len(c.out) == 0 {
		if err := c.next(); err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !c.isClosing() {
				c.h.log.Warn("connection closed", "from", c.RemoteAddr(), "error", err)
			}
			c.flush()
			c.Close()
			return 0, io.EOF
		}
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

// next reads one record and either answers it or queues it for go-nfs.
func (c *conn) next() error {
	if err := c.readRecord(); err != nil {
		return err
	}
	a, err := parse(c.record.Bytes(), c.h.ids.Add(1), c.h.tag)
	if err != nil {
		return err
	}
	switch {
	case a.reply != nil:
		return c.send(a.reply)
	case a.forward == nil:
		return c.send(c.h.local(a.call))
	}
	c.h.calls.Store(a.call.id, a.call)
	c.mu.Lock()
	c.queue = append(c.queue, a.call)
	c.mu.Unlock()
	c.out = append(put32(nil, uint32(len(a.forward))|1<<31), a.forward...)
	return nil
}

var errTooLong = errors.New("record is longer than any call")

// readRecord puts the fragments of a record together. The buffer grows as
// bytes arrive, not as a length says.
func (c *conn) readRecord() error {
	c.record.Reset()
	defer c.deadline(time.Time{})
	for range maxFragments {
		var mark [4]byte
		if _, err := io.ReadFull(c.Conn, mark[:]); err != nil {
			return err
		}
		m := binary.BigEndian.Uint32(mark[:])
		n := int64(m &^ (1 << 31))
		if n+int64(c.record.Len()) > maxRecord {
			return errTooLong
		}
		c.deadline(time.Now().Add(recordTime))
		if _, err := io.CopyN(&c.record, c.Conn, n); err != nil {
			return err
		}
		if m&(1<<31) != 0 {
			return nil
		}
	}
	return errTooLong
}

// deadline limits how long the next bytes may take, unless shutdown has.
func (c *conn) deadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.SetReadDeadline(t)
	}
}

// Write takes a reply from go-nfs, perhaps in pieces, and sends it when it is
// whole. It never fails: go-nfs would stop taking replies, and then wait
// forever with the next. A broken connection is closed, and Read ends it.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.partial = append(c.partial, p...)
	for len(c.partial) >= 4 {
		n := 4 + int(binary.BigEndian.Uint32(c.partial)&^(1<<31))
		if len(c.partial) < n {
			break
		}
		if len(c.queue) == 0 { // closed
			c.partial = nil
			break
		}
		a := c.queue[0]
		rec := c.h.mend(a, c.partial[4:n])
		c.mu.Unlock()
		err := c.send(rec)
		c.mu.Lock()
		c.h.calls.Delete(a.id)
		if len(c.queue) > 0 { // not closed meanwhile
			c.queue = c.queue[1:]
		}
		c.partial = append(c.partial[:0], c.partial[n:]...)
		if err != nil {
			c.broken = true
			c.Conn.Close()
		}
		c.replied.Broadcast()
	}
	return len(p), nil
}

// send writes one record.
func (c *conn) send(rec []byte) error {
	b := append(put32(make([]byte, 0, len(rec)+4), uint32(len(rec))|1<<31), rec...)
	c.wmu.Lock()
	defer c.wmu.Unlock()
	_, err := c.Conn.Write(b)
	return err
}

// flush waits until the calls that go-nfs has are answered, for flushTime at
// most: go-nfs forgets them as soon as Read fails.
func (c *conn) flush() {
	c.SetWriteDeadline(time.Now().Add(flushTime))
	t := time.AfterFunc(flushTime, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.broken = true
		c.replied.Broadcast()
	})
	defer t.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) > 0 && !c.broken {
		c.replied.Wait()
	}
}

func (c *conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// shutdown lets the call in progress finish and takes no further one.
func (c *conn) shutdown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
	c.SetReadDeadline(time.Unix(1, 0))
}

// Close closes the connection; more than once does no harm.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.mu.Lock()
	left := c.queue
	c.queue, c.broken = nil, true
	c.replied.Broadcast()
	c.mu.Unlock()
	for _, a := range left {
		c.h.calls.Delete(a.id)
	}
	c.onClose(c)
	return err
}

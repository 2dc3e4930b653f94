package rpc

import "slices"

// begin has a call begun that may be answered later. It has a slot, which it keeps until then.
func (c *Conn) begin(rec []byte) {
	reply, later, err := c.begun(rec)
	if later {
		return
	}
	c.reply(rec, reply, err)
	c.leave()
}

func (c *Conn) begun(rec []byte) (reply []byte, later bool, err error) {
	defer c.recovered(&err)
	return c.s.later.Begin(c, rec, getBuffer(size0)[:markSize])
}

// Answer takes the reply to a call of which [Deferrer.Begin] has said that it comes later. It
// waits for nothing.
func (c *Conn) Answer(record, reply []byte) { c.reply(record, reply, nil) }

// Release follows Answer; it sees that the reply leaves, with all others that are there by
// then, and waits for nothing either.
func (c *Conn) Release() {
	if c.flushNow() {
		c.of.spawn(job{c: c, flush: true}) // it keeps the slot
		return
	}
	c.leave() // what has been queued is written, or somebody writes it who has a slot or reads
}

// flushSlowly is what a worker does where flushNow has said that there is more.
func (c *Conn) flushSlowly() {
	c.mu.Lock()
	c.called = false
	c.flushLocked()
	c.mu.Unlock()
	c.leave() // what has been queued is written, or somebody writes it who has a slot or reads
}

// flushNow writes what is queued, by one call, as far as the client takes it at once. It tells
// whether there is more, for which a worker has to be called.
func (c *Conn) flushNow() (more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing || c.called || len(c.out) == 0 || c.dead != nil {
		return false
	}
	if c.queued > flatten || !writesNow(c.conn) {
		c.called = true
		return true
	}
	batch := c.out
	c.out, c.spare = c.spare[:0], nil
	c.flat = c.flat[:0]
	for i, b := range batch {
		c.flat = append(c.flat, b...)
		putBuffer(b)
		batch[i] = nil
	}
	c.writing = true
	c.mu.Unlock()
	n := writeNow(c.conn, c.flat)
	c.s.stats.sent.Add(int64(n))
	c.s.stats.writes.Add(1)
	c.mu.Lock()
	c.writing = false
	c.spare = batch[:0]
	c.queued -= n
	if n < len(c.flat) { // whoever can wait goes on
		c.out = slices.Insert(c.out, 0, append(getBuffer(len(c.flat) - n)[:0], c.flat[n:]...))
	}
	c.room.Broadcast()
	if c.dead != nil {
		c.dropLocked()
	}
	c.called = len(c.out) > 0
	return c.called
}

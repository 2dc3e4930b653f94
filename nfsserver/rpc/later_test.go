package rpc

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

// company has a call on the way that waits, so that others are not the only ones; the test
// releases it.
func (r *rig) company(c net.Conn) {
	r.Helper()
	r.send(c, record([]byte("w0")))
	<-r.e.blocked
}

// next is the next call that is to be answered later.
func (r *rig) next() begun {
	r.Helper()
	select {
	case b := <-r.e.begun:
		return b
	case <-time.After(patience):
		r.Fatal("no call is begun")
		return begun{}
	}
}

// TestLater: calls that are answered later hold up no others, get their replies in the order
// in which they are answered, and those that are there together leave together.
func TestLater(t *testing.T) {
	r := newRig(t, Options{})
	c := r.dial()
	r.company(c)
	r.send(c, bytes.Join([][]byte{record([]byte("l1")), record([]byte("l2")), record([]byte("i3")), record([]byte("l4"))}, nil))
	r.want(c, []byte("i3"))
	b1, b2, b4 := r.next(), r.next(), r.next()
	const before = 1
	r.eventually("the reply that was read is counted", func() bool { return r.Stats().Writes == before })
	for _, b := range []begun{b2, b1, b4} {
		b.answer()
	}
	for _, b := range []begun{b2, b1, b4} {
		b.c.Release()
	}
	for _, want := range []string{"l2", "l1", "l4"} {
		r.want(c, []byte(want))
	}
	r.eventually("written", func() bool { return r.Stats().Writes > before })
	if n := r.Stats().Writes - before; runtime.GOOS == "linux" && !raced && n != 1 {
		t.Errorf("%d writes of three replies that were there together", n)
	}
	r.e.release <- struct{}{}
	r.want(c, []byte("w0"))
	r.eventually("no call is under way", func() bool { return r.Stats().InCalls == 0 })
}

// TestLaterBounds: no more calls are begun than may be under way, and those beyond wait and
// are not lost.
func TestLaterBounds(t *testing.T) {
	for _, o := range []Options{{ConnCalls: 4}, {MaxCalls: 4}} {
		r := newRig(t, o)
		c := r.dial()
		r.company(c)
		for i := range 10 {
			r.send(c, record(fmt.Appendf(nil, "l%d", i)))
		}
		all := []begun{r.next(), r.next(), r.next()}
		select {
		case <-r.e.begun:
			t.Fatalf("%+v: a fourth call", o)
		case <-time.After(50 * time.Millisecond):
		}
		for i := range 10 {
			b := all[0]
			all = all[1:]
			b.answer()
			b.c.Release()
			r.want(c, fmt.Appendf(nil, "l%d", i))
			if i < 7 {
				all = append(all, r.next())
			}
		}
		r.e.release <- struct{}{}
		r.want(c, []byte("w0"))
	}
}

// TestLaterStays: where beginning a call takes long, the others are read, and it counts once.
func TestLaterStays(t *testing.T) {
	const calls = 3
	r := newRig(t, Options{ConnCalls: 1 + calls})
	c := r.dial()
	r.company(c)
	for i := range calls {
		r.send(c, record(fmt.Appendf(nil, "S%d", i)))
		select {
		case <-r.e.blocked:
		case <-time.After(patience):
			t.Fatalf("call %d of %d is not begun", i+1, calls)
		}
		r.send(c, record([]byte("i"))) // somebody reads on
		r.want(c, []byte("i"))
	}
	if n := r.Stats().InCalls; n != 1+calls {
		t.Errorf("%d calls are under way, not %d", n, 1+calls)
	}
	for range 1 + calls {
		r.e.release <- struct{}{}
	}
	p := make([]byte, (4+2)*(1+calls)) // in any order
	if _, err := io.ReadFull(c, p); err != nil {
		t.Fatal(err)
	}
	r.eventually("no call is under way", func() bool { return r.Stats().InCalls == 0 })
	r.stop()
}

// TestLaterDeaf: a client that does not read holds up nobody who answers it, and gets all
// that it was sent when it reads.
func TestLaterDeaf(t *testing.T) {
	r := newRig(t, Options{})
	c := r.dial()
	r.company(c)
	const bigs = 12 // more than sockets hold
	for range bigs {
		r.send(c, record([]byte{big, 'x'}))
	}
	r.send(c, bytes.Repeat(record([]byte("l1")), 3))
	// The reader takes no calls while too much is queued: some of the replies have to be read.
	read := 0
	for len(r.e.begun) < 3 {
		r.want(c, bytes.Repeat([]byte("x"), 1<<20))
		read++
		for end := time.Now().Add(200 * time.Millisecond); len(r.e.begun) < 3 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 3 {
			b := r.next()
			b.answer()
			b.c.Release()
		}
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("who answers waits for a client that does not read")
	}
	ls := 0
	for range bigs - read + 3 {
		rec, err := ReadRecord(c, 2<<20)
		if err != nil {
			t.Fatal(err)
		}
		if len(rec) == 2 {
			ls++
		} else if len(rec) != 1<<20 || bytes.Count(rec, []byte("x")) != 1<<20 {
			t.Fatalf("a reply of %d bytes", len(rec))
		}
	}
	if ls != 3 {
		t.Errorf("%d replies of 3", ls)
	}
	r.e.release <- struct{}{}
	r.want(c, []byte("w0"))
}

// TestLaterPiecewise: replies of which the client takes a part leave in whole.
func TestLaterPiecewise(t *testing.T) {
	r := newRig(t, Options{})
	c := r.dial()
	r.company(c)
	const calls, size = 3000, 4000 // more than sockets hold
	call := func(i int) []byte {
		return append(fmt.Appendf(nil, "l%08d", i), bytes.Repeat([]byte{byte(i)}, size)...)
	}
	go func() {
		for i := range calls {
			if _, err := c.Write(record(call(i))); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	go func() {
		for range calls {
			b := <-r.e.begun
			b.answer()
			b.c.Release()
		}
	}()
	for last := int64(-1); ; time.Sleep(50 * time.Millisecond) { // until nothing moves
		n := r.Stats().Calls
		if n == last {
			break
		}
		last = n
	}
	got := map[string]bool{} // another reader may have come, so in no order
	for range calls {
		rec, err := ReadRecord(c, 2*size)
		if err != nil {
			t.Fatal(err)
		}
		got[string(rec)] = true
	}
	for i := range calls {
		if !got[string(call(i))] {
			t.Fatalf("no reply to call %d", i)
		}
	}
	r.e.release <- struct{}{}
	r.want(c, []byte("w0"))
}

// TestLaterGone: a call may be answered when its client has gone; the connection ends then.
func TestLaterGone(t *testing.T) {
	r := newRig(t, Options{})
	c := r.dial()
	r.company(c)
	r.send(c, record([]byte("l1")))
	b := r.next()
	c.Close()
	r.e.release <- struct{}{}
	r.eventually("the call that waited has ended", func() bool { return r.Stats().InCalls == 1 })
	if n := r.Stats().Conns; n != 1 {
		t.Errorf("%d connections while a call is not answered", n)
	}
	b.answer()
	b.c.Release()
	r.eventually("disconnected", func() bool { return r.Stats().Conns == 0 && r.Stats().InCalls == 0 })
}

// TestLaterPanics: so does a panic where one is begun.
func TestLaterPanics(t *testing.T) {
	r := newRig(t, Options{})
	c := r.dial()
	r.company(c)
	r.send(c, record([]byte{panicsL}))
	r.e.release <- struct{}{}
	r.eventually("disconnected", func() bool { return r.Stats().Conns == 0 && r.Stats().InCalls == 0 })
}

// TestLaterDrain: when the server ends, it waits for calls that are to be answered later.
func TestLaterDrain(t *testing.T) {
	r := newRig(t, Options{})
	c := r.dial()
	r.company(c)
	r.send(c, record([]byte("l1")))
	b := r.next()
	r.e.release <- struct{}{}
	r.want(c, []byte("w0"))
	done := make(chan struct{})
	go func() { r.stop(); close(done) }()
	select {
	case <-done:
		t.Fatal("the server has ended")
	case <-time.After(50 * time.Millisecond):
	}
	b.answer()
	b.c.Release()
	r.want(c, []byte("l1"))
	<-done
}

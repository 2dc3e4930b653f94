//go:build !race

package rpc

import (
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// connected returns the two ends of a connection.
func connected(t *testing.T) (peer, nc net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if peer, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	if nc, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return peer, nc
}

// TestLinger: the next read looks for data as long as it is told to, and then waits for them.
func TestLinger(t *testing.T) {
	peer, nc := connected(t)
	c := direct(nc)
	read := func(want string) {
		t.Helper()
		p := make([]byte, 64)
		if n, err := c.Read(p); err != nil || string(p[:n]) != want {
			t.Fatalf("read %q, %v; want %q", p[:n], err, want)
		}
	}
	asked := 0
	linger(c, func() bool {
		if asked++; asked == 3 { // until then there is nothing
			if _, err := peer.Write([]byte("soon")); err != nil {
				t.Error(err)
			}
		}
		return true
	})
	if read("soon"); asked < 3 {
		t.Errorf("it looked %d times", asked)
	}
	asked = 0
	linger(c, func() bool { // there is nothing: this is what sends it, later
		asked++
		time.AfterFunc(10*time.Millisecond, func() { _, _ = peer.Write([]byte("late")) })
		return false
	})
	if read("late"); asked != 1 {
		t.Errorf("asked %d times whether to look on, after it was told not to", asked)
	}
	asked = 0
	linger(c, func() bool { asked++; return false })
	if _, err := peer.Write([]byte("there")); err != nil {
		t.Fatal(err)
	}
	for !hasMore(c) {
		runtime.Gosched()
	}
	read("there")
	time.AfterFunc(10*time.Millisecond, func() { _, _ = peer.Write([]byte("again")) })
	if read("again"); asked != 0 {
		t.Errorf("what was said for a read that need not look holds for the next one")
	}
}

// TestDoze: the next read is woken when there are data, and waits on where there are none for long; one at a time.
func TestDoze(t *testing.T) {
	peer, nc := connected(t)
	c := direct(nc)
	var dozing atomic.Bool
	read := func(want string, after time.Duration) {
		t.Helper()
		doze(c, &dozing)
		time.AfterFunc(after, func() { _, _ = peer.Write([]byte(want)) })
		p := make([]byte, 64)
		if n, err := c.Read(p); err != nil || string(p[:n]) != want {
			t.Fatalf("read %q, %v; want %q", p[:n], err, want)
		}
	}
	read("there", 0)
	read("soon", dozeMost/4)
	read("late", 10*dozeMost)
	if dozing.Load() {
		t.Fatal("it is said to doze when it has read")
	}
	dozing.Store(true) // another one
	read("waits", dozeMost)
	if !dozing.Load() {
		t.Fatal("another one is not said to doze any more")
	}
	dozing.Store(false)
	doze(c, &dozing)
	time.AfterFunc(dozeMost/4, func() { nc.Close() })
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatalf("read %d bytes of a closed connection", n)
	}
}

// TestWhoDozes: where there is one processor the reader dozes, if another of the GOMAXPROCS is left.
func TestWhoDozes(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	_, nc := connected(t)
	s := New(&echo{}, Options{Processors: 1})
	c := s.newConn(nc, nil)
	dozes := func(want bool, calls int64, what string) {
		t.Helper()
		d := c.conn.(*directConn)
		d.dozing = nil
		s.stats.calls.Add(calls)
		if c.expect(); (d.dozing != nil) != want || d.again != nil {
			t.Errorf("%s: the reader dozes: %t, looks: %t", what, !want, d.again != nil)
		}
	}
	dozes(false, 0, "no call yet")
	dozes(true, 1, "one call")
	dozes(true, 1, "one call again")
	dozes(false, 2, "two calls, whosever")
	dozes(true, 1, "one call again")
	runtime.GOMAXPROCS(1)
	dozes(false, 1, "one thread for Go code")
}

// TestAnsweredIsNotCompany: a call whose reply has left is no company for the next one, even if who has written it has not
// given its slot back.
func TestAnsweredIsNotCompany(t *testing.T) {
	_, nc := connected(t)
	s := New(&echo{}, Options{})
	c := s.newConn(nc, nil)
	c.unsure = false
	c.enter()
	c.calls.Add(1)
	if c.alone() {
		t.Error("it is alone beside a call that has no reply yet")
	}
	c.company = 0
	c.Answer(getBuffer(0), getBuffer(0))
	if !c.alone() {
		t.Error("it is not alone, though all calls have their replies")
	}
	c.leave()
}

// TestWhoLingers: the reader looks for the next call of a client that has one in flight, while
// nothing else is going on, and not again for a while where it has looked in vain.
func TestWhoLingers(t *testing.T) {
	_, nc := connected(t)
	s := New(&echo{}, Options{Processors: 2})
	c := s.newConn(nc, nil)
	looks := func(want bool, calls int64, what string) {
		t.Helper()
		before := s.stats.lingered.Load()
		s.stats.calls.Add(calls)
		if c.expect(); (s.stats.lingered.Load() > before) != want {
			t.Errorf("%s: the reader looks: %t", what, !want)
		}
	}
	goesOn := func(want bool, what string) {
		t.Helper()
		if c.goesOn() != want {
			t.Errorf("%s: the reader goes on: %t", what, !want)
		}
	}
	inVain := func() {
		t.Helper()
		for range inDoubt {
			looks(false, 1, "it has looked in vain")
		}
		looks(true, 1, "after a while")
	}
	looks(false, 0, "no call yet")
	alone := func(want bool, what string) {
		t.Helper()
		if c.Alone() != want {
			t.Errorf("%s: nothing else goes on: %t", what, !want)
		}
	}
	looks(true, 1, "one call")
	alone(false, "one call")
	looks(true, 1, "one call again")
	alone(true, "one call twice")
	s.slots <- struct{}{}
	alone(false, "another one is carried out")
	<-s.slots
	looks(false, 2, "two calls, whosever")
	alone(false, "two calls, whosever")
	s.slots <- struct{}{}
	looks(false, 1, "a call is being carried out")
	<-s.slots
	looks(true, 1, "one call again")
	c.linger.since = now() + int64(time.Minute)
	goesOn(true, "nothing has happened")
	c.linger.since = now() - lingerMost
	goesOn(false, "it took too long")
	inVain()
	c.linger.since = now() + int64(time.Minute)
	s.stats.calls.Add(1)
	goesOn(false, "there is another client")
	looks(false, 1, "two calls since")
	inVain()
}

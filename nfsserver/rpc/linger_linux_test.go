//go:build !race

package rpc

import (
	"net"
	"runtime"
	"testing"
	"time"
)

// TestLinger: the next read looks for data as long as it is told to, and then waits for them.
func TestLinger(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
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
	linger(c, func() bool { asked++; return false })
	time.AfterFunc(10*time.Millisecond, func() { _, _ = peer.Write([]byte("late")) })
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

// TestWhoLingers: the reader looks for the next call of a client that has one in flight, and is
// the only one, and seldom if that takes its time.
func TestWhoLingers(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("there is one processor")
	}
	call := record([]byte{inline, 1})
	one := func(r *rig, c net.Conn) {
		r.send(c, call)
		r.want(c, []byte{inline, 1})
	}
	for _, w := range []struct {
		what        string
		do          func(r *rig, a, b net.Conn)
		least, most int64
	}{
		{"one call at a time", func(r *rig, a, _ net.Conn) {
			for range 100 {
				one(r, a)
			}
		}, 1, 100},
		{"one call at a time, after a pause", func(r *rig, a, _ net.Conn) {
			for range 3 * inDoubt {
				one(r, a)
				time.Sleep(2 * time.Millisecond)
			}
		}, 1, 4},
		{"two calls at a time", func(r *rig, a, _ net.Conn) {
			for range 100 {
				r.send(a, append(append([]byte(nil), call...), call...))
				r.want(a, []byte{inline, 1})
				r.want(a, []byte{inline, 1})
			}
		}, 0, 0},
		{"two clients in turns", func(r *rig, a, b net.Conn) {
			for range 100 {
				one(r, a)
				one(r, b)
			}
		}, 0, 2},
	} {
		r := newRig(t, Options{})
		if w.do(r, r.dial(), r.dial()); r.stats.lingered.Load() < w.least || r.stats.lingered.Load() > w.most {
			t.Errorf("%s: the reader looked %d times, not %d to %d", w.what, r.stats.lingered.Load(), w.least, w.most)
		}
	}
}

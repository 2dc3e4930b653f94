package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSplitAnywhere: it does not matter how TCP cuts a stream.
func TestSplitAnywhere(t *testing.T) {
	r := newRig(t, Options{})
	rec := []byte("gabcdefgh")
	for at := range len(rec) + markSize {
		c := r.dial()
		b := record(rec)
		r.send(c, b[:at])
		time.Sleep(time.Millisecond) // so that the server sees the part, mostly
		r.send(c, b[at:])
		r.want(c, rec)
		c.Close()
	}
}

// TestFragments: a record may come in fragments, of one byte or of none.
func TestFragments(t *testing.T) {
	r := newRig(t, Options{})
	c := r.dial()
	rec := append([]byte{parallel}, bytes.Repeat([]byte("0123456789"), 1000)...)
	var b []byte
	for i := range rec {
		b = append(append(b, 0, 0, 0, 1), rec[i])
		if i%7 == 0 {
			b = append(b, 0, 0, 0, 0)
		}
	}
	b = append(b, 0x80, 0, 0, 0)
	r.send(c, b)
	r.want(c, rec)
	r.send(c, record([]byte("iagain")))
	r.want(c, []byte("iagain"))
}

// TestStream: records of all sizes, one behind the other, over the borders of all
// buffers and classes, each answered once.
func TestStream(t *testing.T) {
	const seed = 5
	t.Logf("seed %d", seed)
	r := newRig(t, Options{})
	c := r.dial()
	rnd := rand.New(rand.NewPCG(seed, 0))
	var sizes []int
	for _, s := range []int{size0, size1, size2, size3, readAhead, 1 << 20} {
		for d := -6; d <= 6; d++ {
			sizes = append(sizes, s+d)
		}
	}
	for range 300 {
		sizes = append(sizes, 5+rnd.IntN(600))
	}
	rnd.Shuffle(len(sizes), func(i, j int) { sizes[i], sizes[j] = sizes[j], sizes[i] })
	make := func(i int) []byte {
		rec := bytes.Repeat([]byte{byte(i)}, sizes[i])
		rec[0] = "ig"[i%2]
		binary.BigEndian.PutUint32(rec[1:], uint32(i))
		return rec
	}
	go func() {
		for i := range sizes {
			if _, err := c.Write(record(make(i))); err != nil {
				return
			}
		}
	}()
	seen := map[uint32]bool{}
	for range sizes {
		got, err := ReadRecord(c, 2<<20)
		if err != nil || len(got) < 5 {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		i := binary.BigEndian.Uint32(got[1:])
		if int(i) >= len(sizes) || seen[i] || !bytes.Equal(got, make(int(i))) {
			t.Fatalf("reply %d: seen %v, or not what was sent", i, seen[i])
		}
		seen[i] = true
	}
}

// TestTooLong: the claim alone closes the connection, in one fragment or in the
// sum of several.
func TestTooLong(t *testing.T) {
	r := newRig(t, Options{MaxRecord: 1000})
	ok := append([]byte{parallel}, make([]byte, 999)...)
	for what, b := range map[string][]byte{
		"2 GiB":     {0xff, 0xff, 0xff, 0xff},
		"1001":      {0x80, 0, 0x03, 0xe9},
		"sum 1001":  append(append([]byte{0, 0, 0x03, 0xe7}, make([]byte, 999)...), 0x80, 0, 0, 2),
		"fragments": bytes.Repeat([]byte{0, 0, 0, 1, 'g'}, 2000),
	} {
		c := r.dial()
		r.send(c, record(ok))
		r.want(c, ok)
		_, _ = c.Write(b) // it may be closed before all is sent
		t.Log(what)
		r.wantClosed(c)
	}
}

// TestClaimTakesNoMemory: 200 clients that announce 1 MiB and send nothing cost
// little.
func TestClaimTakesNoMemory(t *testing.T) {
	r := newRig(t, Options{})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 200 {
		c := r.dial()
		r.send(c, []byte{0x80, 0x10, 0, 0, inline})
	}
	r.eventually("200 connections", func() bool { return r.Stats().Conns == 200 })
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
		t.Errorf("%d MiB for 200 claims of 1 MiB", grown>>20)
	}
}

// TestOutOfOrder: a call that takes long does not hold up another.
func TestOutOfOrder(t *testing.T) {
	r := newRig(t, Options{})
	c := r.dial()
	r.send(c, append(record([]byte("w1")), record([]byte("g2"))...))
	<-r.e.blocked
	r.want(c, []byte("g2"))
	r.send(c, record([]byte("i3")))
	r.want(c, []byte("i3"))
	r.e.release <- struct{}{}
	r.want(c, []byte("w1"))
}

// TestReaderStays: a call that was thought to be fast and is not holds up nobody for
// long either, however often that happens, and none of its like is carried out by the
// reader for a while.
func TestReaderStays(t *testing.T) {
	r := newRig(t, Options{})
	for range 3 {
		c := r.dial()
		r.send(c, append(record([]byte("s1")), record([]byte("i2"))...))
		<-r.e.blocked
		r.want(c, []byte("i2"))
		r.send(c, append(record([]byte("g3")), record([]byte("s4"))...))
		r.want(c, []byte("g3"))
		<-r.e.blocked
		r.e.release <- struct{}{}
		r.e.release <- struct{}{}
		got := map[string]bool{}
		for range 2 {
			rec, err := ReadRecord(c, 100)
			if err != nil {
				t.Fatal(err)
			}
			got[string(rec)] = true
		}
		if !got["s1"] || !got["s4"] {
			t.Fatalf("replies %v", got)
		}
		r.eventually("a call that took long is thought to be slow", func() bool { return r.slow[stays%Classes].Load() > 0 })
		// They are fast again: slowCalls of them, as a rule, but the slow ones may be noted as such late, and one of
		// these may take long, too.
		for range 20 * slowCalls {
			if r.slow[stays%Classes].Load() == 0 {
				break
			}
			r.send(c, record([]byte("s5")))
			<-r.e.blocked
			r.e.release <- struct{}{}
			r.want(c, []byte("s5"))
		}
		c.Close()
	}
}

// TestReaderStaysForGood: where as many calls wait as may, nobody takes the reader's
// place; they all get their replies when it ends.
func TestReaderStaysForGood(t *testing.T) {
	r := newRig(t, Options{ConnCalls: 2})
	c := r.dial()
	for i := range 6 {
		r.send(c, record(fmt.Appendf(nil, "s%d", i)))
	}
	for range 2 {
		<-r.e.blocked
	}
	for range 6 {
		r.e.release <- struct{}{}
	}
	for range 4 {
		<-r.e.blocked
	}
	for range 6 {
		if _, err := ReadRecord(c, 100); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBounds: no more calls are carried out at once than there may be, and those
// beyond wait and are not lost.
func TestBounds(t *testing.T) {
	for _, o := range []Options{{ConnCalls: 3}, {MaxCalls: 3}} {
		r := newRig(t, o)
		c := r.dial()
		for i := range 10 {
			r.send(c, record(fmt.Appendf(nil, "w%d", i)))
		}
		for range 3 {
			<-r.e.blocked
		}
		select {
		case <-r.e.blocked:
			t.Fatalf("%+v: a fourth call", o)
		case <-time.After(50 * time.Millisecond):
		}
		for range 10 {
			r.e.release <- struct{}{}
		}
		for range 7 {
			<-r.e.blocked
		}
		for range 10 {
			if _, err := ReadRecord(c, 100); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestBadCalls: a panic or an error closes the connection that it came by, and no
// answer is none.
func TestBadCalls(t *testing.T) {
	r := newRig(t, Options{})
	honest := r.dial()
	for _, kind := range []byte{panics, fails} {
		c := r.dial()
		r.send(c, append(record([]byte{silent}), record([]byte("ix"))...))
		r.want(c, []byte("ix"))
		r.send(c, record([]byte{kind}))
		r.wantClosed(c)
		r.send(honest, record([]byte("ghello")))
		r.want(honest, []byte("ghello"))
	}
}

// TestDeafClient: who sends and never reads is stopped, and disconnected, at a
// bounded cost.
func TestDeafClient(t *testing.T) {
	r := newRig(t, Options{WriteTimeout: 300 * time.Millisecond})
	c := r.dial()
	sent := 0
	for sent < 1000 { // replies of 1 GB
		_ = c.SetWriteDeadline(time.Now().Add(patience))
		if _, err := c.Write(record([]byte{big, 'x'})); err != nil {
			break
		}
		sent++
	}
	r.eventually("disconnected", func() bool { return r.Stats().Conns == 0 })
	if n := r.Stats().Calls; n > 200 {
		t.Errorf("%d calls were answered to nobody", n)
	}
}

// TestSlowRecord: a record must arrive in its time, and a silent connection is
// closed in its own.
func TestSlowRecord(t *testing.T) {
	r := newRig(t, Options{RecordTimeout: 50 * time.Millisecond})
	c := r.dial()
	r.send(c, []byte{0x80, 0, 0, 9, inline})
	r.wantClosed(c)
	r = newRig(t, Options{Idle: 50 * time.Millisecond})
	r.wantClosed(r.dial())
}

// TestTooMany: a new connection takes the place of the one that is idle longest,
// and is refused where none is.
func TestTooMany(t *testing.T) {
	r := newRig(t, Options{MaxConns: 2})
	busy, idle := r.dial(), r.dial()
	r.send(busy, record([]byte{waits}))
	<-r.e.blocked
	r.send(idle, record([]byte("ix")))
	r.want(idle, []byte("ix"))
	third := r.dial()
	r.send(third, record([]byte("i3")))
	r.want(third, []byte("i3"))
	r.wantClosed(idle)
	r.send(third, record([]byte{waits}))
	<-r.e.blocked
	r.wantClosed(r.dial())
	if n := r.Stats().Refused; n != 2 {
		t.Errorf("%d refused, want 2", n)
	}
	r.e.release <- struct{}{}
	r.e.release <- struct{}{}
	r.want(busy, []byte{waits})
	r.want(third, []byte{waits})
}

// TestDrain: when the server ends, the call in flight gets its reply, what comes
// later gets none, and one that does not end is cut off.
func TestDrain(t *testing.T) {
	r := newRig(t, Options{})
	c := r.dial()
	r.send(c, record([]byte("w1")))
	<-r.e.blocked
	done := make(chan struct{})
	go func() { r.stop(); close(done) }()
	r.eventually("the listener is closed", func() bool {
		n, err := net.Dial("tcp", r.addr)
		if err == nil {
			n.Close()
		}
		return err != nil
	})
	r.eventually("the connection is told", func() bool { // which is after that
		r.mu.Lock()
		defer r.mu.Unlock()
		told := true
		for c := range r.conns {
			c.mu.Lock()
			told = told && c.draining
			c.mu.Unlock()
		}
		return told
	})
	r.send(c, record([]byte("i2")))
	r.e.release <- struct{}{}
	r.want(c, []byte("w1"))
	r.wantClosed(c)
	<-done

	r = newRig(t, Options{Drain: 50 * time.Millisecond})
	c = r.dial()
	r.send(c, record([]byte{waits}))
	<-r.e.blocked
	r.stop()
	r.wantClosed(c)
}

// TestOpened: the handler's view of a connection is made once, and may refuse it.
func TestOpened(t *testing.T) {
	refuse := true
	var mu sync.Mutex
	r := newRig(t, Options{Opened: func(c *Conn) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		if !c.Peer().Addr().IsLoopback() || c.Peer().Port() == 0 || c.Local().Port() == 0 {
			t.Errorf("peer %v, local %v", c.Peer(), c.Local())
		}
		if refuse {
			return nil, io.ErrNoProgress
		}
		return 5, nil
	}})
	r.wantClosed(r.dial())
	mu.Lock()
	refuse = false
	mu.Unlock()
	c := r.dial()
	r.send(c, record([]byte("ix")))
	r.want(c, []byte("ix"))
}

// flaky fails to accept as long as it is told to.
type flaky struct {
	net.Listener
	mu   sync.Mutex
	fail int
}

func (f *flaky) Accept() (net.Conn, error) {
	f.mu.Lock()
	fail := f.fail > 0
	f.fail--
	f.mu.Unlock()
	if fail {
		return nil, fmt.Errorf("accept: too many open files")
	}
	return f.Listener.Accept()
}

// TestAcceptFails: it goes on when that passes.
func TestAcceptFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s := New(&echo{}, Options{})
	go func() { done <- s.Serve(ctx, &flaky{Listener: l, fail: 3}) }()
	r := &rig{TB: t, addr: l.Addr().String()}
	c := r.dial()
	r.send(c, record([]byte("ix")))
	r.want(c, []byte("ix"))
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	l, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := s.Serve(context.Background(), l); err == nil {
		t.Error("a listener that is closed is served")
	}
}

// TestDatagrams: each is answered to where it came from, also after one that is
// not.
func TestDatagrams(t *testing.T) {
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s := New(&echo{}, Options{})
	go func() { done <- s.ServePacket(ctx, p) }()
	c, err := net.Dial("udp", p.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, kind := range []byte{silent, fails, panics, inline} {
		if _, err := c.Write([]byte{kind, 'x'}); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil || string(b[:n]) != "ix" {
		t.Errorf("%q, %v", b[:n], err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestGrow: content stays, and what is not of a class goes to nobody.
func TestGrow(t *testing.T) {
	b := append(getBuffer(0)[:markSize], "abc"...)
	for _, n := range []int{10, 600, 5000, 40 << 10, 200 << 10, 2 << 20} {
		if b = Grow(b, n); cap(b)-len(b) < n || !strings.HasSuffix(string(b), "abc") {
			t.Fatalf("after Grow by %d: %q, capacity %d", n, b, cap(b))
		}
	}
	putBuffer(b)
	putBuffer(nil)
}

// raced says that the race detector is on, with which pools drop what they are
// given, so that there is garbage.
var raced bool

// TestNoAllocations: small calls that are answered on the spot leave no garbage,
// one after the other or many at once, nor does a large reply.
func TestNoAllocations(t *testing.T) {
	if raced {
		t.Skip("pools leave garbage with the race detector")
	}
	r := newRig(t, Options{})
	c := r.dial()
	const many = 50
	one := record(append([]byte{inline}, make([]byte, 100)...))
	pipeline := bytes.Repeat(one, many)
	large := record([]byte{big, 1})
	reply := make([]byte, markSize+1<<20)
	call := func(rec []byte, n int) {
		if _, err := c.Write(rec); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, reply[:n]); err != nil {
			t.Fatal(err)
		}
	}
	for what, k := range map[string]struct {
		rec  []byte
		n    int
		most float64 // a goroutine of its own and what the test makes
	}{
		"one": {one, len(one), 0}, "pipeline": {pipeline, len(pipeline), 0}, "1 MiB": {large, markSize + 1<<20, 8},
	} {
		if n := testing.AllocsPerRun(200, func() { call(k.rec, k.n) }); n > k.most {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}

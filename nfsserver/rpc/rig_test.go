package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// echo answers a record with itself, in the way that its first byte says.
type echo struct {
	blocked chan struct{} // told of each call that waits
	release chan struct{} // lets one go on
	begun   chan begun    // calls that are to be answered later
}

type begun struct {
	c          *Conn
	rec, reply []byte
}

func (b begun) answer() { b.c.Answer(b.rec, append(b.reply, b.rec...)) }

const (
	inline   = 'i' // on the reader's goroutine
	swift    = 'I' // as inline, of a class that is not Patient
	parallel = 'g' // on one of its own
	panics   = 'p'
	fails    = 'e'
	silent   = 'n'
	waits    = 'w'
	stays    = 's' // as waits, but the reader does not know it
	big      = 'b' // the reply is 1 MiB of the second byte
	later    = 'l' // as parallel, or answered when the test says so
	panicsL  = 'P' // as panics, where later may be answered later
	staysL   = 'S' // as stays, there
)

func (e *echo) Begin(c *Conn, rec, reply []byte) ([]byte, bool, error) {
	if rec[0] == panicsL {
		panic("as it was told to")
	}
	if rec[0] == staysL {
		e.blocked <- struct{}{}
		<-e.release
		return append(reply, rec...), false, nil
	}
	e.begun <- begun{c, rec, reply}
	return nil, true, nil
}

func (e *echo) Class(rec []byte) int {
	if len(rec) > 0 && (rec[0] == later || rec[0] == panicsL || rec[0] == staysL) {
		return Defers
	}
	if len(rec) > 0 && (rec[0] == inline || rec[0] == swift || rec[0] == stays) {
		return int(rec[0]) % Classes
	}
	return Waits
}

func (e *echo) Call(ctx context.Context, _ *Conn, rec, reply []byte) ([]byte, error) {
	if len(rec) == 0 {
		return reply, nil
	}
	switch rec[0] {
	case panics:
		panic("as it was told to")
	case fails:
		return reply, errors.New("as it was told to")
	case silent:
		return reply, nil
	case waits, stays:
		e.blocked <- struct{}{}
		select {
		case <-e.release:
		case <-ctx.Done():
			return reply, ctx.Err()
		}
	case big:
		reply = Grow(reply, 1<<20)
		return append(reply, bytes.Repeat(rec[1:2], 1<<20)...), nil
	}
	return append(Grow(reply, len(rec)), rec...), nil
}

// rig is a server on loopback.
type rig struct {
	testing.TB
	*Server
	e    *echo
	addr string
	stop func() // ends the server, waits for it
}

func newRig(t testing.TB, o Options) *rig {
	t.Helper()
	return newRigOf(t, o, func(e *echo) Handler { return e })
}

// newRigOf has an echo served as what of makes of it.
func newRigOf(t testing.TB, o Options, of func(*echo) Handler) *rig {
	t.Helper()
	e := &echo{blocked: make(chan struct{}, 100), release: make(chan struct{}), begun: make(chan begun, 100)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{TB: t, Server: New(of(e), o), e: e, addr: l.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx, l) }()
	stopped := false
	r.stop = func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(patience):
			t.Fatal("Serve does not end")
		}
	}
	t.Cleanup(r.stop)
	return r
}

func (r *rig) dial() net.Conn {
	r.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		r.Fatal(err)
	}
	return c
}

// send sends bytes as they are.
func (r *rig) send(c net.Conn, b []byte) {
	r.Helper()
	if _, err := c.Write(b); err != nil {
		r.Fatal(err)
	}
}

// want reads a reply.
func (r *rig) want(c net.Conn, want []byte) {
	r.Helper()
	got, err := ReadRecord(c, 2<<20)
	if err != nil || !bytes.Equal(got, want) {
		r.Fatalf("reply of %d bytes %.40q, error %v; want %d bytes %.40q", len(got), got, err, len(want), want)
	}
}

// wantClosed reads the end of the connection.
func (r *rig) wantClosed(c net.Conn) {
	r.Helper()
	if got, err := ReadRecord(c, 2<<20); err == nil {
		r.Fatalf("a reply of %d bytes, want the end", len(got))
	} else if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		r.Fatal("the connection is still open")
	}
}

// record is rec with its mark.
func record(rec []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, lastBit|uint32(len(rec))), rec...)
}

// eventually waits until ok.
func (r *rig) eventually(what string, ok func() bool) {
	r.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			r.Fatalf("%s: never\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}

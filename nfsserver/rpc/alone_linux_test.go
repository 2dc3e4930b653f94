//go:build !race

package rpc

import (
	"testing"
	"time"
)

// TestAlone: calls that wait, of a client that has one in flight at a time, wake nobody: the reader carries them out. Where
// more are in flight it reads on.
func TestAlone(t *testing.T) {
	r := newRig(t, Options{})
	c := r.dial()
	serial := func(kind byte, n int) int64 {
		before := r.Stats().Handed
		for range n {
			r.send(c, record([]byte{kind, 1}))
			r.want(c, []byte{kind, 1})
		}
		return r.Stats().Handed - before
	}
	atOnce := func(n int) int64 {
		before := r.Stats().Handed
		for range n {
			r.send(c, record([]byte{waits, 1}))
		}
		for range n { // all of them are carried out at the same time
			select {
			case <-r.e.blocked:
			case <-time.After(patience):
				t.Fatal("not all calls are carried out at once")
			}
		}
		for range n {
			r.e.release <- struct{}{}
		}
		for range n {
			r.want(c, []byte{waits, 1})
		}
		return r.Stats().Handed - before
	}
	// Once is enough: on a busy machine any call may take long.
	eventually := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(patience / 4); !ok(); {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	// What took long, and may again, is for the reader where it is only patient, as what waits is.
	slow := func(kind byte) int64 {
		r.late(int(kind) % Classes)
		return serial(kind, slowCalls/2)
	}
	for range 3 {
		eventually("one slow call at a time wakes other goroutines", func() bool { return slow(inline) == 0 })
		if n := slow(swift); n < slowCalls/2 {
			t.Errorf("%d calls that should be swift and were not wake other goroutines %d times", slowCalls/2, n)
		}
		eventually("one call at a time wakes other goroutines", func() bool { return serial(parallel, 100) == 0 })
		for range 20 {
			if n := atOnce(3); n < 2 {
				t.Fatalf("3 calls at once, and %d times another goroutine", n)
			}
		}
		eventually("nobody reads on while calls are carried out", func() bool { return atOnce(3) > 0 && serial(parallel, 10) >= 10 })
	}
}

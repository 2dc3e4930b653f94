package rpc

import (
	"context"
	"testing"
	"time"
)

// asides is an echo that does something beside some calls, and answers them with whether it does.
type asides struct {
	*echo
	fn func(context.Context)
}

func (a asides) Call(ctx context.Context, c *Conn, rec, reply []byte) ([]byte, error) {
	if string(rec) == "g aside" {
		if c.Go(a.fn) {
			return append(reply, "yes"...), nil
		}
		return append(reply, "no"...), nil
	}
	return a.echo.Call(ctx, c, rec, reply)
}

// TestGo: what is done beside the calls holds none of them up, the server waits for it when it ends, tells it when it waits no
// more, and a fault of it ends nothing else.
func TestGo(t *testing.T) {
	const ask = "g aside"
	begun, end, told := make(chan bool, 10), make(chan bool), make(chan error, 10)
	waiting := func(ctx context.Context) {
		begun <- true
		select {
		case <-end:
		case <-ctx.Done():
		}
		told <- ctx.Err()
	}
	rigOf := func(o Options, fn func(context.Context)) *rig {
		return newRigOf(t, o, func(e *echo) Handler { return asides{e, fn} })
	}
	stopped := func(r *rig) chan bool {
		done := make(chan bool)
		go func() {
			r.stop()
			close(done)
		}()
		return done
	}

	r := rigOf(Options{Drain: patience}, waiting)
	c := r.dial()
	r.send(c, record([]byte(ask)))
	r.want(c, []byte("yes"))
	<-begun
	for _, rec := range []string{"i", "g", "i again"} {
		r.send(c, record([]byte(rec)))
		r.want(c, []byte(rec))
	}
	if n := r.Stats().InCalls; n != 1 {
		t.Errorf("%d slots are taken", n)
	}
	done := stopped(r)
	select {
	case <-done:
		t.Error("the server has not waited")
	case <-time.After(50 * time.Millisecond):
	}
	end <- true
	<-done
	if err := <-told; err != nil {
		t.Errorf("it was told: %v", err)
	}

	r = rigOf(Options{Drain: time.Millisecond}, waiting)
	c = r.dial()
	r.send(c, record([]byte(ask)))
	r.want(c, []byte("yes"))
	<-begun
	<-stopped(r)
	if err := <-told; err == nil {
		t.Error("it was not told that the server waits no more")
	}

	r = rigOf(Options{ConnCalls: 1}, waiting) // which the call itself has
	c = r.dial()
	for range 3 {
		r.send(c, record([]byte(ask)))
		r.want(c, []byte("no"))
	}

	r = rigOf(Options{}, func(context.Context) { panic("as it was told to") })
	c = r.dial()
	for range 3 {
		r.send(c, record([]byte(ask)))
		r.want(c, []byte("yes"))
	}
	r.eventually("slots are given back", func() bool { return r.Stats().InCalls == 0 })
}

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
	switch string(rec) {
	case "g aside":
		if c.Go(a.fn) {
			return append(reply, "yes"...), nil
		}
		return append(reply, "no"...), nil
	case "g all": // that can be done at a time
		n := byte(0)
		for c.Go(a.fn) {
			n++
		}
		return append(reply, n), nil
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
	r.eventually("one slot is taken", func() bool { return r.Stats().InCalls == 1 })
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

	r = rigOf(Options{ConnCalls: 4}, waiting)
	c = r.dial()
	r.send(c, record([]byte("g all")))
	got, err := ReadRecord(c, 100)
	if err != nil || len(got) != 1 || got[0] < 3 || got[0] > 4 { // the call itself may have a slot
		t.Fatalf("of 4 slots %v were to be had, error %v", got, err)
	}
	for range got[0] {
		end <- true
		if err := <-told; err != nil {
			t.Errorf("it was told: %v", err)
		}
	}
	r.eventually("slots are given back", func() bool { return r.Stats().InCalls == 0 })
	r.send(c, record([]byte("g")))
	r.want(c, []byte("g"))

	r = rigOf(Options{}, func(context.Context) { panic("as it was told to") })
	c = r.dial()
	for range 3 {
		r.send(c, record([]byte(ask)))
		r.want(c, []byte("yes"))
	}
	r.eventually("slots are given back", func() bool { return r.Stats().InCalls == 0 })
}

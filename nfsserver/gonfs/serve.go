package gonfs

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	nfs "github.com/willscott/go-nfs"
)

// maxConns is how many connections are served at a time; a client has at most
// 16 for one mount.
const maxConns = 256

// Serve answers the connections of l until ctx ends: it then accepts no more,
// lets calls in flight finish, and returns nil. It closes l. It returns an
// error only if l fails.
func (h *Handler) Serve(ctx context.Context, l net.Listener) error {
	g := &guard{Listener: l, h: h, conns: make(map[*conn]bool)}
	g.gone.L = &g.mu
	stop := context.AfterFunc(ctx, g.shutdown)
	defer stop()
	// go-nfs gets no context: with one it would drop the replies in flight.
	srv := &nfs.Server{Handler: h}
	err := srv.Serve(g)
	g.shutdown()
	g.wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// guard is a listener whose connections are checked.
type guard struct {
	net.Listener
	h *Handler

	mu      sync.Mutex
	gone    sync.Cond // waits for conns to become empty
	conns   map[*conn]bool
	closing bool
}

// Accept returns the next connection. Errors that pass, such as too many open
// files, do not end it: go-nfs would give up.
func (g *guard) Accept() (net.Conn, error) {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		nc, err := g.Listener.Accept()
		if err == nil {
			if c := g.add(nc); c != nil {
				return c, nil
			}
			nc.Close()
			continue
		}
		if g.isClosing() || errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		g.h.log.Warn("accept failed", "error", err)
		time.Sleep(wait)
	}
}

// add takes a connection in, or returns nil if it must be refused.
func (g *guard) add(nc net.Conn) *conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing || len(g.conns) >= maxConns {
		g.h.log.Warn("connection refused", "from", nc.RemoteAddr(), "connections", len(g.conns))
		return nil
	}
	c := newConn(nc, g.h, g.remove)
	g.conns[c] = true
	return c
}

func (g *guard) remove(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
	g.gone.Broadcast()
}

func (g *guard) isClosing() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closing
}

func (g *guard) shutdown() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closing = true
	g.Listener.Close()
	for c := range g.conns {
		c.shutdown()
	}
}

// wait returns when all connections are closed. Each closes itself: at the
// latest when its call in progress ends and flushTime is over.
func (g *guard) wait() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.conns) > 0 {
		g.gone.Wait()
	}
}

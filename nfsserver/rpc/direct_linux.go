//go:build !race

package rpc

import (
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// most is how many bytes are read or written by a call that Go's scheduler is not told of.
// It waits for the copy before it can stop the process, to collect garbage: some
// microseconds.
const most = 64 << 10

// directConn reads and writes small amounts without telling the scheduler, as calls on a socket
// that does not block need not: before any other call of the system the scheduler wakes a
// thread of its own, if it sleeps, to look after it; that thread then looks at the clock
// and sleeps a few times, which costs more than the call. There may be one reader and one
// writer at a time.
type directConn struct {
	*net.TCPConn
	raw syscall.RawConn
	in  transfer
	out transfer
	// outNow is out.do that does not wait.
	outNow func(fd uintptr) bool
	// peek is what hasMore reads into.
	peek [1]byte
	// again and dozing are of the next Read, if not nil: see linger and doze.
	again  func() bool
	dozing *atomic.Bool
	ready  unix.PollFd
	most   unix.Timespec
}

// transfer is one read or write.
type transfer struct {
	p   []byte
	n   int
	err syscall.Errno
	do  func(fd uintptr) bool // false: it is to be called again when the socket is ready
}

func (t *transfer) call(trap, fd uintptr) bool {
	for {
		n, _, err := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(&t.p[t.n])), uintptr(len(t.p)-t.n))
		switch err {
		case 0:
			t.n += int(n)
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		}
		t.err = err
		return true
	}
}

func direct(c net.Conn) net.Conn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return c
	}
	d := &directConn{TCPConn: tcp, raw: raw}
	d.in.do = func(fd uintptr) bool {
		if d.dozing != nil {
			d.doze(fd)
		}
		return d.in.call(syscall.SYS_READ, fd) || d.again != nil && d.look(fd)
	}
	d.out.do = func(fd uintptr) bool {
		for d.out.n < len(d.out.p) {
			if !d.out.call(syscall.SYS_WRITE, fd) {
				return false
			}
			if d.out.err != 0 {
				break
			}
		}
		return true
	}
	d.outNow = func(fd uintptr) bool {
		d.out.do(fd)
		return true
	}
	return d
}

// many is what takes several buffers by one call.
func many(c net.Conn) io.Writer {
	if d, ok := c.(*directConn); ok {
		return d.TCPConn
	}
	return c
}

func (d *directConn) Read(p []byte) (int, error) {
	if len(p) == 0 || len(p) > most {
		return d.TCPConn.Read(p)
	}
	t := &d.in
	t.p, t.n, t.err = p, 0, 0
	err := d.raw.Read(t.do)
	t.p, d.again = nil, nil
	switch {
	case err != nil:
		return 0, err
	case t.err != 0:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: d.LocalAddr(), Addr: d.RemoteAddr(), Err: t.err}
	case t.n == 0:
		return 0, io.EOF
	}
	return t.n, nil
}

func (d *directConn) Write(p []byte) (int, error) {
	if len(p) == 0 || len(p) > most {
		return d.TCPConn.Write(p)
	}
	t := &d.out
	t.p, t.n, t.err = p, 0, 0
	err := d.raw.Write(t.do)
	t.p = nil
	if err == nil && t.err != 0 {
		err = &net.OpError{Op: "write", Net: "tcp", Source: d.LocalAddr(), Addr: d.RemoteAddr(), Err: t.err}
	}
	return t.n, err
}

// writesNow tells whether writeNow can write.
func writesNow(c net.Conn) bool { return peeks(c) }

// writeNow writes as much as goes without a wait, and returns how much that was. What has gone
// wrong will go wrong again.
func writeNow(c net.Conn, p []byte) int {
	d, ok := c.(*directConn)
	if !ok {
		return 0
	}
	t := &d.out
	t.p, t.n, t.err = p, 0, 0
	_ = d.raw.Write(d.outNow)
	t.p = nil
	return t.n
}

// lingers tells whether linger does anything.
func lingers(c net.Conn) bool { return peeks(c) }

// linger has the next Read, by the same goroutine, look for data until there are some, or more is
// false; then it waits.
func linger(c net.Conn, more func() bool) {
	if d, ok := c.(*directConn); ok {
		d.again = more
	}
}

// look reads again and again.
func (d *directConn) look(fd uintptr) bool {
	const looks = 4 // for each look at the clock
	more := d.again
	for d.again = nil; more(); {
		for range looks {
			if d.in.call(syscall.SYS_READ, fd) {
				return true
			}
		}
	}
	return false
}

// doze has the next Read, by the same goroutine, be woken by the system if there are data within dozeMost: if no other is
// dozing.
func doze(c net.Conn, dozing *atomic.Bool) {
	if d, ok := c.(*directConn); ok {
		d.dozing = dozing
	}
}

// doze ends early where Go's scheduler interrupts it, which wants its turn.
func (d *directConn) doze(fd uintptr) {
	dozing := d.dozing
	d.dozing = nil
	if !dozing.CompareAndSwap(false, true) {
		return
	}
	d.ready = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	d.most = unix.NsecToTimespec(int64(dozeMost))
	_, _, _ = syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&d.ready)), 1, uintptr(unsafe.Pointer(&d.most)), 0, 0, 0)
	dozing.Store(false)
}

// peeks tells whether hasMore can tell.
func peeks(c net.Conn) bool {
	_, ok := c.(*directConn)
	return ok
}

// hasMore tells whether there is something to read, without a wait.
func hasMore(c net.Conn) (more bool) {
	d, ok := c.(*directConn)
	if !ok {
		return false
	}
	err := d.raw.Control(func(fd uintptr) {
		n, _, err := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&d.peek)), 1, syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
		more = err == 0 && n > 0
	})
	return more && err == nil
}

package rpc

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// descriptors counts those that this process has open, or is 0 where the system
// does not tell.
func descriptors() int {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(d)
}

// misbehave is one connection of a client that is broken, or wants to break us.
func misbehave(r *rand.Rand, c net.Conn) {
	defer c.Close()
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond)) // then it vanishes
	var b []byte
	switch r.IntN(7) {
	case 0: // says nothing
	case 1: // noise
		b = make([]byte, r.IntN(3000))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	case 2: // vanishes in a record
		b = binary.BigEndian.AppendUint32(nil, lastBit|uint32(r.IntN(1<<20)))
		b = append(b, make([]byte, r.IntN(2000))...)
	case 3: // vanishes before its replies
		for range 1 + r.IntN(20) {
			b = append(b, record([]byte{parallel, 1, 2, 3})...)
		}
	case 4: // in the middle of one
		b = append(b, record([]byte{big, 1})...)
	case 5: // makes the handler panic
		b = record([]byte{panics})
	case 6: // fragments of nothing
		b = make([]byte, 4*r.IntN(500))
	}
	_, _ = c.Write(b)
	if r.IntN(2) == 0 {
		_, _ = c.Read(make([]byte, 10))
		return
	}
	if t, ok := c.(*net.TCPConn); ok && r.IntN(2) == 0 {
		_ = t.SetLinger(0) // a reset
	}
}

// TestHostile: thousands of connections of clients that vanish, lie and stall leave
// goroutines, descriptors and memory where they were, and an honest client unharmed.
func TestHostile(t *testing.T) {
	n := 10000
	if testing.Short() {
		n = 1000
	}
	const seed = 11
	t.Logf("seed %d, %d connections", seed, n)
	r := newRig(t, Options{})
	honest := r.dial()
	talk := func() {
		r.send(honest, record([]byte("ghello")))
		r.want(honest, []byte("ghello"))
	}
	talk()
	goroutines, fds, heap := runtime.NumGoroutine(), descriptors(), heapBytes()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				talk()
				time.Sleep(time.Millisecond)
			}
		}
	})
	var hostile sync.WaitGroup
	for w := range 16 {
		hostile.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(w)))
			for range n / 16 {
				c, err := net.Dial("tcp", r.addr)
				if err != nil {
					t.Error(err)
					return
				}
				misbehave(rnd, c)
			}
		})
	}
	hostile.Wait()
	close(stop)
	wg.Wait()
	r.eventually("one connection left", func() bool { return r.Stats().Conns <= 1 })
	r.eventually("goroutines back", func() bool { return runtime.NumGoroutine() <= goroutines+maxIdle+1 }) // and who watches
	r.eventually("descriptors back", func() bool { return descriptors() <= fds })
	if now := heapBytes(); now > heap+16<<20 {
		t.Errorf("the heap has grown from %d to %d MiB", heap>>20, now>>20)
	}
}

// heapBytes is what is in use once there is no garbage, nor a pool of it.
func heapBytes() uint64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Package coarse tells the time to those who ask all the time and need not know it well: how old what is cached is, how
// long a peer has been silent. Asking costs a load from memory. time.Now costs a system call where the kernel maps no clock
// into processes, as under some hypervisors, on some small devices and in User-Mode Linux; a server that asks several
// times for each call then does little else.
package coarse

import (
	"sync/atomic"
	"time"
)

// Step is by how much Now may be late. A machine without processor time to spare, or one that slept, may add to it.
const Step = 50 * time.Millisecond

// last is what the clock said when it was asked last, 0 once that is Step ago.
var last atomic.Int64

// began is some time, and ahead is by how much the clock was ahead, when it was asked last, of what has passed since.
var (
	began = time.Now()
	ahead atomic.Int64
)

// Now returns nanoseconds since 1970 as of now, or of at most [Step] before. It may be called concurrently. While nobody
// asks, nothing runs.
func Now() int64 {
	if t := last.Load(); t != 0 {
		return t
	}
	now := time.Now()
	t := now.UnixNano()
	ahead.Store(t - int64(now.Sub(began)))
	if last.CompareAndSwap(0, t) {
		time.AfterFunc(Step, func() { last.Store(0) })
	}
	return t
}

// Precise returns nanoseconds since 1970. That the clock was set is noticed after [Step] at the latest, as is, by some
// systems, that the machine slept. It asks the clock once, where time.Now asks for the time of day and for how long the
// machine is up.
func Precise() int64 {
	Now()
	return ahead.Load() + int64(time.Since(began))
}

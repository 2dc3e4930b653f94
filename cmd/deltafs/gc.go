package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// A server makes garbage fast and has little that lives: the usual rule, to collect when
// the heap has doubled, would have it collect all the time; and where much lives, such as
// while millions of files are made, it would let the heap double.
const (
	garbageLeast = 32 << 20 // bytes of garbage that are waited for
	garbageMost  = 48 << 20
)

// tuneGC sets how much garbage is waited for after each collection.
func tuneGC() {
	type sentinel struct{ _ [16]byte }
	var again func(*sentinel)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	again = func(s *sentinel) {
		metrics.Read(live)
		debug.SetGCPercent(garbagePercent(live[0].Value.Uint64()))
		runtime.SetFinalizer(s, again) // runs after the next collection
	}
	again(new(sentinel))
}

// garbagePercent is what GOGC is to be when so many bytes live.
func garbagePercent(live uint64) int {
	garbage := min(max(live, garbageLeast), garbageMost)
	return int(min(garbage*100/max(live, 1<<20), math.MaxInt32))
}

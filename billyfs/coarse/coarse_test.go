package coarse

import (
	"sync"
	"testing"
	"time"
)

// TestNow follows the clock, from behind, for all who ask.
func TestNow(t *testing.T) {
	before := time.Now().UnixNano()
	first := Now()
	if after := time.Now().UnixNano(); first < before-int64(Step)-int64(time.Minute) || first > after {
		t.Fatalf("%d is not between %d and %d", first, before, after)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for moved := 0; moved < 3; { // it goes on, however long the test waits for processor time
				now := Now()
				if now > time.Now().UnixNano() {
					t.Error("it is ahead of the clock")
					return
				}
				for Now() == now {
					time.Sleep(time.Millisecond)
				}
				moved++
			}
		})
	}
	wg.Wait()
}

func BenchmarkNow(b *testing.B) {
	for b.Loop() {
		Now()
	}
}

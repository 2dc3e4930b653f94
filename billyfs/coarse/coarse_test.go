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

// TestPrecise is the clock, for all who ask, also when nobody has asked for long.
func TestPrecise(t *testing.T) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 100 {
				before := time.Now().UnixNano()
				now := Precise()
				// A clock that is being set right while the test runs goes a little faster or slower than time does.
				if after, d := time.Now().UnixNano(), int64(time.Millisecond); now < before-d || now > after+d {
					t.Errorf("%d is not between %d and %d", now, before, after)
					return
				}
				time.Sleep(time.Duration(i%10) * Step / 20)
			}
		})
	}
	wg.Wait()
}

func BenchmarkPrecise(b *testing.B) {
	for b.Loop() {
		Precise()
	}
}

func BenchmarkNow(b *testing.B) {
	for b.Loop() {
		Now()
	}
}

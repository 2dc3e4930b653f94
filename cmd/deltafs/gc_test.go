package main

import "testing"

// TestGarbage: little that lives leaves room for much garbage, and much for little.
func TestGarbage(t *testing.T) {
	const mib = 1 << 20
	for live, want := range map[uint64]int{0: 3200, mib: 3200, 8 * mib: 400, 32 * mib: 100, 40 * mib: 100, 96 * mib: 50, 480 * mib: 10} {
		if got := garbagePercent(live); got != want {
			t.Errorf("%d MiB live: GOGC=%d, want %d", live/mib, got, want)
		}
	}
}

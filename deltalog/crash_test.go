package deltalog

import (
	"os"
	"strconv"
	"testing"
)

// crashScale returns how many histories of the usual number to run: a tenth
// under the race detector and -short, DELTAFS_SOAK times as many when that is
// set.
func crashScale(t *testing.T, n int) (from, to int) {
	if s := os.Getenv("DELTAFS_HISTORY"); s != "" { // one, to see it again
		i, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return i, i + 1
	}
	if s := os.Getenv("DELTAFS_SOAK"); s != "" {
		f, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return 0, n * f
	}
	if testing.Short() || raceDetector {
		return 0, n / 10
	}
	return 0, n
}

// TestCrash crashes many histories at every write and sync, recovers, and
// compares with what the store was told.
func TestCrash(t *testing.T) {
	from, to := crashScale(t, 200)
	plan := crashPlan{lives: 3, steps: 40, seeds: 1, every: 40, lost: 8}
	tally := newTally()
	for seed := from; seed < to; seed++ {
		if err := runHistory(uint64(seed), plan, tally); err != nil {
			t.Fatalf("DELTAFS_HISTORY=%d: %v", seed, err)
		}
	}
	t.Logf("%d histories, %d crash states, %d of them crashes of a recovery; %d distinct images; %d rotations, %d recycled, %d trims, %d hot and %d cold segments cleaned, %d changes of layers, settled %d times, %d reopens, %d kills",
		tally.histories, tally.crashes+tally.again, tally.again, len(tally.images), tally.rotations, tally.recycled, tally.trims, tally.cleanedHot, tally.cleanedCold, tally.restacks, tally.settles, tally.reopen, tally.kills)
	if to-from < 10 {
		return
	}
	n := to - from
	for what, enough := range map[string]bool{
		"distinct images":        len(tally.images) >= 100*n,
		"crashes of recoveries":  tally.again >= n,
		"rotations":              tally.rotations >= 5*n,
		"recycled segments":      tally.recycled >= n,
		"trims":                  tally.trims >= n/4,
		"hot segments cleaned":   tally.cleanedHot >= n,
		"cold segments cleaned":  tally.cleanedCold >= n,
		"changes of layers":      tally.restacks >= n,
		"settled layers":         tally.settles >= n,
		"kills":                  tally.kills >= n,
		"clean closes and opens": tally.reopen >= n,
	} {
		if !enough {
			t.Errorf("too few %s for %d histories", what, n)
		}
	}
}

// TestCrashWithoutIndex crashes fewer histories, but loses the index each time.
func TestCrashWithoutIndex(t *testing.T) {
	from, to := crashScale(t, 12)
	tally := newTally()
	for seed := from; seed < to; seed++ {
		if err := runHistory(uint64(seed), crashPlan{lives: 3, steps: 40, seeds: 2, every: 1 << 30, lost: 1}, tally); err != nil {
			t.Fatalf("DELTAFS_HISTORY=%d: %v", seed, err)
		}
	}
	t.Logf("%d histories, %d crash states", tally.histories, tally.crashes)
}

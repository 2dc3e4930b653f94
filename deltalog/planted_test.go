//go:build planted

package deltalog

import (
	"fmt"
	"os"
	"testing"
)

// plantedBug is a bug and the ordinary test that catches it, with the seed at
// which it was seen to.
type plantedBug struct {
	name string
	on   *bool
	test func(seed uint64) error
	seed uint64
}

func plantedBugs() []plantedBug {
	crash := func(seed uint64) error {
		return runHistory(seed, crashPlan{lives: 3, steps: 40, seeds: 1, every: 40, lost: 8}, newTally())
	}
	fault := func(seed uint64) error { return runFaults(seed, 40, 9, new(faultTally)) }
	foreign := func(uint64) error { return foreignBytes() }
	return []plantedBug{
		{"skip the fdatasync of a group commit", &plantSkipSync, crash, 0},
		{"acknowledge before the sync has returned", &plantAckEarly, crash, 0},
		{"ignore the salt", &plantIgnoreSalt, foreign, 0},
		{"accept a bad CRC", &plantAcceptBadCRC, crash, 0},
		{"replay past a torn COMMIT", &plantReplayPastTorn, crash, 0},
		{"checkpoint LSN before its keys", &plantCkptEarly, crash, 0},
		{"skip a directory sync", &plantSkipDirSync, crash, 0},
		{"drop the last extent of a batch", &plantDropExtent, crash, 0},
		{"retry a failed fsync", &plantRetryFsync, fault, 1},
		{"reuse an inode number", &plantReuseID, crash, 0},
		{"do not sync what the cleaner copies", &plantSkipColdSync, crash, 0},
		{"drop every tombstone", &plantDropTombstone, func(uint64) error { return tombstones() }, 0},
		{"free a segment before it is durable that the log does without it", &plantFreeEarly, crash, 0},
		{"forget at recovery what the cleaner has moved", &plantNoRedo, crash, 0},
		{"an older list of cold segments behind a newer one", &plantListLate, func(uint64) error { return rotatedMeanwhile() }, 0},
		{"move a pointer that points elsewhere by now", &plantNoCAS, func(uint64) error { return changedWhileMoved() }, 0},
		{"the number of a layer that is gone is given out again", &plantReuseLayer, func(uint64) error { return newNumber() }, 0},
		{"folding layers forgets file data", &plantFoldNoData, crash, 1},
		{"what a truncated file has in layers below shows through", &plantShowBelow, crash, 0},
		{"removing hides nothing of layers below", &plantHideNothing, crash, 0},
		{"the lowest layer of a chain wins", &plantBottomFirst, crash, 0},
		{"a dropped layer stays in the index", &plantKeepDropped, crash, 7},
		{"what was replayed is not written and synced again", &plantSkipHarden, crash, 0},
		{"a segment is recycled before it is durable that it was trimmed", &plantTrimUnsynced, func(uint64) error { return trimmedFirst() }, 0},
		{"TRUNCATE leaves the extents as they are", &plantNoTruncate, crash, 0},
		{"whatever does not validate is taken for a torn tail", &plantNoLookAhead, func(seed uint64) error { return runFlips(seed, 500, new(flipTally)) }, 0},
		{"a batch is taken without its first frames", &plantHalfBatch, crash, 0},
		{"the name of a new segment is not made durable", &plantSpareSync, crash, 0},
		{"the frames of a batch go to the index, and its write is not looked at", &plantShortBatch, fault, 0},
		{"nothing says at the end that all before it is synced", &plantNoCover, func(seed uint64) error { return runFlips(seed, 2000, new(flipTally)) }, 0},
		{"the list of cold segments is taken from behind the end of the log", &plantBehindEnd, func(uint64) error { return listBehindEnd() }, 0},
		{"changes go to frozen layers", &plantThawed, func(uint64) error { return frozenLayer() }, 0},
	}
}

// TestPlanted switches on one bug after the other and fails unless the ordinary
// tests catch it. With DELTAFS_SOAK they get all seeds, not only the recorded
// one, and it prints those that catch.
func TestPlanted(t *testing.T) {
	for _, b := range plantedBugs() {
		t.Run(b.name, func(t *testing.T) {
			if err := b.test(b.seed); err != nil {
				t.Fatalf("without the bug, seed %d: %v", b.seed, err)
			}
			*b.on = true
			defer func() { *b.on = false }()
			err := caught(b.test, b.seed)
			if err == nil {
				t.Errorf("seed %d does not catch it", b.seed)
			} else {
				t.Logf("seed %d: %v", b.seed, err)
			}
			if os.Getenv("DELTAFS_SOAK") == "" {
				return
			}
			for seed := range uint64(50) {
				if err := caught(b.test, seed); err != nil {
					t.Logf("seed %d catches it: %v", seed, err)
				}
			}
		})
	}
}

// caught turns a panic into an error: a store with a bug in it may panic.
func caught(test func(uint64) error, seed uint64) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return test(seed)
}

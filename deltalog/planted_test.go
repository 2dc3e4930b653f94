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
		return runHistory(seed, crashPlan{lives: 3, steps: 40, seeds: 1, every: 40}, newTally())
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
		{"free a segment before the checkpoint that has passed it", &plantFreeEarly, crash, 0},
		{"an older list of cold segments behind a newer one", &plantListLate, func(uint64) error { return rotatedMeanwhile() }, 0},
		{"move a pointer that points elsewhere by now", &plantNoCAS, func(uint64) error { return changedWhileMoved() }, 0},
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

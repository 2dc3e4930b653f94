package billyfs

import (
	"fmt"
	"slices"
	"testing"
)

// permutations calls fn with every order of s.
func permutations(s []Ino, fn func([]Ino)) {
	var rec func(k int)
	rec = func(k int) {
		if k == len(s) {
			fn(slices.Clone(s))
			return
		}
		for i := k; i < len(s); i++ {
			s[k], s[i] = s[i], s[k]
			rec(k + 1)
			s[k], s[i] = s[i], s[k]
		}
	}
	rec(0)
}

// TestLocksAreTakenInOrderOfNumbers holds each lock of a set in turn, asks for
// the whole set in every order, and sees that exactly those below are taken.
func TestLocksAreTakenInOrderOfNumbers(t *testing.T) {
	tree := &Tree{}
	tree.nodes.init()
	sorted := []Ino{3, 1<<40 + 7, 1<<63 + 1, 1<<63 + 200}
	permutations(slices.Clone(sorted), func(order []Ino) {
		for held := range sorted {
			t.Run(fmt.Sprint(order, held), func(t *testing.T) {
				blocker := tree.lock(sorted[held])
				done := make(chan lockSet)
				go func() { done <- tree.lock(append(order, 0, order[0])...) }()
				for i, ino := range sorted[:held] {
					waitLocked(t, tree, ino, i)
				}
				for _, ino := range sorted[held+1:] {
					n := tree.nodes.get(ino)
					if !n.mu.TryLock() {
						t.Errorf("%d is locked before %d", ino, sorted[held])
					} else {
						n.mu.Unlock()
					}
					tree.nodes.put(n)
				}
				blocker.unlock()
				set := <-done
				defer set.unlock()
				for i, n := range set.nodes {
					if n.ino != sorted[i] || set.node(n.ino) != n {
						t.Errorf("lock %d of the set is of %d", i, n.ino)
					}
				}
			})
		}
	})
}

// waitLocked waits until somebody holds the lock of ino.
func waitLocked(t *testing.T, tree *Tree, ino Ino, i int) {
	n := tree.nodes.get(ino)
	defer tree.nodes.put(n)
	eventually(t, fmt.Sprint("lock ", i, " is taken"), func() bool {
		if n.mu.TryLock() {
			n.mu.Unlock()
			return false
		}
		return true
	})
}

func TestNodeTableIsBoundedAndKeepsWhatIsInUse(t *testing.T) {
	var nt nodeTable
	nt.init()
	used := nt.get(42)
	for i := range Ino(nodeShards * idlePerShard * 2) {
		nt.put(nt.get(1000 + i))
	}
	total := 0
	for i := range nt.shards {
		if n := nt.shards[i].n; n > idlePerShard {
			t.Errorf("shard %d keeps %d idle nodes", i, n)
		}
		total += len(nt.shards[i].m)
	}
	if total > nodeShards*idlePerShard+1 {
		t.Errorf("%d nodes are kept", total)
	}
	if again := nt.get(42); again != used {
		t.Error("a node in use was evicted: two nodes for one inode")
	}
}

package billyfs

import (
	"cmp"
	"slices"
)

// lockSet is a set of inodes that are locked together.
//
// As long as it is held the line stays in its layer (Tree.stack).
//
// INVARIANT: nodes is in strictly rising order of inode number, and the locks
// were taken in that order. That, with nobody taking a second set while
// holding one, is why calls cannot wait for each other in a circle.
type lockSet struct {
	t     *Tree
	nodes []*node
	stack bool // Tree.stack is held shared
}

// lock locks inodes in order of their numbers. Zeros and repeated numbers are
// allowed and count once.
func (t *Tree) lock(inos ...Ino) lockSet {
	t.stack.RLock()
	s := t.lockNodes(inos...)
	s.stack = true
	return s
}

// lockNodes is lock for who has the stack alone.
func (t *Tree) lockNodes(inos ...Ino) lockSet {
	s := lockSet{t: t, nodes: make([]*node, 0, len(inos))}
	slices.Sort(inos)
	for i, ino := range inos {
		if ino == 0 || i > 0 && inos[i-1] == ino {
			continue
		}
		s.nodes = append(s.nodes, t.nodes.get(ino))
	}
	for _, n := range s.nodes {
		n.mu.Lock()
	}
	return s
}

func (s lockSet) unlock() {
	for _, n := range s.nodes {
		n.mu.Unlock()
		s.t.nodes.put(n)
	}
	if s.stack {
		s.t.stack.RUnlock()
	}
}

// node returns the node of an inode that is locked.
func (s lockSet) node(ino Ino) *node {
	i, ok := slices.BinarySearchFunc(s.nodes, ino, func(n *node, ino Ino) int { return cmp.Compare(n.ino, ino) })
	if !ok {
		panic("billyfs: inode is not in the lock set")
	}
	return s.nodes[i]
}

// name is a name in a directory, with what it stands for.
type name struct {
	dir   Ino
	name  string
	lower Ino    // what the base shows under it, whatever the layer says; 0: nothing
	ino   Ino    // what the merged tree shows under it; 0: nothing
	shift uint64 // Tree.shifts when lower was looked up
}

// lockNames locks the directories of names, what the names stand for, and the
// inode extra (0: none), and fills in name.ino. Since a lock set is taken in
// order of numbers, and the numbers come from a lookup, the lookup is repeated
// under the locks, until both agree.
func (t *Tree) lockNames(extra Ino, names ...*name) (lockSet, error) {
	for {
		inos := []Ino{extra}
		for _, n := range names {
			if err := t.resolve(n); err != nil {
				return lockSet{}, err
			}
			inos = append(inos, n.dir, n.ino)
		}
		set := t.lock(inos...)
		same, err := t.stillLocked(names)
		if err == nil && same {
			return set, nil
		}
		set.unlock()
		if err != nil {
			return lockSet{}, err
		}
	}
}

// stillLocked says whether names still stand for what they did before the
// locks were taken.
func (t *Tree) stillLocked(names []*name) (bool, error) {
	for _, n := range names {
		before := n.ino
		if err := t.resolve(n); err != nil {
			return false, err
		}
		if n.ino != before {
			n.ino = before
			return false, nil
		}
	}
	return true, nil
}

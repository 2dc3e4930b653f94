package billyfs

import (
	"sync"
	"sync/atomic"

	"deltafs/deltalog"
)

// Size of the node table: shards spread its locks; each keeps at most
// idlePerShard nodes that nobody uses, as a cache.
const (
	nodeShards   = 64
	idlePerShard = 1024
)

// node is the in-memory side of an inode that is in use or was lately.
//
// INVARIANT: all users of one inode at one time have the same node.
type node struct {
	ino Ino
	// mu is the inode's lock. Whoever changes the inode, or a name in it,
	// holds it from before the state is read until after the batch is
	// appended. Never held over Sync.
	mu sync.RWMutex
	// state is what the layer says of the inode; nil: not asked yet. States are
	// never changed, only replaced: by the holder of mu after an append, by
	// anybody from nil. So it can be read without mu.
	state atomic.Pointer[state]
	gen   atomic.Uint64 // generation of an object with a record; 0: not asked yet
	// Under the shard's lock:
	refs       int
	next, prev *node // in the shard's ring of idle nodes, if refs is 0
}

// state is what the layer holds of an inode at one moment.
type state struct {
	rec   *deltalog.Inode  // nil: no record. Never changed.
	used  *usage           // nil: not counted yet. Never changed.
	layer deltalog.LayerID // that was live then: a live one over it has no record of its own
	epoch uint64           // of the tree then: a state of another is not true any more
}

// usage counts the bytes of a file that are held in the layer.
type usage struct {
	data uint64 // all of them
	low  uint64 // those below the record's LowerLen, which hide bytes of the lower file
	// density is what the base takes on its disk for a byte of the lower file.
	density float64
}

// nodeTable finds nodes by number.
type nodeTable struct {
	shards [nodeShards]nodeShard
}

type nodeShard struct {
	mu   sync.Mutex
	m    map[Ino]*node
	idle node // head of the ring of nodes with refs 0: next is the oldest
	n    int  // of them
}

func (nt *nodeTable) init() {
	for i := range nt.shards {
		s := &nt.shards[i]
		s.m = make(map[Ino]*node)
		s.idle.next, s.idle.prev = &s.idle, &s.idle
	}
}

func (nt *nodeTable) shard(ino Ino) *nodeShard {
	return &nt.shards[shardOf(ino, nodeShards)]
}

// get returns the node of ino, which stays in the table until put.
func (nt *nodeTable) get(ino Ino) *node {
	s := nt.shard(ino)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.m[ino]
	if n == nil {
		n = &node{ino: ino}
		s.m[ino] = n
	}
	if n.next != nil {
		s.unlink(n)
	}
	n.refs++
	return n
}

// peek returns the state of ino if it is in the table, without using it.
func (nt *nodeTable) peek(ino Ino) *state {
	s := nt.shard(ino)
	s.mu.Lock()
	n := s.m[ino]
	s.mu.Unlock()
	if n == nil {
		return nil
	}
	return n.state.Load()
}

// put gives back a node that get returned.
func (nt *nodeTable) put(n *node) {
	s := nt.shard(n.ino)
	s.mu.Lock()
	defer s.mu.Unlock()
	n.refs--
	if n.refs > 0 {
		return
	}
	n.prev, n.next = s.idle.prev, &s.idle
	n.prev.next, s.idle.prev = n, n
	s.n++
	for s.n > idlePerShard {
		old := s.idle.next
		s.unlink(old)
		delete(s.m, old.ino)
	}
}

// unlink takes an idle node out of the ring.
func (s *nodeShard) unlink(n *node) {
	n.prev.next, n.next.prev = n.next, n.prev
	n.next, n.prev = nil, nil
	s.n--
}

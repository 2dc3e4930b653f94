package billyfs

import (
	"container/list"
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
	refs  int           // under the shard's lock
	idle  *list.Element // in the shard's idle list, if refs is 0
}

// state is what the layer holds of an inode at one moment.
type state struct {
	rec  *deltalog.Inode // nil: no record. Never changed.
	used *usage          // nil: not counted yet. Never changed.
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
	idle list.List // of *node with refs 0, oldest first
}

func (nt *nodeTable) init() {
	for i := range nt.shards {
		nt.shards[i].m = make(map[Ino]*node)
	}
}

func (nt *nodeTable) shard(ino Ino) *nodeShard {
	h := uint64(ino) * 0x9E3779B97F4A7C15
	return &nt.shards[h>>32%nodeShards]
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
	if n.idle != nil {
		s.idle.Remove(n.idle)
		n.idle = nil
	}
	n.refs++
	return n
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
	n.idle = s.idle.PushBack(n)
	for s.idle.Len() > idlePerShard {
		old := s.idle.Remove(s.idle.Front()).(*node)
		old.idle = nil
		delete(s.m, old.ino)
	}
}

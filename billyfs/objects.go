package billyfs

import (
	"sync"
	"sync/atomic"
)

// objShards spread the locks of an objTable.
const objShards = 64

// golden spreads numbers that lie close together: Fibonacci hashing, Knuth, TAOCP vol. 3, 6.4.
const golden = 0x9E3779B97F4A7C15

// shardOf spreads numbers over so many shards.
func shardOf(ino Ino, shards uint64) uint64 { return uint64(ino) * golden >> 32 % shards }

// objTable finds the objects of a base that are known, by number. It keeps all directories, for what is below them is
// found through them, and about most other objects.
type objTable struct {
	most    int
	entered atomic.Uint32 // objects, ever
	left    atomic.Uint64 // objects that are known no more, ever: of those it is not seen whether they change
	shared  atomic.Int64  // of those that are known, how many are
	shards  [objShards]objShard
}

type objShard struct {
	mu    sync.Mutex
	m     map[Ino]*object
	files int // that are not directories
	next  int // there must be before some are forgotten
}

func (t *objTable) init(most int) {
	t.most = most
	for i := range t.shards {
		t.shards[i].m = make(map[Ino]*object)
	}
}

func (t *objTable) shard(ino Ino) *objShard {
	return &t.shards[shardOf(ino, objShards)]
}

// get returns an object that is known, or nil.
func (t *objTable) get(ino Ino) *object {
	s := t.shard(ino)
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.getLocked(s, ino)
}

func (t *objTable) getLocked(s *objShard, ino Ino) *object {
	o := s.m[ino]
	if o != nil {
		if now := t.entered.Load(); o.seen != now {
			o.seen = now
		}
	}
	return o
}

// set enters an object; another one of its number, which has its type, is known no more.
func (t *objTable) set(o *object) {
	s := t.shard(o.ino)
	s.mu.Lock()
	defer s.mu.Unlock()
	t.setLocked(s, o)
}

func (t *objTable) setLocked(s *objShard, o *object) {
	if old := s.m[o.ino]; old != nil {
		t.deleteLocked(s, old)
	}
	if o.shared {
		t.shared.Add(1)
	}
	if s.m[o.ino] = o; o.typ != TypeDir {
		s.files++
	}
}

func (t *objTable) deleteLocked(s *objShard, o *object) {
	t.left.Add(1)
	if o.shared {
		t.shared.Add(-1)
	}
	if delete(s.m, o.ino); o.typ != TypeDir {
		s.files--
	}
}

// delete forgets what is known by a number.
func (t *objTable) delete(ino Ino) {
	s := t.shard(ino)
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.m[ino]; o != nil {
		t.deleteLocked(s, o)
	}
}

// justSeen is how many others must have been entered at least, and half of those that are kept, since an object was looked
// up for it to be forgotten: a call may be between two looks at it.
const justSeen = 1 << 10

// makeRoomLocked forgets some files of a shard when too many are known, but none that was looked up lately.
func (t *objTable) makeRoomLocked(s *objShard) {
	most := t.most / objShards
	if s.files < max(most, s.next) {
		return
	}
	now, lately := t.entered.Load(), uint32(max(justSeen, t.most/2))
	// A sixteenth at a time, in the map's order, which is as good as random.
	n := max(most/16, 1)
	for _, o := range s.m {
		if o.typ != TypeDir && now-o.seen > lately {
			t.deleteLocked(s, o)
			if n--; n == 0 {
				break
			}
		}
	}
	s.next = s.files + 1
	if n > 0 { // all the others were looked up lately: not to look again at once
		s.next = s.files + max(most/16, 1)
	}
}

package billyfs

import (
	"hash/maphash"
	"sync"
)

// Size of the dentry cache: shards spread its locks, and the names of one directory over them. A name can lie in one set
// of its shard only. If that is full the shard gets twice as many, but for those that have as many as they may, and those that
// have room for twice as many names as there are: in these the oldest of the set gives way.
const (
	dentryShards = 64
	dentryWays   = 8
	firstSets    = 2
)

// dentryCache remembers what names stand for in the merged tree, so that a
// lookup of one that was looked up lately asks neither base nor store.
//
// INVARIANT: no entry is older than the last change of its name that has been
// answered. A change drops the entry after it is appended and before its call
// returns, and whoever enters what he has looked up does so only if no name of
// the shard was dropped since he began.
type dentryCache struct {
	most   int // sets of a shard
	shards [dentryShards]dentryShard
}

type dentryShard struct {
	mu    sync.RWMutex
	sets  []dentrySet // as many as a power of two, or none
	names int
	drops uint64
}

// init makes a cache for so many names. There is room for twice as many, so that few crowd each other out.
func (c *dentryCache) init(names int) {
	for c.most = firstSets; c.most*dentryShards*dentryWays < 2*names; {
		c.most *= 2
	}
}

type dentrySet struct {
	tags    [dentryWays]uint32 // of the hashes of what the entries are for; 0: there is none
	oldest  uint8
	entries [dentryWays]struct {
		dentryKey
		dentry
	}
}

type dentryKey struct {
	dir  Ino
	name string
}

type dentry struct {
	ino   Ino
	until int64 // nanoseconds since 1970; what the base shows is believed till then; 0: for good
}

var dentrySeed = maphash.MakeSeed()

// dentryHash is the hash of a name in a directory.
type dentryHash uint64

func hashOf(dir Ino, name []byte) dentryHash {
	return dentryHash(maphash.Bytes(dentrySeed, name) ^ uint64(dir)*golden)
}

func (k dentryKey) hash() dentryHash {
	return dentryHash(maphash.String(dentrySeed, k.name) ^ uint64(k.dir)*golden)
}

func (h dentryHash) tag() uint32 { return uint32(h>>32) | 1 }

func (c *dentryCache) shard(h dentryHash) *dentryShard { return &c.shards[h%dentryShards] }

// setLocked returns where a name can lie; nil if the shard is empty.
func (s *dentryShard) setLocked(h dentryHash) *dentrySet {
	if len(s.sets) == 0 {
		return nil
	}
	return &s.sets[int(h/dentryShards)&(len(s.sets)-1)]
}

// get returns what a name stood for when it was last looked up, if that still
// holds.
func (c *dentryCache) get(dir Ino, name []byte) (dentry, bool) {
	h := hashOf(dir, name)
	s := c.shard(h)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if set := s.setLocked(h); set != nil {
		for i, tag := range set.tags {
			if e := &set.entries[i]; tag == h.tag() && e.dir == dir && e.name == string(name) {
				return e.dentry, true
			}
		}
	}
	return dentry{}, false
}

// drops is what put wants to know from before the lookup.
func (c *dentryCache) drops(k dentryKey) uint64 {
	s := c.shard(k.hash())
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.drops
}

// put enters what a lookup has found that began when drops was what it is now.
func (c *dentryCache) put(drops uint64, k dentryKey, d dentry) {
	h := k.hash()
	s := c.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drops != drops {
		return
	}
	for !s.putLocked(h, k, d, c.most) {
		s.growLocked()
	}
}

// putLocked enters a name, unless there should be more sets first, of which there may be so many.
func (s *dentryShard) putLocked(h dentryHash, k dentryKey, d dentry, most int) bool {
	set := s.setLocked(h)
	if set == nil {
		return false
	}
	at, free := set.placeOf(h, k)
	switch {
	case at >= 0:
	case free >= 0:
		at = free
		s.names++
	case len(s.sets) < most && 2*s.names >= len(s.sets)*dentryWays:
		return false
	default:
		at = int(set.oldest)
		set.oldest = uint8(at+1) % dentryWays
	}
	set.tags[at] = h.tag()
	set.entries[at].dentryKey, set.entries[at].dentry = k, d
	return true
}

// placeOf returns where a name is, and a place where it could be; -1: there is none.
func (set *dentrySet) placeOf(h dentryHash, k dentryKey) (at, free int) {
	free = -1
	for i, tag := range set.tags {
		if tag == h.tag() && set.entries[i].dentryKey == k {
			return i, free
		}
		if tag == 0 {
			free = i
		}
	}
	return -1, free
}

// growLocked makes room for twice as many names: each set's go into two.
func (s *dentryShard) growLocked() {
	old := s.sets
	s.sets, s.names = make([]dentrySet, max(firstSets, 2*len(old))), 0
	for i := range old {
		for j, tag := range old[i].tags {
			if e := &old[i].entries[j]; tag != 0 {
				s.putLocked(e.hash(), e.dentryKey, e.dentry, 0)
			}
		}
	}
}

// drop forgets a name that has changed.
func (c *dentryCache) drop(k dentryKey) {
	h := k.hash()
	s := c.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drops++
	set := s.setLocked(h)
	if set == nil {
		return
	}
	if at, _ := set.placeOf(h, k); at >= 0 {
		set.tags[at], set.entries[at].dentryKey = 0, dentryKey{}
		s.names--
	}
}

// clear forgets all names.
func (c *dentryCache) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.drops++
		s.sets, s.names = nil, 0
		s.mu.Unlock()
	}
}

// Cached returns what a name in a directory stands for, if that is known
// without asking anybody. It is as Lookup but for the attributes, which Attr
// has; what Attr calls stale is to be looked up.
func (t *Tree) Cached(dir Ino, name []byte) (Ino, bool) {
	d, ok := t.dentries.get(dir, name)
	if !ok || d.until != 0 && !holds(d.until, t.lately()) {
		return 0, false
	}
	return d.ino, true
}

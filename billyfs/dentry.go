package billyfs

import (
	"hash/maphash"
	"sync"
)

// Size of the dentry cache: shards spread its locks, and the names of one directory over them. A name can lie in one set
// of its shard only, whose oldest gives way if it is full; a shard has few sets until one is.
const (
	dentryShards = 64
	dentrySets   = 256 // of a shard, at most
	firstSets    = 4
	dentryWays   = 4
)

// dentryCache remembers what names stand for in the merged tree, so that a
// lookup of one that was looked up lately asks neither base nor store.
//
// INVARIANT: no entry is older than the last change of its name that has been
// answered. A change drops the entry after it is appended and before its call
// returns, and whoever enters what he has looked up does so only if no name of
// the shard was dropped since he began.
type dentryCache struct {
	shards [dentryShards]dentryShard
}

type dentryShard struct {
	mu    sync.RWMutex
	sets  []dentrySet // as many as a power of two, or none
	drops uint64
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
	for {
		if set := s.setLocked(h); set != nil && set.put(h, k, d, len(s.sets) == dentrySets) {
			return
		}
		s.growLocked()
	}
}

// put enters a name. If there is no other place for it, it does so in that of the oldest, or not at all.
func (set *dentrySet) put(h dentryHash, k dentryKey, d dentry, must bool) bool {
	at, free := int(set.oldest), false
	for i, tag := range set.tags {
		if tag == h.tag() && set.entries[i].dentryKey == k {
			at, free = i, true
			break
		}
		if tag == 0 {
			at, free = i, true
		}
	}
	if !free {
		if !must {
			return false
		}
		set.oldest = uint8(at+1) % dentryWays
	}
	set.tags[at] = h.tag()
	set.entries[at].dentryKey, set.entries[at].dentry = k, d
	return true
}

// growLocked makes room for four times as many names.
func (s *dentryShard) growLocked() {
	old := s.sets
	s.sets = make([]dentrySet, max(firstSets, 4*len(old)))
	for i := range old {
		for j, tag := range old[i].tags {
			if e := &old[i].entries[j]; tag != 0 {
				h := e.hash()
				s.setLocked(h).put(h, e.dentryKey, e.dentry, true)
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
	for i, tag := range set.tags {
		if e := &set.entries[i]; tag == h.tag() && e.dentryKey == k {
			set.tags[i], e.dentryKey = 0, dentryKey{}
		}
	}
}

// clear forgets all names.
func (c *dentryCache) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.drops++
		s.sets = nil
		s.mu.Unlock()
	}
}

// Cached returns what a name in a directory stands for, if that is known
// without asking anybody. It is as Lookup but for the attributes, which Attr
// has; what Attr calls stale is to be looked up.
func (t *Tree) Cached(dir Ino, name []byte) (Ino, bool) {
	d, ok := t.dentries.get(dir, name)
	if !ok || d.until != 0 && t.lately() >= d.until {
		return 0, false
	}
	return d.ino, true
}

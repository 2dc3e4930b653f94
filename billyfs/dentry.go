package billyfs

import "sync"

// Size of the dentry cache: shards spread its locks.
const (
	dentryShards   = 64
	dentryPerShard = 1024
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
	m     map[dentryKey]dentry
	drops uint64
}

type dentryKey struct {
	dir  Ino
	name string
}

type dentry struct {
	ino   Ino
	until int64 // nanoseconds since 1970; what the base shows is believed till then; 0: for good
}

func (c *dentryCache) init() {
	for i := range c.shards {
		c.shards[i].m = make(map[dentryKey]dentry)
	}
}

// shard returns the shard of all names in a directory.
func (c *dentryCache) shard(dir Ino) *dentryShard {
	h := uint64(dir) * 0x9E3779B97F4A7C15
	return &c.shards[h>>32%dentryShards]
}

// get returns what a name stood for when it was last looked up, if that still
// holds.
func (c *dentryCache) get(dir Ino, name []byte) (dentry, bool) {
	s := c.shard(dir)
	s.mu.RLock()
	d, ok := s.m[dentryKey{dir, string(name)}]
	s.mu.RUnlock()
	return d, ok
}

// drops is what put wants to know from before the lookup.
func (c *dentryCache) drops(dir Ino) uint64 {
	s := c.shard(dir)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.drops
}

// put enters what a lookup has found that began when drops was what it is now.
func (c *dentryCache) put(drops uint64, k dentryKey, d dentry) {
	s := c.shard(k.dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drops != drops {
		return
	}
	if _, there := s.m[k]; !there && len(s.m) >= dentryPerShard {
		for old := range s.m { // any
			delete(s.m, old)
			break
		}
	}
	s.m[k] = d
}

// drop forgets a name that has changed.
func (c *dentryCache) drop(k dentryKey) {
	s := c.shard(k.dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drops++
	delete(s.m, k)
}

// clear forgets all names.
func (c *dentryCache) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.drops++
		clear(s.m)
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

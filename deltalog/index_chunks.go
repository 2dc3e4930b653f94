package deltalog

import (
	"bytes"
	"encoding/binary"
	"math"
	"sync"
)

// Size of a chunkCache. A chunk can lie in one set of its shard for each granule of the file that it is asked for in; where
// the set is full another one gives way, and so do others where the shard has too many bytes.
const (
	chunkShards  = 64
	chunkSets    = 128 // of a shard
	chunkWays    = 16
	chunkGranule = 1 << 20  // bytes of a file
	chunkBytes   = 24 << 20 // of all that is kept, about
	chunkSpare   = 64       // bytes of memory that one takes beside what is packed
	shardBytes   = chunkBytes / chunkShards
)

// chunkCache keeps chunks of the database that were read, verified and packed: in memory a chunk is found by one look,
// and in the database by a walk of pages most of which are in no cache of the processor. What it keeps is of the
// time between the ends of two checkpoints (see index.flushed): all the while, the database holds it, or a memtable has
// something newer.
type chunkCache struct {
	shards [chunkShards]chunkShard
}

type chunkShard struct {
	mu      sync.RWMutex
	flushed uint64 // of all that it keeps
	bytes   int
	hand    int        // where room was made last
	sets    []chunkSet // nil: it keeps nothing
}

// chunkSet has the first and the last place of each chunk beside each other, as offsets in its region.
type chunkSet struct {
	tags     [chunkWays]uint32 // of the hashes of where they are asked for; 0: there is none
	from, to [chunkWays]uint32
	chunks   [chunkWays]*keptChunk
}

// keptChunk never changes.
type keptChunk struct {
	layer  LayerID
	ino    Ino
	start  uint64 // of the file, as in its key
	upTo   uint64 // no other one in the database begins before that; at most where the region ends
	lsn    LSN
	packed []byte
}

func chunkHash(l LayerID, ino Ino, off uint64) uint64 {
	const golden = 0x9E3779B97F4A7C15
	h := (uint64(ino) ^ uint64(l)<<40) * golden
	h ^= h >> 29
	h = (h + off/chunkGranule) * golden
	return h ^ h>>32
}

func (c *chunkCache) at(l LayerID, ino Ino, off uint64) (s *chunkShard, set int, tag uint32) {
	h := chunkHash(l, ino, off)
	return &c.shards[h%chunkShards], int(h / chunkShards % chunkSets), uint32(h>>40) | 1
}

// get returns the chunk of the database, if it is kept, that holds what there is of [from, to).
func (c *chunkCache) get(flushed uint64, l LayerID, ino Ino, from, to uint64) *keptChunk {
	region := regionOf(from)
	if to > region+regionSize {
		return nil
	}
	s, set, tag := c.at(l, ino, from)
	first, last := uint32(from-region), uint32(to-region)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.flushed != flushed || s.sets == nil {
		return nil
	}
	at := &s.sets[set]
	for i, t := range at.tags {
		if t == tag && at.from[i] <= first && last <= at.to[i] {
			if k := at.chunks[i]; k.layer == l && k.ino == ino && regionOf(k.start) == region {
				return k
			}
		}
	}
	return nil
}

// put keeps a chunk that was found when from was asked for.
func (c *chunkCache) put(flushed uint64, k *keptChunk, from uint64) {
	s, set, tag := c.at(k.layer, k.ino, from)
	region := regionOf(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	if flushed < s.flushed {
		return
	}
	if s.sets == nil {
		s.sets = make([]chunkSet, chunkSets)
	} else if s.flushed != flushed {
		clear(s.sets)
		s.bytes = 0
	}
	s.flushed = flushed
	at := &s.sets[set]
	way := -1
	for i, t := range at.tags {
		if t == 0 {
			way = i
		} else if old := at.chunks[i]; t == tag && old.layer == k.layer && old.ino == k.ino && old.start == k.start {
			way = i // by somebody who was faster
			break
		}
	}
	if way < 0 {
		s.hand++
		way = s.hand % chunkWays
	}
	s.dropLocked(at, way)
	at.tags[way], at.from[way], at.to[way], at.chunks[way] = tag, uint32(k.start-region), uint32(k.upTo-region), k
	for s.bytes += k.size(); s.bytes > shardBytes; {
		s.hand++
		if other, i := &s.sets[s.hand/chunkWays%chunkSets], s.hand%chunkWays; other != at || i != way {
			s.dropLocked(other, i)
		}
	}
}

func (s *chunkShard) dropLocked(at *chunkSet, way int) {
	if k := at.chunks[way]; k != nil {
		s.bytes -= k.size()
		at.tags[way], at.chunks[way] = 0, nil
	}
}

// keptOf returns what is to be kept of a verified pair of the database, behind which none begins in its region; nil for one
// of an old form.
func keptOf(key, stored []byte) *keptChunk {
	packedChunk, trailer := stored[:len(stored)-trailerSize], stored[len(stored)-trailerSize:]
	if binary.LittleEndian.Uint32(trailer[12:]) != packed {
		return nil
	}
	start := keyTail(key)
	return &keptChunk{
		layer: keyLayer(key), ino: keyIno(key), start: start, upTo: regionOf(start) + regionSize,
		lsn: LSN(binary.LittleEndian.Uint64(trailer)), packed: bytes.Clone(packedChunk),
	}
}

func (k *keptChunk) size() int { return len(k.packed) + chunkSpare }

// key appends the key of the chunk to dst.
func (k *keptChunk) key(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(k.layer))
	dst = binary.BigEndian.AppendUint64(dst, uint64(k.ino))
	return binary.BigEndian.AppendUint64(dst, k.start)
}

// unpack appends to dst what the chunk holds, or, if part is set, what it holds of [from, to).
func (k *keptChunk) unpack(dst []byte, from, to uint64, part bool) ([]byte, error) {
	if !part {
		from, to = 0, math.MaxUint64
	}
	return unpackPart(dst, k.start, k.packed, k.lsn, from, to)
}

package deltalog

import (
	"math/bits"
	"sync/atomic"
)

// inoFilter knows of most inodes that are not in the index that they are not: most of what is asked for are files of the
// base, of which the log says nothing (Bloom, Space/time trade-offs in hash coding with allowable errors, 1970). Nothing is
// ever taken out, and it does not grow while the store is open: it then knows of fewer.
type inoFilter struct {
	words []atomic.Uint64 // a power of two of them
}

const (
	filterLeast = 1 << 17 // words: 1 MiB, 8 bits for each of a million inodes
	filterMost  = 1 << 21 // 16 MiB
	filterEach  = 12      // bits for each inode that there is when the store is opened
)

func newInoFilter(inodes uint64) *inoFilter {
	words := filterLeast
	for uint64(words)*64 < filterEach*inodes && words < filterMost {
		words *= 2
	}
	return &inoFilter{make([]atomic.Uint64, words)}
}

// at returns the word of an inode, and its bits in that: three, so that one look at the memory tells.
func (f *inoFilter) at(ino Ino) (*atomic.Uint64, uint64) {
	h, low := bits.Mul64(uint64(ino)^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
	h ^= low
	return &f.words[h>>20&uint64(len(f.words)-1)], 1<<(h&63) | 1<<(h>>6&63) | 1<<(h>>12&63)
}

func (f *inoFilter) add(ino Ino) {
	w, b := f.at(ino)
	if w.Load()&b != b {
		w.Or(b)
	}
}

// may is false if the inode was never added.
func (f *inoFilter) may(ino Ino) bool {
	w, b := f.at(ino)
	return w.Load()&b == b
}

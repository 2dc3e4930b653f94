package deltalog

// heat remembers what was overwritten while it was in the hot log, or in a segment of what had
// been so before, so that the cleaner can tell what will be overwritten soon from what was
// written once in a long while, though both are live at the old end of the log: what it moves
// together dies together. It is a guess, and forgotten when the process ends.
//
// It is three sets of bits. Marks go to the first; when the hot log was cleaned once, a new one
// comes before it and the last is forgotten: what is marked was overwritten in the last two or three
// of such rounds.
type heat struct {
	sets    [3][]uint64
	cleaned int // segments in this round
}

const (
	heatWords = 1 << 17 // 1 MiB a set
	heatBlock = 4096    // bytes of a file that are told apart
	heatSpan  = 16      // blocks of a range that are marked at most
)

func (h *heat) at(k uint64) (word int, bit uint64) {
	k ^= k >> 33
	k *= 0xff51afd7ed558ccd
	k ^= k >> 33
	return int(k >> 6 & (heatWords - 1)), 1 << (k & 63)
}

// next notes that a segment of a hot log of n segments is to be cleaned.
func (h *heat) next(n int) {
	if h.sets[0] == nil {
		for i := range h.sets {
			h.sets[i] = make([]uint64, heatWords)
		}
	}
	if h.cleaned++; h.cleaned > n {
		last := len(h.sets) - 1
		oldest := h.sets[last]
		copy(h.sets[1:], h.sets[:last])
		h.sets[0], h.cleaned = oldest, 0
		clear(oldest)
	}
}

func (h *heat) mark(k uint64) {
	word, bit := h.at(k)
	h.sets[0][word] |= bit
}

func (h *heat) marked(k uint64) bool {
	if h.sets[0] == nil {
		return false
	}
	word, bit := h.at(k)
	for _, set := range h.sets {
		if set[word]&bit != 0 {
			return true
		}
	}
	return false
}

// heatKey stands for a block of a file, or for its inode's record.
func heatKey(l LayerID, ino Ino, block uint64) uint64 {
	return (uint64(l)*0x9e3779b97f4a7c15^uint64(ino))*0xd6e8feb86659fd93 ^ (block+1)*0xa0761d6478bd642f
}

// died marks what a record that is dead was of.
func (h *heat) died(f *frame) {
	if f.typ == frameInode {
		h.mark(heatKey(f.layer, f.ino, 1<<63))
	}
}

// overwritten marks the range [from, to) of the file that a DATA frame is of.
func (h *heat) overwritten(f *frame, from, to uint64) {
	if from >= to {
		return
	}
	first, last := from/heatBlock, (to-1)/heatBlock
	for b := first; b <= min(last, first+heatSpan-1); b++ {
		h.mark(heatKey(f.layer, f.ino, b))
	}
}

// hot tells whether what a frame is of was overwritten in the last rounds.
func (h *heat) hot(f *frame) bool {
	k := heatKey(f.layer, f.ino, 1<<63)
	if f.typ == frameData {
		k = heatKey(f.layer, f.ino, f.offset/heatBlock)
	}
	return h.marked(k)
}

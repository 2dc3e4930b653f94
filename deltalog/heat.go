package deltalog

// heat remembers what was overwritten while it was in the hot log, so that the cleaner
// can tell what will be overwritten soon from what was written once in a long while,
// though both are live at the old end of the log: what it moves together dies together.
// It is a guess, and forgotten when the process ends.
//
// It is two sets of bits. Marks go to the first; when the hot log was cleaned once, it
// becomes the second and the old second is forgotten: what is marked was overwritten in
// the last one or two of such rounds.
type heat struct {
	sets    [2][]uint64
	cleaned int // segments in this round
}

const (
	heatWords = 1 << 17 // 1 MiB a set
	heatBlock = 4096    // bytes of a file that are told apart
	heatSpan  = 16      // blocks of a frame that are marked at most
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
		h.sets[0], h.sets[1] = make([]uint64, heatWords), make([]uint64, heatWords)
	}
	if h.cleaned++; h.cleaned > n {
		h.sets[0], h.sets[1], h.cleaned = h.sets[1], h.sets[0], 0
		clear(h.sets[0])
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
	return (h.sets[0][word]|h.sets[1][word])&bit != 0
}

// heatKey stands for a block of a file, or for its inode's record.
func heatKey(l LayerID, ino Ino, block uint64) uint64 {
	return (uint64(l)*0x9e3779b97f4a7c15^uint64(ino))*0xd6e8feb86659fd93 ^ (block+1)*0xa0761d6478bd642f
}

// died marks what a frame that is dead in the hot log was of.
func (h *heat) died(f *frame) {
	switch f.typ {
	case frameInode:
		h.mark(heatKey(f.layer, f.ino, 1<<63))
	case frameData:
		first, last := f.offset/heatBlock, (f.offset+uint64(f.length)-1)/heatBlock
		for b := first; b <= min(last, first+heatSpan-1); b++ {
			h.mark(heatKey(f.layer, f.ino, b))
		}
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

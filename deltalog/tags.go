package deltalog

import (
	"fmt"
	"slices"
)

// tagBytes is how much of the newest log Tags reads at least.
const tagBytes = 16 << 20

// Tags calls fn with the tag of each of the last batches that have one, oldest
// first. It reads whole segments from the newest on, until it has 16 MiB of log
// or all that there is; what was trimmed is not there. A tag is valid until fn
// returns. It is meant for whoever keeps state in tags, and asks once after
// Open. In a damaged log it ends before the damage.
func (s *Store) Tags(fn func(tag []byte)) error {
	s.appending.Lock()
	ids, headID, end := s.segs.ids(), s.head.seg.id, s.head.off
	s.appending.Unlock()
	type part struct {
		seg *segment
		end int64
	}
	var parts []part
	defer func() {
		for _, p := range parts {
			s.segs.release(p.seg)
		}
	}()
	for bytes := int64(0); len(ids) > 0 && bytes < tagBytes; ids = ids[:len(ids)-1] {
		id := ids[len(ids)-1]
		if id > headID {
			continue
		}
		seg, err := s.segs.acquire(id)
		if err != nil {
			return s.fault("tags", err)
		}
		parts = append(parts, part{seg, end})
		bytes, end = bytes+end, int64(seg.hdr.prevEnd)
	}
	slices.Reverse(parts)
	for _, p := range parts {
		_, err := scanSegment(p.seg.f, &p.seg.hdr, p.end, func(b *logBatch) error {
			if len(b.commit.tag) > 0 {
				fn(b.commit.tag)
			}
			return nil
		})
		if err != nil {
			return s.fault("tags", fmt.Errorf("%s: %w", segName(p.seg.id), err))
		}
	}
	return nil
}

package deltalog

import (
	"bytes"
	"errors"
	"fmt"
)

// checkPlaces looks for every record and range of data of the index where it
// says that they are: there must be a frame of that kind, of that inode, with
// that LSN. Payloads are not read.
func (s *Store) checkPlaces() error {
	c := placeCheck{s: s}
	defer c.release()
	for t := range tables {
		var bad error
		err := s.x.each(t, []byte{}, nil, func(p pair) bool {
			bad = c.pair(t, p)
			return bad == nil
		})
		if err = errors.Join(err, bad); err != nil {
			return err
		}
	}
	return nil
}

// placeCheck keeps the segment open that it looks into.
type placeCheck struct {
	s   *Store
	seg *segment
	buf [frameHeaderSize + MaxName]byte
}

func (c *placeCheck) release() {
	if c.seg != nil {
		c.s.segs.release(c.seg)
		c.seg = nil
	}
}

// frame reads the header of a frame, and what follows it.
func (c *placeCheck) frame(seg uint64, off uint32) (f frame, rest []byte, err error) {
	if c.seg == nil || c.seg.id != seg {
		c.release()
		if c.seg, err = c.s.segs.acquire(seg); err != nil {
			c.seg = nil
			return f, nil, err
		}
	}
	p, err := readFull(c.seg.f, c.buf[:], int64(off))
	if err == nil {
		err = decodeFrameHeader(p, c.seg.hdr.salt, &f)
	}
	if err != nil {
		return f, nil, fmt.Errorf("%s at %d: %w", segName(seg), off, err)
	}
	return f, p[frameHeaderSize:], nil
}

func (c *placeCheck) pair(t table, p pair) error {
	wrong := func(f *frame, at loc) error {
		return indexBad("%s of inode %d, LSN %d, is said to be at %s:%d, where %s of inode %d, LSN %d is",
			t, keyIno(p.key), p.lsn, segName(at.seg), at.off, f.typ, f.ino, f.lsn)
	}
	if t == tableExtent {
		for i := range chunkLen(p.val) {
			e := chunkAt(p.val, i)
			f, _, err := c.frame(e.seg, e.frameOff)
			if err != nil {
				return err
			}
			if f.typ != frameData || f.layer != keyLayer(p.key) || f.ino != keyIno(p.key) || f.lsn != e.lsn ||
				e.off < f.offset || e.end() > f.offset+uint64(f.length) {
				return wrong(&f, loc{seg: e.seg, off: e.frameOff})
			}
		}
		return nil
	}
	at := valuePointer(p.val)
	f, rest, err := c.frame(at.seg, at.off)
	if err != nil {
		return err
	}
	types := map[table]frameType{tableInode: frameInode, tableEntry: frameEntry, tableOrigin: frameOrigin, tableLayer: frameLayer}
	ok := f.typ == types[t] && f.layer == keyLayer(p.key) && f.lsn == p.lsn && f.space() == int(at.size)
	if t != tableLayer {
		ok = ok && f.ino == keyIno(p.key)
	}
	if t == tableEntry {
		ok = ok && f.offset == keyTail(p.key) && len(rest) >= int(f.length) && bytes.Equal(rest[:f.length], []byte(keyName(p.key)))
	}
	if !ok {
		if t == tableLayer {
			return indexBad("layer %d is not at %s:%d", keyLayer(p.key), segName(at.seg), at.off)
		}
		return wrong(&f, at)
	}
	return nil
}

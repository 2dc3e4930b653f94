package deltalog

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// there fails unless there is such a layer: a reader may come late.
func (s *Store) there(l LayerID) error {
	if l != noLayer && s.x.tree.Load().layers[l] == nil {
		return s.fault("read", fmt.Errorf("%w: %d", ErrNoLayer, l))
	}
	return nil
}

// Inode returns the record of an inode, and whether there is one.
func (s *Store) Inode(l LayerID, ino Ino) (Inode, bool, error) {
	if err := s.there(l); err != nil {
		return Inode{}, false, err
	}
	r, ok, err := s.x.inode(l, ino)
	return r, ok, s.fault("read", err)
}

// Unrecorded is true only if no layer holds a record of an inode, and of most of which none does. It costs one look at
// the memory.
func (s *Store) Unrecorded(ino Ino) bool { return !s.x.inos.may(ino) }

// Entry returns what a directory holds for a name, and whether it holds anything.
func (s *Store) Entry(l LayerID, dir Ino, cookie uint64, name string) (Entry, bool, error) {
	if err := s.there(l); err != nil {
		return Entry{}, false, err
	}
	e, ok, err := s.x.entry(l, dir, cookie, name)
	return e, ok, s.fault("read", err)
}

// Entries calls fn for each entry and whiteout of dir whose cookie is at least
// from, in order of cookie and name, until fn returns false. fn must not call
// the store.
func (s *Store) Entries(l LayerID, dir Ino, from uint64, fn func(DirEntry) bool) error {
	if err := s.there(l); err != nil {
		return err
	}
	return s.fault("read", s.x.entries(l, dir, from, fn))
}

// Origin returns where in the base an object lies, and whether that is recorded.
func (s *Store) Origin(ino Ino) (Origin, bool, error) {
	o, ok, err := s.x.origin(ino)
	return o, ok, s.fault("read", err)
}

// Layer returns the record of a layer, and whether there is one.
func (s *Store) Layer(id LayerID) (Layer, bool, error) {
	if n := s.x.tree.Load().layers[id]; n != nil {
		return n.Layer, true, nil
	}
	return Layer{}, false, nil
}

// EachInode and EachEntry walk all records of a layer, EachOrigin those of the store, in no
// promised order, for status and tools. fn must not call the store.
func (s *Store) EachInode(l LayerID, fn func(Ino, Inode) bool) error {
	if err := s.there(l); err != nil {
		return err
	}
	return s.fault("read", s.x.eachInode(l, fn))
}

// EachEntry is described at EachInode.
func (s *Store) EachEntry(l LayerID, fn func(dir Ino, e DirEntry) bool) error {
	if err := s.there(l); err != nil {
		return err
	}
	return s.fault("read", s.x.eachEntry(l, fn))
}

// EachOrigin is described at EachInode.
func (s *Store) EachOrigin(fn func(Ino, Origin) bool) error {
	return s.fault("read", s.x.eachOrigin(fn))
}

// DataRanges calls fn for each range of [off, off+n) that the layer holds data
// for, ascending and merged, until fn returns false.
func (s *Store) DataRanges(l LayerID, ino Ino, off, n int64, fn func(off, n int64) bool) error {
	if err := s.there(l); err != nil {
		return err
	}
	var at, length int64
	stopped := false
	_, err := s.x.pieces(s.x.chain(l), ino, off, n, func(_ LayerID, e extent) bool {
		if length > 0 && at+length == int64(e.off) {
			length += int64(e.length)
			return true
		}
		if length > 0 && !fn(at, length) {
			stopped = true
			return false
		}
		at, length = int64(e.off), int64(e.length)
		return true
	})
	if err == nil && !stopped && length > 0 {
		fn(at, length)
	}
	return s.fault("read", err)
}

// Held returns how many bytes of [off, off+n) DataRanges would call fn for. A write of just that range, if it is next, costs less
// then.
func (s *Store) Held(l LayerID, ino Ino, off, n int64) (held int64, err error) {
	if err := s.there(l); err != nil {
		return 0, err
	}
	if chain := s.x.chain(l); len(chain) > 1 {
		_, err = s.x.pieces(chain, ino, off, n, func(_ LayerID, e extent) bool {
			held += int64(e.length)
			return true
		})
	} else {
		err = s.x.toWrite(l, ino, off, n, func(e extent) bool {
			held += int64(e.length)
			return true
		})
	}
	return held, s.fault("read", err)
}

// ReadAt fills p with the file's data from off on. Ranges that the layer holds
// no data for are left to lower, called with sub-slices of p in ascending
// order. Every byte from the log is verified by its CRC. An error of lower is
// returned as it is.
func (s *Store) ReadAt(l LayerID, ino Ino, p []byte, off int64, lower func(p []byte, off int64) error) error {
	if err := s.there(l); err != nil {
		return err
	}
	return s.readOver(func() []LayerID { return s.x.chain(l) }, ino, p, off, lower)
}

// readOver is ReadAt for a chain of layers.
func (s *Store) readOver(chain func() []LayerID, ino Ino, p []byte, off int64, lower func(p []byte, off int64) error) error {
	r := readers.Get().(*reader)
	defer readers.Put(r)
	// An extent may go to a segment that is trimmed before it is read: then a
	// newer one has taken its place, or none.
	for try := 0; ; try++ {
		r.extents, r.layers = r.extents[:0], r.layers[:0]
		_, err := s.x.pieces(chain(), ino, off, int64(len(p)), func(l LayerID, e extent) bool {
			r.extents, r.layers = append(r.extents, e), append(r.layers, l)
			return true
		})
		if err != nil {
			return s.fault("read", err)
		}
		err = s.readExtents(r, frame{ino: ino}, p, off, lower)
		if !errors.Is(err, errSegmentGone) {
			return err
		}
		if try == 10 {
			return s.fault("read", fmt.Errorf("%w: %w", ErrDamaged, err))
		}
	}
}

// reader is the memory that a read needs.
type reader struct {
	extents          []extent
	layers           []LayerID                         // that they are of
	head             [frameHeaderSize + blockSize]byte // frame header, and CRC table or what a frame without one holds
	scratch          []byte                            // blocks that are not read in whole
	packed, unpacked []byte                            // a frame that is compressed
}

// readers keeps the memory of reads that have ended. (It is no state: a reader
// carries nothing from one read to the next.)
var readers = sync.Pool{New: func() any { return new(reader) }}

// readExtents fills p from the extents of r and from lower. want says whose
// data it is.
func (s *Store) readExtents(r *reader, want frame, p []byte, off int64, lower func(p []byte, off int64) error) error {
	for i, e := range r.extents {
		want.layer = r.layers[i]
		if gap := int64(e.off) - off; gap > 0 {
			if err := lower(p[:gap], off); err != nil {
				return err
			}
			p, off = p[gap:], off+gap
		}
		want.offset, want.lsn = e.off, e.lsn
		if err := s.readExtent(r, &want, e, p[:e.length]); err != nil {
			return err
		}
		p, off = p[e.length:], off+int64(e.length)
	}
	if len(p) > 0 {
		return lower(p, off)
	}
	return nil
}

func (s *Store) readExtent(r *reader, want *frame, e extent, p []byte) error {
	seg, err := s.segs.acquire(e.seg)
	if err != nil {
		if errors.Is(err, errSegmentGone) {
			return err
		}
		return s.fault("read", err)
	}
	defer s.segs.release(seg)
	err = r.readFrame(seg, int64(e.frameOff), want, p)
	if errors.Is(err, errFrame) || errors.Is(err, errTruncated) {
		return &Error{Op: "read", Path: s.path(segName(seg.id)),
			Err:  fmt.Errorf("%w: frame at %d: %w", ErrDamaged, e.frameOff, err),
			Hint: "deltafs fsck tells what else is damaged"}
	}
	return s.fault("read", err)
}

// readFrame fills p with the data of the DATA frame at off, from file offset
// want.offset on, and verifies what it reads.
func (r *reader) readFrame(seg *segment, off int64, want *frame, p []byte) error {
	salt := seg.hdr.salt
	first := max(len(zeros), len(p)) // bytes behind the header that are read with it: most extents are all of their frame
	if first > blockSize {
		first = len(zeros)
	}
	h, err := readFull(seg.f, r.head[:frameHeaderSize+first], off)
	if err != nil {
		return err
	}
	var f frame
	if err := decodeFrameHeader(h, salt, &f); err != nil {
		return err
	}
	skip := int64(want.offset) - int64(f.offset)
	if f.typ != frameData || f.ino != want.ino || f.layer != want.layer || f.lsn != want.lsn ||
		skip < 0 || skip+int64(len(p)) > int64(f.length) {
		return badFrame("the index expects another one")
	}
	off += frameHeaderSize
	if f.flags&flagCompressed != 0 {
		return r.readPacked(seg, off, &f, int(skip), p)
	}
	table := h[frameHeaderSize:]
	if f.flags&flagTable == 0 {
		if missing := int(f.length) - len(table); missing > 0 {
			more, err := readFull(seg.f, r.head[len(h):][:missing], off+int64(len(table)))
			if err != nil {
				return err
			}
			if len(more) < missing {
				return errTruncated
			}
		}
		f.payload = r.head[frameHeaderSize:][:f.length]
		if err := f.checkPayload(salt); err != nil {
			return err
		}
		copy(p, f.payload[skip:])
		return nil
	}
	n := tableSize(int(f.length))
	if len(table) < n {
		return errTruncated
	}
	if err := checkTable(table[:n], &f, salt); err != nil {
		return err
	}
	return r.readBlocks(seg, off+int64(n), int(f.length), table[:n], int(skip), p)
}

// readPacked fills p with a part of the data of a DATA frame that is compressed.
func (r *reader) readPacked(seg *segment, off int64, f *frame, skip int, p []byte) error {
	if cap(r.packed) < int(f.size) {
		r.packed = make([]byte, max(joinPacked, int(f.size)))
	}
	var err error
	if f.payload, err = readFull(seg.f, r.packed[:f.size], off); err != nil {
		return err
	}
	if len(f.payload) < int(f.size) {
		return errTruncated
	}
	if err := f.checkPayload(seg.hdr.salt); err != nil {
		return err
	}
	if skip == 0 && len(p) == int(f.length) { // expanded where it is to be
		_, err := f.data(p[:0:len(p)])
		return err
	}
	if r.unpacked, err = f.data(r.unpacked); err != nil {
		return err
	}
	copy(p, r.unpacked[skip:])
	return nil
}

// readBlocks fills p with data[skip:skip+len(p)], where data lies at off and is
// length bytes long, and verifies the blocks it touches by the table. Blocks
// that p takes whole are read into it directly.
func (r *reader) readBlocks(seg *segment, off int64, length int, table []byte, skip int, p []byte) error {
	for len(p) > 0 {
		i := skip / blockSize
		start := i * blockSize
		whole := 0
		if skip == start {
			whole = len(p) / blockSize * blockSize
			if skip+len(p) == length {
				whole = len(p)
			}
		}
		dst := p[:whole]
		if whole == 0 {
			dst = r.scratchOf(min(blockSize, length-start))
		}
		got, err := readFull(seg.f, dst, off+int64(start))
		if err != nil {
			return err
		}
		if len(got) < len(dst) {
			return errTruncated
		}
		for j := (len(dst) - 1) / blockSize * blockSize; j >= 0; j -= blockSize { // as sumBlocks
			if err := checkBlock(table, i+j/blockSize, dst[j:min(j+blockSize, len(dst))], seg.hdr.salt); err != nil {
				return err
			}
		}
		n := whole
		if whole == 0 {
			n = copy(p, dst[skip-start:])
		}
		p, skip = p[n:], skip+n
	}
	return nil
}

func (r *reader) scratchOf(n int) []byte {
	if cap(r.scratch) < n {
		r.scratch = make([]byte, blockSize)
	}
	return r.scratch[:n]
}

// readFull reads as much of p as the file has.
func readFull(r io.ReaderAt, p []byte, off int64) ([]byte, error) {
	n, err := r.ReadAt(p, off)
	if n == len(p) || err == io.EOF {
		return p[:n], nil
	}
	return nil, fmt.Errorf("read: %w", err)
}

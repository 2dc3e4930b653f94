package deltalog

import (
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"slices"

	"deltafs/deltalog/disk"
)

// logWalk reads a log at rest from its first segment to its end, verifies all
// of it, and goes on behind what does not validate.
type logWalk struct {
	fs   disk.FS
	size int64 // of a segment
	// head and end say where the log ends; what is behind may be a torn tail.
	// A zero end: where the head's batches end.
	head uint64
	end  int64

	batch func(h *segHeader, b *logBatch) error // for each valid batch
	bad   func(r badRange) error                // for each range that is not valid
}

// badRange is a part of a segment that does not validate.
type badRange struct {
	seg      uint64
	from, to int64
	cause    error
	inos     []sealKey      // whom the broken frames in it are about, as far as headers tell
	whole    map[int64]bool // where frames in it begin that are not broken themselves
	tail     bool           // behind the end of the log: a batch that a crash tore
}

// segment walks one segment of the log.
func (w *logWalk) segment(h *segHeader, end int64) error {
	f, err := w.fs.Open(segName(h.id), false)
	if err != nil {
		return w.bad(badRange{seg: h.id, to: w.size, cause: err})
	}
	defer f.Close()
	if h.id == w.head && w.end != 0 {
		end = w.end
	}
	inos := map[sealKey]LSN{}
	sc := newScanner(f, h, end)
	for {
		b, err := sc.batch()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = checkSeal(b, inos)
		}
		if err != nil && !errors.Is(err, errSealWrong) {
			on, err := w.broken(f, h, sc, err)
			if err != nil || !on {
				return err
			}
			inos = nil // the footer cannot be checked any more
			continue
		}
		if err != nil {
			if err := w.bad(badRange{seg: h.id, from: int64(b.pos.off), to: int64(b.end), cause: err}); err != nil {
				return err
			}
		}
		if err := w.batch(h, b); err != nil {
			return err
		}
	}
	if h.id != w.head || w.end == 0 {
		return nil
	}
	return w.tail(f, h)
}

// cold walks a cold segment, up to where it is durable.
func (w *logWalk) cold(h *segHeader, end int64, frame func(f *frame, at loc) error) error {
	f, err := w.fs.Open(segName(h.id), false)
	if err != nil {
		return w.bad(badRange{seg: h.id, to: w.size, cause: err})
	}
	defer f.Close()
	sc := scanner{r: f, id: h.id, salt: h.salt, pos: segHeaderSize, end: end}
	for sc.pos < end {
		fr, at, err := sc.cold()
		switch {
		case err == nil:
			if err := frame(&fr, at); err != nil {
				return err
			}
			continue
		case !errors.Is(err, errFrame) && !errors.Is(err, errTruncated):
			return err
		}
		r := badRange{seg: h.id, from: sc.pos, to: end, cause: err, whole: map[int64]bool{}}
		if decodeFrameHeader(sc.header(f), h.salt, &fr) == nil && fr.typ.record() {
			r.inos = []sealKey{{fr.layer, fr.ino}}
			r.to = min(sc.pos+int64(fr.space()), end)
		} else {
			for r.to = sc.pos + 8; r.to < end; r.to += 8 {
				sc.pos = r.to
				if decodeFrameHeader(sc.header(f), h.salt, &fr) == nil {
					break
				}
			}
		}
		sc.pos, sc.buf = r.to, nil
		if err := w.bad(r); err != nil {
			return err
		}
	}
	return nil
}

// header reads what may be the header of a frame.
func (s *scanner) header(f io.ReaderAt) []byte {
	p, err := readFull(f, make([]byte, frameHeaderSize), s.pos)
	if err != nil || len(p) < frameHeaderSize {
		return nil
	}
	return p
}

// tail looks at what is behind the end of the log.
func (w *logWalk) tail(f io.ReaderAt, h *segHeader) error {
	last, _, err := lookAhead(f, h, w.end, w.size, h.first)
	if err != nil || last == 0 {
		return err
	}
	return w.bad(badRange{seg: h.id, from: w.end, to: last, tail: true, cause: badFrame("a crash tore the last batch")})
}

// broken reports what is broken where the scanner stands, and sets it to the
// next batch; it tells whether there is one.
func (w *logWalk) broken(f io.ReaderAt, h *segHeader, sc *scanner, cause error) (bool, error) {
	r := badRange{seg: h.id, from: sc.pos, to: sc.end, cause: cause, whole: map[int64]bool{}}
	unfinished := h.id == w.head && w.end == 0
	last := int64(0)
	seen := map[sealKey]bool{}
	var window []byte // what the file has from at to upTo
	var at, upTo int64
	for pos := sc.pos; pos+frameHeaderSize <= sc.end; {
		var fr frame
		if pos < at || pos+frameHeaderSize > upTo {
			at, upTo = pos, min(pos+1<<20, sc.end)
			var err error
			if window, err = readFull(f, make([]byte, upTo-at), at); err != nil {
				return false, err
			}
		}
		p := window[min(pos-at, int64(len(window))):min(pos-at+frameHeaderSize, int64(len(window)))]
		if decodeFrameHeader(p, h.salt, &fr) != nil || fr.lsn < sc.lsn {
			pos += 8
			continue
		}
		if fr.lsn > sc.lsn {
			r.to = pos
			sc.pos, sc.lsn, sc.adopt = pos, fr.lsn, true
			break
		}
		if w.valid(f, h, &fr, pos) {
			r.whole[pos] = true
		} else if fr.typ.record() {
			seen[sealKey{fr.layer, fr.ino}] = true
		}
		last = pos + int64(fr.space())
		pos += frameHeaderSize
	}
	on := r.to == sc.pos
	if !on && unfinished && last == 0 {
		return false, nil // the log simply ends here
	}
	if !on && unfinished {
		r.to, r.tail = last, true
	}
	r.inos = slices.SortedFunc(maps.Keys(seen), func(a, b sealKey) int {
		if a.less(b) {
			return -1
		}
		return 1
	})
	return on, w.bad(r)
}

// valid tells whether the payload of a frame at pos is whole.
func (w *logWalk) valid(f io.ReaderAt, h *segHeader, fr *frame, pos int64) bool {
	if pos+int64(fr.space()) > w.size {
		return false
	}
	p, err := readFull(f, make([]byte, fr.size), pos+frameHeaderSize)
	if err != nil || len(p) < int(fr.size) {
		return false
	}
	fr.payload = p
	return fr.checkPayload(h.salt) == nil
}

var errSealWrong = errors.New("SEAL footer does not list what the segment holds")

// checkSeal notes whom the frames of a batch are about, and compares a SEAL
// with that. A nil map: it is not known.
func checkSeal(b *logBatch, inos map[sealKey]LSN) error {
	if inos == nil {
		return nil
	}
	for i := range b.frames {
		f := &b.frames[i]
		if f.typ.record() {
			k := sealKey{f.layer, f.ino}
			if _, ok := inos[k]; !ok {
				inos[k] = f.lsn
			}
		}
		if f.typ != frameSeal {
			continue
		}
		entries, err := decodeSeal(f.payload)
		if err != nil {
			return errors.Join(errSealWrong, err)
		}
		listed := map[sealKey]LSN{}
		for _, e := range entries {
			listed[e.sealKey] = e.lowest
		}
		if !maps.Equal(listed, inos) {
			return errSealWrong
		}
	}
	return nil
}

// trimOldest returns what a valid TRIM frame names.
func trimOldest(f *frame) uint64 { return binary.LittleEndian.Uint64(f.payload) }

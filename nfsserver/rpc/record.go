package rpc

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A record is a sequence of fragments, each with a mark of four bytes in front:
// its length, and in the highest bit whether it is the last.
const (
	markSize = 4
	lastBit  = 1 << 31
)

// firstPart is how many bytes of a record must have arrived before memory is
// taken for all of it.
const firstPart = size2

// arrivalStep is how many bytes of a long record arrive, at most, before a [Watcher] sees them: few enough for the
// processor's cache to have them.
const arrivalStep = 128 << 10

// errTooLong closes the connection of a client whose record is longer than any
// call may be.
var errTooLong = errors.New("record is too long")

// readRecord reads a record of at most limit bytes into a buffer of the pool. While one arrives that has [Notes], arrived is
// called with what there is, if it is not nil.
func readRecord(r *bufio.Reader, limit int, arrived func([]byte)) (rec []byte, err error) {
	defer func() {
		if err != nil {
			putBuffer(rec)
			rec = nil
		}
	}()
	for last := false; !last; {
		mark, err := r.Peek(markSize)
		if err != nil {
			if len(mark) > 0 || rec != nil {
				err = noEOF(err)
			}
			return rec, err
		}
		m := binary.BigEndian.Uint32(mark)
		last = m&lastBit != 0
		n := int(m &^ lastBit)
		if n > limit-len(rec) {
			return rec, fmt.Errorf("%w: more than %d bytes", errTooLong, limit)
		}
		if _, err := r.Discard(markSize); err != nil {
			return rec, err
		}
		for n > 0 {
			part := n
			if len(rec) < firstPart {
				part = min(n, firstPart-len(rec))
			}
			had := cap(rec)
			if rec == nil {
				rec = getBuffer(part)
			} else {
				rec = Grow(rec, n)
			}
			if cap(rec) != had {
				clear(Notes(rec))
			}
			notes := arrived != nil && Notes(rec) != nil
			if notes {
				part = min(part, arrivalStep)
			}
			if _, err := io.ReadFull(r, rec[len(rec):len(rec)+part]); err != nil {
				return rec, noEOF(err)
			}
			rec = rec[:len(rec)+part]
			n -= part
			if notes {
				arrived(rec)
			}
		}
	}
	return rec, nil
}

// noEOF is err of a stream that must not end here.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// buffered tells whether the whole next record has been read ahead.
func buffered(r *bufio.Reader) bool {
	if r.Buffered() < markSize {
		return false
	}
	mark, err := r.Peek(markSize)
	if err != nil {
		return false
	}
	m := binary.BigEndian.Uint32(mark)
	return m&lastBit != 0 && int64(r.Buffered()) >= markSize+int64(m&^lastBit)
}

// setMark writes the mark of a record of one fragment that stands behind it.
func setMark(b []byte) { binary.BigEndian.PutUint32(b, lastBit|uint32(len(b)-markSize)) }

// WriteRecord writes a record. It is for clients.
func WriteRecord(w io.Writer, rec []byte) error {
	b := append(make([]byte, markSize, markSize+len(rec)), rec...)
	setMark(b)
	_, err := w.Write(b)
	return err
}

// ReadRecord reads a record of at most limit bytes, and not a byte more from r
// than it has. It is for clients.
func ReadRecord(r io.Reader, limit int) ([]byte, error) {
	var rec []byte
	for {
		var mark [markSize]byte
		if _, err := io.ReadFull(r, mark[:]); err != nil {
			return nil, err
		}
		m := binary.BigEndian.Uint32(mark[:])
		n := int(m &^ lastBit)
		if n > limit-len(rec) {
			return nil, fmt.Errorf("%w: more than %d bytes", errTooLong, limit)
		}
		at := len(rec)
		rec = append(rec, make([]byte, n)...)
		if _, err := io.ReadFull(r, rec[at:]); err != nil {
			return nil, noEOF(err)
		}
		if m&lastBit != 0 {
			return rec, nil
		}
	}
}

package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"
)

// watcher is an echo that sums what arrives.
type watcher struct{ *echo }

// A note is how many bytes have been summed, their sum, and the most that came at once.
const noteSize = 12

func (w watcher) Arrives(rec []byte) {
	notes := Notes(rec)
	if notes == nil {
		return // what has come has left no room for them
	}
	n, sum := binary.LittleEndian.Uint32(notes), binary.LittleEndian.Uint32(notes[4:])
	fresh := rec[n:]
	binary.LittleEndian.PutUint32(notes, uint32(len(rec)))
	binary.LittleEndian.PutUint32(notes[4:], crc32.Update(sum, crc32.IEEETable, fresh))
	if n > 0 { // a record that is moved on begins anew
		binary.LittleEndian.PutUint32(notes[8:], max(binary.LittleEndian.Uint32(notes[8:]), uint32(len(fresh))))
	}
}

func (w watcher) Call(ctx context.Context, c *Conn, rec, reply []byte) ([]byte, error) {
	if notes := Notes(rec); notes != nil {
		n, sum, most := binary.LittleEndian.Uint32(notes), binary.LittleEndian.Uint32(notes[4:]), binary.LittleEndian.Uint32(notes[8:])
		if int(n) != len(rec) || sum != crc32.ChecksumIEEE(rec) || most > arrivalStep {
			return reply, fmt.Errorf("of %d bytes %d were seen, at most %d at once, sum %x", len(rec), n, most, sum)
		}
		if bytes.Count(notes[noteSize:], []byte{0}) != notesSize-noteSize {
			return reply, fmt.Errorf("notes of another record")
		}
		for i := range notes { // for the next record to find
			notes[i] = 0xff
		}
	} else if len(rec) > size2 && len(rec) <= size4-notesSize && (len(rec) <= size3-notesSize || len(rec) > size3) {
		return reply, fmt.Errorf("%d bytes and no notes", len(rec))
	}
	return w.echo.Call(ctx, c, rec, reply)
}

// TestArrives: a handler sees all of each long record while it arrives, once, in whatever pieces
// it is sent, and what it has noted of it is there when the record is answered.
func TestArrives(t *testing.T) {
	const seed = 11
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	r := newRigOf(t, Options{MaxRecord: 2 << 20}, func(e *echo) Handler { return watcher{e} })
	c := r.dial()
	var sizes []int
	for _, s := range []int{size2, arrivalStep, size3 - notesSize, size3, 1 << 20, size4 - notesSize, size4} {
		sizes = append(sizes, s-1, s, s+1)
	}
	sizes = slices.Concat(sizes, sizes)
	for range 20 {
		sizes = append(sizes, 5+rnd.IntN(size4))
	}
	for _, n := range sizes {
		rec := make([]byte, n)
		for i := range rec {
			rec[i] = byte(rnd.Uint32())
		}
		rec[0] = "ig"[rnd.IntN(2)]
		wire := record(rec)
		if rnd.IntN(2) == 0 { // in fragments
			wire = nil
			for left := rec; len(left) > 0; {
				part := left[:1+rnd.IntN(len(left))]
				left = left[len(part):]
				mark := uint32(len(part))
				if len(left) == 0 {
					mark |= lastBit
				}
				wire = append(binary.BigEndian.AppendUint32(wire, mark), part...)
			}
		}
		go func() {
			for len(wire) > 0 {
				part := min(len(wire), 1+rnd.IntN(300<<10))
				if _, err := c.Write(wire[:part]); err != nil {
					return
				}
				wire = wire[part:]
			}
		}()
		r.want(c, rec)
	}
}

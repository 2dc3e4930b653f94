package nfsserver

import (
	"encoding/binary"

	"deltafs/billyfs"
	"deltafs/nfsserver/rpc"
	"deltafs/nfsserver/wire"
)

// arrival is what there is of the sums of a WRITE's data, in the notes of its record: where the data begin, how many bytes
// they have, and how many bytes the sums have that follow.
type arrival struct{ notes []byte }

const arrivalHead = 12

func (a arrival) start() int { return int(binary.LittleEndian.Uint32(a.notes)) }
func (a arrival) size() int  { return int(binary.LittleEndian.Uint32(a.notes[4:])) }
func (a arrival) sums() []byte {
	n := binary.LittleEndian.Uint32(a.notes[8:])
	return a.notes[arrivalHead : arrivalHead+n : len(a.notes)]
}

func (a arrival) begin(start, size int) {
	binary.LittleEndian.PutUint32(a.notes, uint32(start))
	binary.LittleEndian.PutUint32(a.notes[4:], uint32(size))
}

// sum appends a block's sum to the others.
func (a arrival) sum(block []byte) {
	sums := billyfs.AppendSum(a.sums(), block) // there is room: it stays where it is
	binary.LittleEndian.PutUint32(a.notes[8:], uint32(len(sums)))
}

// Arrives implements rpc.Watcher: it sums the data of a large WRITE.
func (s *Server) Arrives(record []byte) {
	notes := rpc.Notes(record)
	if notes == nil {
		return
	}
	a := arrival{notes}
	if a.start() == 0 {
		start, size := wire.PeekData(record)
		if size <= smallData || sumsOf(size) > len(notes)-arrivalHead {
			return
		}
		a.begin(start, size)
	}
	start, size := a.start(), a.size()
	for done := len(a.sums()) / sumSize * billyfs.SumBlock; done < size; {
		end := min(done+billyfs.SumBlock, size)
		if start+end > len(record) {
			return
		}
		a.sum(record[start+done : start+end])
		done = end
	}
}

// sumSize is the size of a sum, sumsOf that of those of so many bytes.
const sumSize = 4

func sumsOf(n int) int { return (n + billyfs.SumBlock - 1) / billyfs.SumBlock * sumSize }

// sums returns the sums of the data of a WRITE, if they were made while it arrived, or nil.
func (c *call) sums(data []byte) []byte {
	notes := rpc.Notes(c.rec)
	if notes == nil || len(data) == 0 {
		return nil
	}
	a := arrival{notes}
	if start := a.start(); start == 0 || a.size() != len(data) || start >= len(c.rec) || &c.rec[start] != &data[0] {
		return nil
	}
	if sums := a.sums(); len(sums) == sumsOf(len(data)) {
		return sums
	}
	return nil
}

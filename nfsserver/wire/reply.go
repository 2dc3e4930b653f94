package wire

import (
	"encoding/binary"
	"slices"
)

// readHead is the length of READ's results before the data, attributes and all.
const readHead = 4 + 4 + fattrSize + 4 + 4 + 4

// ReadSpace is how many bytes the results of a READ of count bytes need.
func ReadSpace(count int) int { return readHead + padded(count) }

// AppendReadSpace makes room for the results of a READ of count bytes. The data
// is to be read into data, and FinishRead writes what stands in front of it.
// What is in b is copied if its capacity is below that, see [ReadSpace].
func AppendReadSpace(b []byte, count int) (reply, data []byte) {
	n := len(b)
	b = slices.Grow(b, ReadSpace(count))[:n+ReadSpace(count)]
	return b, b[n+readHead : n+readHead+count]
}

// FinishRead ends the results that AppendReadSpace began at offset start of b:
// n bytes of data were read.
func FinishRead(b []byte, start int, attr *PostOp, n int, eof bool) []byte {
	data := b[start+readHead : start+readHead+n]
	r := ReadRes{Attr: *attr, Count: uint32(n), EOF: eof}
	b = r.Append(b[:start]) // with no data, and so with the length 0 at its end
	binary.BigEndian.PutUint32(b[len(b)-4:], uint32(n))
	if len(b) == start+readHead { // the data is in place
		b = b[:len(b)+n]
	} else { // for want of attributes
		b = append(b, data...)
	}
	return appendPad(b, n)
}

// DirList puts entries into the results of a READDIR as long as they fit.
type DirList struct {
	b     []byte
	limit int // of len(b)
}

// listTail is the length of what ends a list: no more entries, and whether the
// directory ends.
const listTail = 4 + 4

// BeginReaddir appends the results of a READDIR up to the entries. count is the
// client's limit: RFC 1813 means all results but the status.
func BeginReaddir(b []byte, dir *PostOp, count uint32) DirList {
	l := DirList{limit: len(b) + 4 + int(min(count, maxData))}
	r := ReaddirRes{DirAttr: *dir}
	l.b = r.Append(b)
	l.b = l.b[:len(l.b)-listTail]
	return l
}

// Size is the length of the reply so far, for Truncate.
func (l *DirList) Size() int { return len(l.b) }

// Truncate takes out the entries that were added since Size returned n.
func (l *DirList) Truncate(n int) { l.b = l.b[:n] }

// Add adds an entry, unless it does not fit.
func (l *DirList) Add(fileID uint64, name string, cookie uint64) bool {
	if len(l.b)+entrySize(name)+listTail > l.limit {
		return false
	}
	l.b = appendEntry(l.b, fileID, name, cookie)
	return true
}

// entrySize is the length of an entry3.
func entrySize(name string) int { return 4 + 8 + 4 + padded(len(name)) + 8 }

func appendEntry(b []byte, fileID uint64, name string, cookie uint64) []byte {
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint64(b, fileID)
	b = binary.BigEndian.AppendUint32(b, uint32(len(name)))
	b = appendPad(append(b, name...), len(name))
	return binary.BigEndian.AppendUint64(b, cookie)
}

// Finish returns the whole reply.
func (l *DirList) Finish(eof bool) []byte {
	var end uint32
	if eof {
		end = 1
	}
	return appendWords(l.b, 0, end)
}

// DirListPlus is DirList for READDIRPLUS.
type DirListPlus struct {
	DirList
	start    int // of the entries
	dirBytes int // of names, numbers and cookies
	dirLimit int
}

// BeginReaddirplus appends the results of a READDIRPLUS up to the entries.
// maxCount is the client's limit of all results but the status, dirCount that
// of names, numbers and cookies. The first entry may be over dirCount: some
// clients ask for few bytes, and it is meant as a hint.
func BeginReaddirplus(b []byte, dir *PostOp, dirCount, maxCount uint32) DirListPlus {
	l := DirListPlus{DirList: BeginReaddir(b, dir, maxCount), dirLimit: int(min(dirCount, maxData))}
	l.start = len(l.b)
	return l
}

// Add adds an entry, unless it does not fit. An empty handle is none.
func (l *DirListPlus) Add(fileID uint64, name string, cookie uint64, attr *PostOp, handle []byte) bool {
	size := entrySize(name) + 4 + 4
	if attr.OK {
		size += fattrSize
	}
	if len(handle) > 0 {
		size += 4 + padded(len(handle))
	}
	dir := entrySize(name) - 4
	if len(l.b)+size+listTail > l.limit || len(l.b) > l.start && l.dirBytes+dir > l.dirLimit {
		return false
	}
	l.dirBytes += dir
	x := appender(appendEntry(l.b, fileID, name, cookie))
	attr.code(&x)
	h := PostHandle{OK: len(handle) > 0, Handle: handle}
	h.code(&x)
	l.b = x.b
	return true
}

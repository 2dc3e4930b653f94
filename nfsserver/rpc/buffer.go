package rpc

import "sync"

// Size classes of buffers, in bytes. The last fits the largest READ and WRITE
// with what stands around them, and notes.
const (
	size0 = 512
	size1 = 4 << 10
	size2 = 32 << 10
	size3 = 144 << 10
	size4 = 1<<20 + 16<<10
)

// Pools of arrays: a pointer to one goes into a pool, and a slice is made into
// one, without an allocation.
var (
	pool0 = sync.Pool{New: func() any { return new([size0]byte) }}
	pool1 = sync.Pool{New: func() any { return new([size1]byte) }}
	pool2 = sync.Pool{New: func() any { return new([size2]byte) }}
	pool3 = sync.Pool{New: func() any { return new([size3]byte) }}
	pool4 = sync.Pool{New: func() any { return new([size4]byte) }}
)

// getBuffer returns an empty buffer with room for at least n bytes.
func getBuffer(n int) []byte {
	switch {
	case n <= size0:
		return pool0.Get().(*[size0]byte)[:0]
	case n <= size1:
		return pool1.Get().(*[size1]byte)[:0]
	case n <= size2:
		return pool2.Get().(*[size2]byte)[:0]
	case n <= size3:
		return pool3.Get().(*[size3]byte)[:0]
	case n <= size4:
		return pool4.Get().(*[size4]byte)[:0]
	}
	return make([]byte, 0, n)
}

// putBuffer gives a buffer back. One that is in no size class, since append made
// it, is left to the garbage collector.
func putBuffer(b []byte) {
	switch cap(b) {
	case size0:
		pool0.Put((*[size0]byte)(b[:size0]))
	case size1:
		pool1.Put((*[size1]byte)(b[:size1]))
	case size2:
		pool2.Put((*[size2]byte)(b[:size2]))
	case size3:
		pool3.Put((*[size3]byte)(b[:size3]))
	case size4:
		pool4.Put((*[size4]byte)(b[:size4]))
	}
}

// Grow returns a reply with the content of b and room for n bytes more, without
// garbage. b must be what [Handler.Call] was given, appended to; it is not to be
// used any more.
func Grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	bigger := append(getBuffer(len(b)+n), b...)
	putBuffer(b)
	return bigger
}

// notesSize is the room for notes at the end of a buffer of the last two size classes.
const notesSize = 512

// Notes returns where a [Watcher] keeps what it has seen of a record until it is answered: bytes beside the record that
// are zeros when it begins to arrive. It is nil for records that are short, up to 32 KiB, or leave no room.
func Notes(record []byte) []byte {
	n := cap(record)
	if n != size3 && n != size4 || len(record) > n-notesSize {
		return nil
	}
	return record[n-notesSize : n]
}

package billyfs

import (
	"sync"
	"sync/atomic"

	"github.com/go-git/go-billy/v5"
)

// Reading ahead. A client asks for a few hundred KiB at a time, and where the base is far away each of them costs a round
// trip. So when a file is read in sequence and a read had to wait, what comes next is read, several pieces at a time, into
// the memory that the system caches files in; nothing of it is kept here. A base that answers at once is left alone: its
// own system reads ahead well enough.
const (
	aheadLeast = 16 << 10   // bytes of a read, for it to be looked at
	aheadSlow  = int64(2e6) // nanoseconds; what takes longer has waited for the base
	aheadFirst = 1 << 20    // bytes ahead at first
	aheadMost  = 16 << 20   // and when there were many slow reads
	aheadPiece = 512 << 10  // bytes read by one call
	aheadCalls = 16         // at a time, over all files
	// aheadApart is how far from each other the reads of a sequence may be: those that a client has in flight come in any order.
	aheadApart = 2 << 20
)

// aheadFile is a file whose system caches what is read of it.
type aheadFile interface {
	billy.File
	// ReadAhead reads n bytes at off, or up to the end of the file, for later.
	ReadAhead(off, n int64) error
}

// ahead is how an open file is read.
type ahead struct {
	mu     sync.Mutex
	next   int64 // behind the furthest read of the sequence
	window int64 // bytes that are read ahead; 0: none
	until  int64 // up to where that was begun
}

// aheadReads bounds the calls that read ahead.
type aheadReads struct {
	running atomic.Int32
	closed  atomic.Bool
}

// follow notes a read of a file that is size bytes long, and returns what is to be read ahead now.
func (a *ahead) follow(off, n, size int64, slow bool) (from, to int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	end := off + n
	if a.next == 0 || off > a.next+aheadApart || end < a.next-aheadApart { // one read is no sequence
		a.next, a.window, a.until = end, 0, 0
		return 0, 0
	}
	a.next = max(a.next, end)
	if slow {
		a.window = min(max(2*a.window, aheadFirst), aheadMost)
	}
	from, to = max(a.until, a.next), min(a.next+a.window, size)
	if a.window == 0 || from >= to || to < size && to-from < a.window/4 { // a few pieces at once
		return 0, 0
	}
	a.until = to
	return from, to
}

// readOn is told of each large read of a file, and reads ahead.
func (b *base) readOn(f *openFile, off, n, took int64) {
	file, ok := f.file.(aheadFile)
	if !ok || n < aheadLeast {
		return
	}
	from, to := f.ahead.follow(off, n, b.fds.size(f), took >= aheadSlow)
	for ; from < to; from += aheadPiece {
		if b.reads.closed.Load() || b.reads.running.Add(1) > aheadCalls {
			b.reads.running.Add(-1)
			return // what is left is read when it is asked for
		}
		b.fds.hold(f)
		go func(off, n int64) {
			defer b.reads.running.Add(-1)
			defer b.fds.put(f)
			_ = file.ReadAhead(off, n) // whoever wants it will see
		}(from, min(aheadPiece, to-from))
	}
}

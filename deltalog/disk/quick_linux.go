//go:build amd64 || arm64 || riscv64

package disk

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// A small write goes to the page cache in a few microseconds, as a rule. It is not announced to Go's scheduler: before a
// call of the system that is, the scheduler wakes a thread of its own, if it sleeps, to look after the caller; that thread
// then looks at the clock and sleeps some times, which costs more than the write. But a write that is not announced holds
// one of the GOMAXPROCS processors of the process, and the garbage collector, until it is done: where the kernel makes
// those wait who write more than the disk takes, others of the process would wait, too. So one of eight is timed, and after
// a slow one the next are announced.
const (
	quickSize = 16 << 10              // bytes of the largest write that is quick
	slowWrite = 10 * time.Millisecond // is not quick any more
	wariness  = 1 << 12               // writes that are announced after a slow one
)

// wary is how many writes more are to be announced. One for all files: most often they are on one disk.
var wary atomic.Int32

// A sync waits for the disk, and the scheduler looks after who waits some times until it is done: where a switch of
// threads takes long, as on a virtual machine of one processor, longer than the disk does. So a sync beside which nothing
// else goes on is not announced either, where another of the GOMAXPROCS processors is left for what may come meanwhile.
// Each is timed; slow ones are as for writes.
const warinessSync = 1 << 8 // syncs that are announced after one that took longer than slowWrite

var (
	warySync atomic.Int32
	syncing  atomic.Bool // one sync of the process is not announced
)

// start of time: how long ago it is takes one look at the clock, time.Now takes two.
var start = time.Now()

// quick writes to and syncs a file by calls of the system that Go's scheduler is not told of.
type quick struct {
	mu sync.RWMutex // held shared while fd is used
	fd int          // -1: closed, or not to be had
	n  atomic.Uint64
}

func (q *quick) init(f *os.File) {
	q.fd = -1
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) { q.fd = int(fd) }) // fails if closed: then it stays -1
}

func (q *quick) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fd = -1
}

// writeAt writes p, or the first n bytes of it: none where it is not for this write to be quick, or fails.
func (q *quick) writeAt(p []byte, off int64) (n int) {
	if len(p) == 0 || len(p) > quickSize || off < 0 {
		return 0
	}
	if w := wary.Load(); w > 0 {
		wary.CompareAndSwap(w, w-1) // or somebody else has
		return 0
	}
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.fd < 0 {
		return 0
	}
	var began time.Duration
	timed := q.n.Add(1)*0x9e3779b97f4a7c15>>61 == 0 // in no order that writes could come in
	if timed {
		began = time.Since(start)
	}
	wrote, _, err := syscall.RawSyscall6(syscall.SYS_PWRITE64, uintptr(q.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), uintptr(off), 0, 0)
	if timed && time.Since(start)-began > slowWrite {
		wary.Store(wariness)
	}
	if err != 0 {
		return 0
	}
	return int(wrote)
}

// sync makes the data durable, unless it is not for this sync to be quick: then it is not done.
func (q *quick) sync() (done bool, err error) {
	if w := warySync.Load(); w > 0 {
		warySync.CompareAndSwap(w, w-1) // or somebody else has
		return false, nil
	}
	if runtime.GOMAXPROCS(0) < 2 || !syncing.CompareAndSwap(false, true) {
		return false, nil
	}
	defer syncing.Store(false)
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.fd < 0 {
		return false, nil
	}
	began := time.Since(start)
	err = retry(func() error {
		if _, _, e := syscall.RawSyscall(syscall.SYS_FDATASYNC, uintptr(q.fd), 0, 0); e != 0 {
			return e
		}
		return nil
	})
	if time.Since(start)-began > slowWrite {
		warySync.Store(warinessSync)
	}
	return true, err
}

package billyfs

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5"

	"deltafs/billyfs/rootfs"
)

// farFS is a base far away: what was not read before takes a round trip, which the clock shows, or passes.
type farFS struct {
	*rootfs.FS
	trip  time.Duration
	clock *clock // nil: the trip takes that long

	mu     sync.Mutex
	cached map[int64]bool // blocks of farBlock, of all files
	waited int            // reads that were not cached
	ahead  int64          // bytes read ahead
}

const farBlock = 64 << 10

type farFile struct {
	*rootfs.File
	fs *farFS
}

func (f *farFS) Open(name string) (billy.File, error) {
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return farFile{file.(*rootfs.File), f}, nil
}

// touch has bytes cached, and tells whether they were.
func (f *farFS) touch(off, n int64) (cached bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	cached = true
	for b := off / farBlock; b*farBlock < off+n; b++ {
		cached = cached && f.cached[b]
		f.cached[b] = true
	}
	return cached
}

func (f farFile) ReadAt(p []byte, off int64) (int, error) {
	if !f.fs.touch(off, int64(len(p))) {
		f.fs.travel()
		f.fs.mu.Lock()
		f.fs.waited++
		f.fs.mu.Unlock()
	}
	return f.File.ReadAt(p, off)
}

func (f *farFS) travel() {
	if f.clock == nil {
		time.Sleep(f.trip)
	} else {
		f.clock.ns.Add(int64(f.trip))
	}
}

func (f farFile) ReadAhead(off, n int64) error {
	if f.fs.clock == nil {
		f.fs.travel()
	}
	f.fs.touch(off, n)
	f.fs.mu.Lock()
	f.fs.ahead += n
	f.fs.mu.Unlock()
	return f.File.ReadAhead(off, n)
}

const farSize = 64<<20 + 5

func newFar(t testing.TB, trip time.Duration, c *clock) (*base, *farFS, Ino) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "f"), farSize); err != nil {
		t.Fatal(err)
	}
	root, err := rootfs.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	far := &farFS{FS: root, trip: trip, clock: c, cached: map[int64]bool{}}
	o := baseOptions{}
	if c != nil {
		o.now = c.now
	}
	b, err := openBase(far, testKey, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.close()
		for b.reads.running.Load() > 0 {
			time.Sleep(time.Millisecond)
		}
	})
	ino, err := b.Lookup(RootIno, "f")
	if err != nil {
		t.Fatal(err)
	}
	return b, far, ino
}

// readAt reads, and waits until nothing is read ahead any more.
func readFar(t *testing.T, b *base, ino Ino, p []byte, off int64) {
	t.Helper()
	if _, err := b.ReadAt(ino, p, off); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); b.reads.running.Load() > 0; time.Sleep(50 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatal("it is still read ahead")
		}
	}
}

// TestReadAhead: of a base that answers slowly, a file that is read in sequence is read ahead, also when the reads come
// somewhat out of order; one that is read here and there is not, and neither is one of a fast base.
func TestReadAhead(t *testing.T) {
	const n = 128 << 10
	inOrder := func(i int) int64 { return int64(i) * n }
	for _, k := range []struct {
		what           string
		trip           time.Duration
		at             func(i int) int64
		reads          int
		waits          int // at most
		ahead, noAhead bool
	}{
		{"in sequence", 20 * time.Millisecond, inOrder, farSize / n, 2, true, false},
		{"out of order", 20 * time.Millisecond, func(i int) int64 { return inOrder(i ^ 5) }, farSize / n &^ 7, 8, true, false},
		{"from the middle", 20 * time.Millisecond, func(i int) int64 { return 32<<20 + inOrder(i) }, 32 << 20 / n, 3, true, false},
		{"here and there", 20 * time.Millisecond, func(i int) int64 { return int64(i) * 37 % 61 << 20 }, 61, 61, false, true},
		{"fast", time.Microsecond, inOrder, farSize / n, farSize, false, true},
	} {
		t.Run(k.what, func(t *testing.T) {
			b, far, ino := newFar(t, k.trip, newClock())
			p := make([]byte, n)
			for i := range k.reads {
				readFar(t, b, ino, p, k.at(i))
			}
			t.Logf("%d of %d reads waited, %d bytes were read ahead", far.waited, k.reads, far.ahead)
			if far.waited > k.waits {
				t.Errorf("%d of %d reads waited, at most %d are to", far.waited, k.reads, k.waits)
			}
			if k.ahead && far.ahead < int64(k.reads-16)*n || k.noAhead && far.ahead > 0 {
				t.Errorf("%d bytes were read ahead", far.ahead)
			}
			if far.ahead > farSize {
				t.Errorf("%d bytes were read ahead, of %d", far.ahead, farSize)
			}
		})
	}
}

// TestReadAheadIsBounded: not more than aheadCalls at a time, whatever is read.
func TestReadAheadIsBounded(t *testing.T) {
	b, _, ino := newFar(t, 3*time.Millisecond, nil)
	p := make([]byte, 1<<20)
	most := int32(0)
	for i := range 40 {
		if _, err := b.ReadAt(ino, p, int64(i)<<20); err != nil {
			t.Fatal(err)
		}
		most = max(most, b.reads.running.Load())
	}
	if most > aheadCalls {
		t.Errorf("%d calls at a time", most)
	}
}

// TestReadAheadOfTheHost: a file of the host is one that can be read ahead, to its end and not beyond.
func TestReadAheadOfTheHost(t *testing.T) {
	dir := t.TempDir()
	p := make([]byte, 300_000)
	rand.NewChaCha8([32]byte{}).Read(p)
	if err := os.WriteFile(filepath.Join(dir, "f"), p, 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := rootfs.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f, err := root.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]int64{{0, 300_000}, {200_000, 1 << 20}, {300_000, 1}, {1 << 30, 5}} {
		if err := f.(aheadFile).ReadAhead(r[0], r[1]); err != nil {
			t.Errorf("%d at %d: %v", r[1], r[0], err)
		}
	}
	f.Close()
	if err := f.(aheadFile).ReadAhead(0, 1); err == nil {
		t.Error("a file that is closed can be read ahead")
	}
}

// BenchmarkFarBase reads a file in sequence, two reads in flight as a kernel client has them, from a base with a round trip
// of 20 ms, by itself and read ahead.
func BenchmarkFarBase(b *testing.B) {
	for _, ahead := range []bool{false, true} {
		b.Run(fmt.Sprintf("ahead=%v", ahead), func(b *testing.B) {
			const n, all = 128 << 10, 32 << 20
			b.SetBytes(all)
			for b.Loop() {
				base, _, ino := newFar(b, 20*time.Millisecond, nil)
				base.reads.closed.Store(!ahead)
				var wg sync.WaitGroup
				for w := range 2 {
					wg.Go(func() {
						p := make([]byte, n)
						for off := int64(w) * n; off < all; off += 2 * n {
							if _, err := base.ReadAt(ino, p, off); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
			}
		})
	}
}

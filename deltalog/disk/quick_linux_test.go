//go:build amd64 || arm64 || riscv64

package disk

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestQuickWrites is of writes that are announced to the scheduler and of those that are not: they do the same, and fail
// with the same errors.
func TestQuickWrites(t *testing.T) {
	defer wary.Store(0)
	d := OS(t.TempDir())
	f, err := d.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	want := make([]byte, 256<<10)
	for i := range 400 {
		if i == 200 {
			wary.Store(100)
		}
		p := make([]byte, 1+rng.IntN(2*quickSize))
		if i%3 == 0 {
			p = p[:1+rng.IntN(min(len(p), 600))]
		}
		off := rng.IntN(len(want) - len(p))
		for k := range p {
			p[k] = byte(rng.Uint32())
		}
		copy(want[off:], p)
		if n, err := f.WriteAt(p, int64(off)); n != len(p) || err != nil {
			t.Fatalf("%d bytes at %d: %d, %v", len(p), off, n, err)
		}
	}
	if w := wary.Load(); w != 0 && w < wariness/2 { // or the machine was slow just now
		t.Errorf("%d writes more are to be announced", w)
	}
	got := make([]byte, len(want))
	if n, _ := f.ReadAt(got, 0); !bytes.Equal(got[:n], want[:n]) || n == 0 {
		t.Error("what was read is not what was written")
	}

	only, err := d.Open("a", false)
	if err != nil {
		t.Fatal(err)
	}
	defer only.Close()
	var path *fs.PathError
	if n, err := only.WriteAt([]byte("x"), 0); n != 0 || !errors.As(err, &path) {
		t.Errorf("a write to a file that is open for reading: %d, %v", n, err)
	}
	if n, err := f.WriteAt([]byte("x"), -1); n != 0 || err == nil {
		t.Errorf("a write before the file begins: %d, %v", n, err)
	}

	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				if n, err := f.WriteAt([]byte("abc"), 7); errors.Is(err, fs.ErrClosed) {
					return
				} else if n != 3 || err != nil {
					t.Errorf("%d, %v", n, err)
					return
				}
			}
		})
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// TestSyncAlone: a sync that is not announced to the scheduler does what Sync does, fails with the
// same errors, is not tried again, and is left to Sync where it is not for it.
func TestSyncAlone(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	defer warySync.Store(0)
	d := OS(t.TempDir())
	f, err := d.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	o := f.(*osFile)
	if _, err := f.WriteAt([]byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	quick := func(want bool, wary int32, what string) {
		t.Helper()
		warySync.Store(wary) // whatever the disk has taken before
		if done, err := o.quick.sync(); done != want || err != nil {
			t.Errorf("%s: a sync that is not announced: %t, %v", what, done, err)
		}
		if err := SyncAlone(f); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	quick(true, 0, "nothing else")
	syncing.Store(true)
	quick(false, 0, "another one is at it")
	syncing.Store(false)
	quick(false, 2, "the disk was slow") // and SyncAlone
	if w := warySync.Load(); w != 0 {
		t.Errorf("%d syncs more are to be announced", w)
	}
	quick(true, 0, "the disk is fast again")
	runtime.GOMAXPROCS(1)
	quick(false, 0, "one processor")
	runtime.GOMAXPROCS(2)

	p, w, err := os.Pipe() // cannot be synced
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	bad := &osFile{f: w}
	bad.quick.init(w)
	defer bad.Close()
	var path *fs.PathError
	if done, err := bad.quick.sync(); !done || err != syscall.EINVAL {
		t.Errorf("a sync that fails: %t, %v", done, err)
	}
	if err := SyncAlone(bad); !errors.As(err, &path) || path.Op != "sync" {
		t.Errorf("a sync that fails: %v", err)
	}

	var wg sync.WaitGroup
	var closing atomic.Bool
	for range 4 {
		wg.Go(func() {
			for {
				if err := SyncAlone(f); err != nil {
					if !closing.Load() {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	closing.Store(true)
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

//go:build amd64 || arm64 || riscv64

package disk

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"sync"
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

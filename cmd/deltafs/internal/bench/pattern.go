package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
)

// period of what files hold: prime, so that no two blocks of a MiB or less that
// are aligned are the same within a TiB.
const period = 1<<20 + 7

// pattern returns two periods, of which any MiB of a file is a piece. They are made when they
// are needed: every command of the program would wait for them.
var pattern = sync.OnceValue(func() []byte {
	b := make([]byte, 2*period+8)
	r := rand.NewChaCha8([32]byte{20})
	_, _ = r.Read(b[:period]) // never fails
	copy(b[period:], b[:period])
	copy(b[2*period:], b[:8])
	return b
})

// content is the n bytes at an offset of a file that was written for the gen-th
// time, n at most a MiB.
func content(off int64, n int, gen int) []byte {
	at := (off + int64(gen)*7919) % period
	return pattern()[at : at+int64(n)]
}

// check compares what was read with what must be there.
func check(got []byte, off int64, gen int) error {
	if want := content(off, len(got), gen); !bytes.Equal(got, want) {
		i := 0
		for got[i] == want[i] {
			i++
		}
		return fmt.Errorf("wrong data: byte %d of %d at offset %d is %#x, must be %#x", i, len(got), off, got[i], want[i])
	}
	return nil
}

//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// paced is size bytes of the content, from off on, of the file with a number: each eight bytes say whose they are, and where.
func paced(n, off, size int64) []byte {
	p := make([]byte, 0, size+16)
	for i := off / 8; int64(len(p)) < size+8; i++ {
		p = binary.LittleEndian.AppendUint64(p, uint64(n<<32|i))
	}
	return p[off%8:][:size]
}

// pacedFile is where the file with a number is: 500 to a directory.
func pacedFile(dir string, n int64) string {
	return filepath.Join(dir, fmt.Sprintf("d%d", n/500), fmt.Sprintf("f%d", n))
}

func lots(args []string) error {
	if err := need(args, 3, "lots DIR N SIZE"); err != nil {
		return err
	}
	count, err1 := number(args[1])
	size, err2 := number(args[2])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	for n := range count {
		name := pacedFile(args[0], n)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, paced(n, 0, size), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// pace does what a client does who is not in a hurry: reads a block of a file of lots, writes
// a small file of its own, reads one back, with 2 ms between them, until a file is there. What it reads is checked;
// it prints how long the calls took.
func pace(args []string) error {
	if err := need(args, 5, "pace LOTS N SIZE OWN STOP"); err != nil {
		return err
	}
	count, err1 := number(args[1])
	size, err2 := number(args[2])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	const block, own = 4096, 200
	rng := rand.New(rand.NewPCG(12, 12))
	var took [3][]time.Duration
	written := map[int64]int64{} // how often
	var names []int64            // of those
	each := [3]func() error{
		func() error {
			n, off := rng.Int64N(count), rng.Int64N(max(size-block, 1))
			f, err := os.Open(pacedFile(args[0], n))
			if err != nil {
				return err
			}
			defer f.Close()
			got := make([]byte, min(block, size))
			if _, err := f.ReadAt(got, off); err != nil {
				return err
			}
			if !bytes.Equal(got, paced(n, off, int64(len(got)))) {
				return fmt.Errorf("%s: wrong at %d", f.Name(), off)
			}
			return nil
		},
		func() error {
			n := rng.Int64N(own)
			if written[n]++; written[n] == 1 {
				names = append(names, n)
			}
			return os.WriteFile(filepath.Join(args[3], fmt.Sprint("own", n)), paced(n+written[n]*own, 0, block), 0o644)
		},
		func() error {
			n := names[rng.IntN(len(names))]
			name := filepath.Join(args[3], fmt.Sprint("own", n))
			got, err := os.ReadFile(name)
			if err == nil && !bytes.Equal(got, paced(n+written[n]*own, 0, block)) {
				err = fmt.Errorf("%s: not what was written last", name)
			}
			return err
		},
	}
	for i := 0; ; i++ {
		if i%16 == 0 {
			if _, err := os.Stat(args[4]); err == nil {
				break
			}
		}
		t := time.Now()
		if err := each[i%3](); err != nil {
			return err
		}
		took[i%3] = append(took[i%3], time.Since(t))
		time.Sleep(2 * time.Millisecond)
	}
	all := slices.Concat(took[:]...)
	for i, list := range append(took[:], all) {
		slices.Sort(list)
		at := func(q float64) time.Duration { return list[int(q*float64(len(list)-1))].Round(10 * time.Microsecond) }
		if len(list) > 0 {
			fmt.Printf("%s: %d calls, p50 %v, p99 %v, longest %v; ", [...]string{"read", "write", "read back", "all"}[i], len(list), at(0.5), at(0.99), at(1))
		}
	}
	fmt.Println()
	return nil
}

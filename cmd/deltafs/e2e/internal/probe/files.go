//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

func mk(args []string) error {
	if err := need(args, 3, "mk DIR N SIZE"); err != nil {
		return err
	}
	n, err1 := number(args[1])
	size, err2 := number(args[2])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	content := bytes.Repeat([]byte("x"), int(size))
	for i := range n {
		name := filepath.Join(args[0], fmt.Sprintf("f%d", i+1))
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// mmap writes through a shared mapping and reads the file back the ordinary way.
func mmap(args []string) error {
	if err := need(args, 1, "mmap FILE"); err != nil {
		return err
	}
	const size = 4 * 4096
	f, err := os.OpenFile(args[0], os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return err
	}
	m, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	want := bytes.Repeat([]byte("M"), size)
	copy(m, want)
	if err := errors.Join(unix.Msync(m, unix.MS_SYNC), unix.Munmap(m), dropCaches()); err != nil {
		return err
	}
	got, err := os.ReadFile(args[0])
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("%s: not what was written through the mapping", args[0])
	}
	return err
}

// dropCaches makes the client forget what it has read.
func dropCaches() error {
	unix.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

func sock(args []string) error {
	if err := need(args, 1, "sock FILE"); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrUnix{Name: args[0]})
}

func excl(args []string) error {
	if err := need(args, 1, "excl FILE"); err != nil {
		return err
	}
	f, err := os.OpenFile(args[0], os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	return f.Close()
}

// direct writes and reads past the cache of the client.
func direct(args []string) error {
	if err := need(args, 1, "direct FILE"); err != nil {
		return err
	}
	f, err := os.OpenFile(args[0], os.O_RDWR|os.O_CREATE|unix.O_DIRECT, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	want := bytes.Repeat([]byte("direct!\n"), 8192)
	if _, err := f.WriteAt(want, 4096); err != nil {
		return err
	}
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, 4096); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s: not what was written", args[0])
	}
	return nil
}

// readdirDelete deletes a few names after each small part of a listing, so that the
// listing goes on at cookies whose entries are gone, and fails if any name is left.
func readdirDelete(args []string) error {
	if err := need(args, 1, "readdir-delete DIR"); err != nil {
		return err
	}
	d, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(7)
		for _, n := range names {
			if err := os.Remove(filepath.Join(args[0], n)); err != nil {
				return err
			}
		}
		if len(names) == 0 || err != nil {
			break
		}
	}
	return unix.Rmdir(args[0])
}

// patch writes BYTES at OFFSET into each of the files, syncs, and prints the
// nanoseconds that the fastest took from open to close.
func patch(args []string) error {
	if err := need(args, 3, "patch BYTES OFFSET FILE..."); err != nil {
		return err
	}
	n, err1 := number(args[0])
	off, err2 := number(args[1])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	content := bytes.Repeat([]byte("patched\n"), int(n/8))
	best := time.Duration(1<<63 - 1)
	for _, name := range args[2:] {
		start := time.Now()
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(content, off)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
		best = min(best, time.Since(start))
	}
	fmt.Println(best.Nanoseconds())
	return nil
}

func jsonNumber(args []string) error {
	if err := need(args, 1, "json KEY"); err != nil {
		return err
	}
	var v map[string]any
	if err := json.NewDecoder(os.Stdin).Decode(&v); err != nil {
		return err
	}
	n, ok := v[args[0]].(float64)
	if !ok {
		return fmt.Errorf("no number %q in %v", args[0], v)
	}
	fmt.Printf("%.0f\n", n)
	return nil
}

// scatter overwrites blocks anywhere in a file, and syncs every 256: written back first,
// as the kernel does by itself. (What an fsync finds unwritten, and apart in the file, the
// client writes with FILE_SYNC, each block alone.)
func scatter(args []string) error {
	if err := need(args, 2, "scatter FILE BYTES"); err != nil {
		return err
	}
	bytes, err := number(args[1])
	if err != nil {
		return err
	}
	f, err := os.OpenFile(args[0], os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, 4096)
	for i := range bytes / 4096 {
		for k := 0; k < len(p); k += 8 {
			binary.LittleEndian.PutUint64(p[k:], rng.Uint64())
		}
		if _, err := f.WriteAt(p, rng.Int64N(st.Size()/4096)*4096); err != nil {
			return err
		}
		if i%256 == 255 {
			if err := unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE); err != nil {
				return err
			}
			if err := f.Sync(); err != nil {
				return err
			}
		}
	}
	return f.Sync()
}

// blocks is "blocks write FILE SEED N", which overwrites N blocks of 4 KiB anywhere in a file, each with what tells its
// seed and place, and "blocks check FILE SEED N": those blocks are there, and all others are zeros.
func blocks(args []string) error {
	if err := need(args, 4, "blocks write|check FILE SEED N"); err != nil {
		return err
	}
	seed, err := number(args[2])
	if err != nil {
		return err
	}
	n, err := number(args[3])
	if err != nil {
		return err
	}
	f, err := os.OpenFile(args[1], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	const size = 4 << 10
	rng := rand.New(rand.NewPCG(uint64(seed), 0))
	mine := map[int64]bool{}
	for range n {
		mine[rng.Int64N(fi.Size()/size)] = true
	}
	fill := func(p []byte, at int64) {
		for i := 0; i < len(p); i += 16 {
			binary.LittleEndian.PutUint64(p[i:], uint64(seed))
			binary.LittleEndian.PutUint64(p[i+8:], uint64(at))
		}
	}
	p, want := make([]byte, size), make([]byte, size)
	if args[0] == "write" {
		for at := range mine {
			fill(p, at)
			if _, err := f.WriteAt(p, at*size); err != nil {
				return err
			}
		}
		fmt.Println(len(mine)*size, "bytes")
		return f.Sync()
	}
	for at := range fi.Size() / size {
		clear(want)
		if mine[at] {
			fill(want, at)
		}
		if _, err := f.ReadAt(p, at*size); err != nil {
			return err
		}
		if !bytes.Equal(p, want) {
			return fmt.Errorf("block %d, written by %d: %v, is %x", at, seed, mine[at], p[:16])
		}
	}
	fmt.Println(len(mine)*size, "bytes")
	return nil
}

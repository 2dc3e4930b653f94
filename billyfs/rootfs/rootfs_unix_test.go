//go:build linux || darwin || freebsd

package rootfs

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// TestSpecialFilesAreNotOpened would hang on the FIFO if it were opened.
func TestSpecialFilesAreNotOpened(t *testing.T) {
	each(t, func(t *testing.T, f *FS, dir string) {
		must(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
		for _, name := range []string{"fifo", "d/fifo"} {
			must(t, syscall.Mkfifo(filepath.Join(dir, name), 0o644))
			fi, err := f.Lstat(name)
			must(t, err)
			if fi.Mode().Type() != os.ModeNamedPipe || fi.Sys().(*syscall.Stat_t).Ino == 0 {
				t.Errorf("%s: %v", name, fi.Mode())
			}
			if _, err := f.Open(name); err == nil {
				t.Errorf("%s was opened", name)
			}
			if list, err := f.ReadDir(name); err == nil {
				t.Errorf("%s was listed: %v", name, list)
			}
		}
	})
}

// TestSwapForFIFO swaps a file for a FIFO under readers: each open either gives
// the file or fails, and none blocks.
func TestSwapForFIFO(t *testing.T) {
	each(t, func(t *testing.T, f *FS, dir string) {
		write(t, dir, "file")
		file, fifo, aside := filepath.Join(dir, "file"), filepath.Join(dir, "fifo"), filepath.Join(dir, "aside")
		must(t, syscall.Mkfifo(fifo, 0o644))
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 300 {
				os.Rename(file, aside)
				os.Rename(fifo, file)
				os.Rename(file, fifo)
				os.Rename(aside, file)
			}
		}()
		for range 2000 {
			got, err := f.Open("file")
			if err != nil {
				continue
			}
			if fi, err := got.(*File).Stat(); err != nil || !fi.Mode().IsRegular() {
				t.Fatalf("opened %v, %v", fi.Mode(), err)
			}
			got.Close()
		}
		<-done
	})
}

// TestReadDirOfMany: a large directory is listed whole and in order, each entry as Lstat describes it, while names come and go.
func TestReadDirOfMany(t *testing.T) {
	dir := t.TempDir()
	const n = 3000
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%04d", i)), make([]byte, i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			p := filepath.Join(dir, fmt.Sprintf("g%04d", i%50))
			_ = os.WriteFile(p, nil, 0o600)
			_ = os.Remove(p)
		}
	})
	for range 20 {
		list, err := f.ReadDir(".")
		if err != nil {
			t.Fatal(err)
		}
		k, last := 0, ""
		for _, fi := range list {
			if fi.Name() <= last {
				t.Fatalf("%q is listed behind %q", fi.Name(), last)
			}
			if last = fi.Name(); last[0] == 'g' {
				continue
			}
			if want := fmt.Sprintf("f%04d", k); last != want || fi.Size() != int64(k) || !fi.Mode().IsRegular() {
				t.Fatalf("%s, %d bytes, %v; want %s", last, fi.Size(), fi.Mode(), want)
			}
			k++
		}
		if k != n {
			t.Fatalf("%d files are listed, of %d", k, n)
		}
	}
	close(stop)
	wg.Wait()
}

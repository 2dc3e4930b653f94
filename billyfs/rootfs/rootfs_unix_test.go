//go:build linux || darwin || freebsd

package rootfs

import (
	"os"
	"path/filepath"
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

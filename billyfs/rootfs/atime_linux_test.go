package rootfs

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestAtimeStays reads all there is and finds each atime where it was: so old
// that even relatime would move it.
func TestAtimeStays(t *testing.T) {
	each(t, func(t *testing.T, f *FS, dir string) {
		write(t, dir, "d/e/file")
		old := time.Unix(1_000_000_000, 0)
		names := []string{"d/e/file", "d/e", "d", "."}
		for _, n := range names {
			must(t, os.Chtimes(filepath.Join(dir, n), old, old))
		}
		for _, n := range names[1:] {
			_, err := f.ReadDir(n)
			must(t, err)
		}
		file, err := f.Open("d/e/file")
		must(t, err)
		if _, err := io.ReadAll(file); err != nil {
			t.Fatal(err)
		}
		must(t, file.Close())
		for _, n := range names {
			fi, err := f.Lstat(n)
			must(t, err)
			if at := int64(fi.Sys().(*syscall.Stat_t).Atim.Sec); at != old.Unix() {
				t.Errorf("atime of %s moved to %v", n, time.Unix(at, 0))
			}
		}
	})
}

// TestFilesOfOthers: O_NOATIME is refused for them, which must not show, nor
// spoil it for one's own.
func TestFilesOfOthers(t *testing.T) {
	if _, err := os.ReadFile("/etc/passwd"); err != nil || os.Getuid() == 0 {
		t.Skip("needs a user, and a file of another")
	}
	f, err := Open("/etc")
	must(t, err)
	defer f.Close()
	file, err := f.Open("passwd")
	must(t, err)
	file.Close()
}

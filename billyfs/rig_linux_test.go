package billyfs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// populateSpecial adds what only some systems have: a FIFO, and for root a
// device and other owners.
func populateSpecial(dir string) error {
	if err := unix.Mkfifo(filepath.Join(dir, "d", "fifo"), 0o640); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	if err := unix.Mknod(filepath.Join(dir, "e", "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		return err
	}
	if err := os.Lchown(filepath.Join(dir, "e"), 7, 8); err != nil {
		return err
	}
	return os.Chmod(filepath.Join(dir, "e"), 0o775|os.ModeSetgid)
}

func changeTime(fi fs.FileInfo) string {
	st := fi.Sys().(*syscall.Stat_t)
	return fmt.Sprint(st.Ctim, st.Nlink, st.Ino)
}

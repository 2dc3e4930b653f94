//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// resend copies SOURCE into FILE, has the kernel send it without asking for it to be
// on disk, waits for the file LOST, and only then syncs: what the server has lost
// meanwhile must be sent again.
func resend(args []string) error {
	if err := need(args, 3, "resend FILE SOURCE LOST"); err != nil {
		return err
	}
	b, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	f, err := os.OpenFile(args[0], os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		return err
	}
	if err := unix.SyncFileRange(int(f.Fd()), 0, int64(len(b)), unix.SYNC_FILE_RANGE_WRITE); err != nil {
		return fmt.Errorf("sync_file_range: %w", err)
	}
	if err := await(args[2]); err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// await waits until a file is there.
func await(path string) error {
	for range 6000 {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("%s does not appear", path)
}

// names makes and removes names in DIR until the file STOP is there: each call of
// it fails if it is carried out twice. It prints how many rounds there were.
func names(args []string) error {
	if err := need(args, 2, "names DIR STOP"); err != nil {
		return err
	}
	at := func(name string) string { return filepath.Join(args[0], name) }
	rounds := 0
	for ; ; rounds++ {
		if _, err := os.Stat(args[1]); err == nil {
			break
		}
		f, err := os.OpenFile(at("file"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		for _, step := range []func() error{
			f.Close,
			func() error { return os.Mkdir(at("dir"), 0o755) },
			func() error { return os.Link(at("file"), at("dir/link")) },
			func() error { return os.Symlink("file", at("sym")) },
			func() error { return unix.Mkfifo(at("fifo"), 0o600) },
			func() error { return os.Rename(at("file"), at("dir/file")) },
			func() error { return os.Remove(at("dir/file")) },
			func() error { return os.Remove(at("dir/link")) },
			func() error { return os.Remove(at("dir")) },
			func() error { return os.Remove(at("sym")) },
			func() error { return os.Remove(at("fifo")) },
		} {
			if err := step(); err != nil {
				return fmt.Errorf("round %d: %w", rounds, err)
			}
		}
	}
	left, err := os.ReadDir(args[0])
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%s is left", left[0].Name())
	}
	fmt.Println(rounds, "rounds")
	return err
}

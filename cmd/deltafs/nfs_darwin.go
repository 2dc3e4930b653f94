package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// canMount: macOS lets users mount on directories that they own.
func canMount(string) error {
	if _, err := os.Stat("/sbin/mount_nfs"); err != nil {
		return &fault{Op: "mount", Err: errors.New("/sbin/mount_nfs is missing"), Code: exitMachine}
	}
	return nil
}

func mountNFS(addr *net.TCPAddr, export, at string) error {
	options := fmt.Sprintf("vers=3,tcp,port=%d,mountport=%d,locallocks,noresvport,nfc,nobrowse,hard,intr,nosuid,nodev", addr.Port, addr.Port)
	out, err := exec.Command("/sbin/mount_nfs", "-o", options, addr.IP.String()+":"+export, at).CombinedOutput()
	if err != nil {
		return &fault{Op: "mount", Path: at, Err: fmt.Errorf("mount_nfs: %w: %s", err, strings.TrimSpace(string(out))),
			Hint: "without root the mount point must be a directory that you own"}
	}
	return nil
}

func unmountNFS(at string, force bool) error {
	flags := 0
	if force {
		flags = unix.MNT_FORCE
	}
	err := unix.Unmount(at, flags)
	if errors.Is(err, unix.EBUSY) {
		return &fault{Op: "umount", Path: at, Err: errors.New("programs still use the mount"),
			Hint: "end them (lsof +D " + at + " lists them), or use --force"}
	}
	if err != nil {
		return &fault{Op: "umount", Path: at, Err: err}
	}
	return nil
}

func isMounted(at string) (mounted, known bool) {
	n, err := unix.Getfsstat(nil, unix.MNT_NOWAIT)
	if err != nil {
		return false, false
	}
	list := make([]unix.Statfs_t, n+8)
	if n, err = unix.Getfsstat(list, unix.MNT_NOWAIT); err != nil {
		return false, false
	}
	for i := range list[:n] {
		if unix.ByteSliceToString(list[i].Mntonname[:]) == at {
			return true, true
		}
	}
	return false, true
}

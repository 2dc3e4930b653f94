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

func canMount(sudoLine string) error {
	if os.Geteuid() != 0 {
		return &fault{Op: "mount", Err: errors.New("only root may mount"), Code: exitMachine, Hint: sudoLine}
	}
	return nil
}

func mountNFS(addr *net.TCPAddr, export, at string) error {
	options := fmt.Sprintf("nfsv3,tcp,port=%d,mountport=%d,nolockd,rdirplus,nosuid", addr.Port, addr.Port)
	out, err := exec.Command("/sbin/mount_nfs", "-o", options, addr.IP.String()+":"+export, at).CombinedOutput()
	if err != nil {
		return &fault{Op: "mount", Path: at, Err: fmt.Errorf("mount_nfs: %w: %s", err, strings.TrimSpace(string(out)))}
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
		return &fault{Op: "umount", Path: at, Err: errors.New("programs still use the mount"), Hint: "end them, or use --force"}
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

//go:build !linux && !darwin && !freebsd

package main

import (
	"errors"
	"net"
	"runtime"
)

// canMount: deltafs mounts on no system that it has not been tried on.
func canMount(string) error {
	return &fault{Op: "mount", Err: errors.New("deltafs cannot mount on " + runtime.GOOS), Code: exitMachine,
		Hint: "deltafs serve prints how it mounts a server; Windows needs --portmap"}
}

func mountNFS(*net.TCPAddr, string, string) error { return canMount("") }

func unmountNFS(at string, _ bool) error {
	return &fault{Op: "umount", Path: at, Err: errors.New("deltafs cannot unmount on " + runtime.GOOS), Code: exitMachine}
}

func isMounted(string) (mounted, known bool) { return false, true }

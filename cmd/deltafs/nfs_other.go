//go:build !linux && !darwin && !freebsd

package main

import (
	"errors"
	"net"
	"runtime"
)

// canMount: Windows finds the server through port 111 alone, which the go-nfs
// engine does not serve; other systems have not been tried.
func canMount(string) error {
	return &fault{Op: "mount", Err: errors.New("deltafs cannot mount on " + runtime.GOOS + " with this engine"), Code: exitMachine,
		Hint: "deltafs serve prints how other systems mount the server"}
}

func mountNFS(*net.TCPAddr, string) error { return canMount("") }

func unmountNFS(at string, _ bool) error {
	return &fault{Op: "umount", Path: at, Err: errors.New("deltafs cannot unmount on " + runtime.GOOS), Code: exitMachine}
}

func isMounted(string) (mounted, known bool) { return false, true }

// Package dial connects the client of github.com/willscott/go-nfs-client to a
// server, for tests and the demo.
//
// That client binds each connection to a port that it picks at random from
// 16,383, and fails where the port is taken: where a hundred are in use, once
// in 160 connections.
package dial

import (
	"errors"
	"os"

	"github.com/willscott/go-nfs-client/nfs/rpc"
)

// tries is how many ports are tried.
const tries = 100

// TCP connects to the server at addr from any free port.
func TCP(addr string) (*rpc.Client, error) {
	return fromFreePort(func() (*rpc.Client, error) { return rpc.DialTCP("tcp", addr, false) })
}

// fromFreePort calls dial until it fails for another reason than a taken port.
func fromFreePort[C any](dial func() (C, error)) (c C, err error) {
	for range tries {
		c, err = dial()
		var sys *os.SyscallError
		if !errors.As(err, &sys) || sys.Syscall != "bind" {
			break
		}
	}
	return c, err
}

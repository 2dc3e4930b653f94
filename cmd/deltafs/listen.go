package main

import (
	"errors"
	"net"
	"strings"
	"syscall"
)

// listenTCP opens an address to listen on. Unless anywhere is set it must be one
// of this machine alone; hint says how others can be let in.
func listenTCP(flag, addr string, anywhere bool, hint string) (net.Listener, error) {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, &fault{Err: usagef("%s %q: %v", flag, addr, err), Code: exitUsage,
			Hint: flag + " 127.0.0.1:0 takes a free port"}
	}
	if !tcp.IP.IsLoopback() && !anywhere {
		return nil, &fault{Err: usagef("%s %s: only addresses of this machine are allowed", flag, addr),
			Code: exitUsage, Hint: flag + " 127.0.0.1:" + portOf(addr) + hint}
	}
	l, err := net.ListenTCP("tcp", tcp)
	if err == nil {
		return l, nil
	}
	f := &fault{Op: "listen", Path: addr, Err: reason(err)}
	switch {
	case addrInUse(err):
		f.Err = errors.New("the port is taken by another program")
		f.Hint = flag + " 127.0.0.1:0 takes a free port"
	case errors.Is(err, syscall.EACCES):
		f.Hint = "ports below 1024 need root; " + flag + " 127.0.0.1:0 takes a free port"
	}
	return nil, f
}

// portOf returns the port of addr, or 0.
func portOf(addr string) string {
	if i := strings.LastIndexByte(addr, ':'); i >= 0 && i+1 < len(addr) {
		return addr[i+1:]
	}
	return "0"
}

// reason strips what package net puts around the error of a system call.
func reason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return bare(op.Err)
	}
	return err
}

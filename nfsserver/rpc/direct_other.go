//go:build !linux || race

package rpc

import (
	"io"
	"net"
	"sync/atomic"
)

// direct is for Linux. The race detector, too, has to know of what comes through sockets.
func direct(c net.Conn) net.Conn { return c }

func many(c net.Conn) io.Writer { return c }

// peeks tells whether hasMore can tell.
func peeks(net.Conn) bool { return false }

func hasMore(net.Conn) bool { return false }

// writesNow tells whether writeNow can write.
func writesNow(net.Conn) bool { return false }

func writeNow(net.Conn, []byte) int { return 0 }

// lingers tells whether linger does anything.
func lingers(net.Conn) bool { return false }

func linger(net.Conn, func() bool) {}

func doze(net.Conn, *atomic.Bool) {}

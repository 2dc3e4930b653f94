// Package peer tells whose socket is at the other end of a connection that
// comes from this machine.
//
// A server that listens on loopback believes AUTH_SYS, in which a caller says
// who he is. The kernel's NFS client can be believed, for it alone knows whom
// it works for; a program that speaks NFS by itself can not, but its socket
// belongs to the user who runs it, and the system knows that. Linux tells it
// in /proc/net/tcp.
package peer

import (
	"errors"
	"net/netip"
)

// ErrUnknown means that no socket of this machine is at the other end: the peer
// is in another network namespace, a container, a guest, or gone.
var ErrUnknown = errors.New("no socket of this machine")

// Owner is whose socket the peer's is.
type Owner struct {
	UID    uint32
	Kernel bool // no process holds it: it is the kernel's own
}

// Lookup returns the owner of the socket at the other end of a connection
// whose end here is local. Its error is ErrUnknown, or wraps
// errors.ErrUnsupported where the system does not tell.
func Lookup(local, remote netip.AddrPort) (Owner, error) {
	return lookup(netip.AddrPortFrom(local.Addr().Unmap(), local.Port()), netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()))
}

//go:build !linux

package peer

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
)

func lookup(_, _ netip.AddrPort) (Owner, error) {
	return Owner{}, fmt.Errorf("owner of a socket on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

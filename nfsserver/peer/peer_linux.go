package peer

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// lookup finds the socket in the tables of the kernel. A connection of IPv4
// may be in that of IPv6 as well, made by a socket that does both.
func lookup(local, remote netip.AddrPort) (Owner, error) {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if errors.Is(err, fs.ErrNotExist) { // no IPv6
			continue
		}
		if err != nil {
			return Owner{}, err
		}
		uid, inode, err := find(f, local, remote)
		f.Close()
		if errors.Is(err, ErrUnknown) {
			continue
		}
		if err != nil {
			return Owner{}, err
		}
		return Owner{UID: uid, Kernel: uid == 0 && kernels(inode, remote.Port())}, nil
	}
	return Owner{}, ErrUnknown
}

// find looks through a table for the peer's end: there our remote address is
// the local one. See proc(5).
func find(r io.Reader, local, remote netip.AddrPort) (uid uint32, inode string, err error) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) < 10 {
			continue
		}
		from, ok1 := parseAddr(f[1])
		to, ok2 := parseAddr(f[2])
		if !ok1 || !ok2 || from != remote || to != local {
			continue
		}
		n, err := strconv.ParseUint(f[7], 10, 32)
		if err != nil {
			return 0, "", ErrUnknown
		}
		return uint32(n), f[9], nil
	}
	if err := s.Err(); err != nil {
		return 0, "", err
	}
	return 0, "", ErrUnknown
}

// parseAddr takes "0100007F:0801" apart: 32-bit words in the byte order of
// the machine, and the port.
func parseAddr(s string) (netip.AddrPort, bool) {
	addr, port, ok := strings.Cut(s, ":")
	b, err := hex.DecodeString(addr)
	p, perr := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || perr != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for w := b; len(w) > 0; w = w[4:] {
		binary.NativeEndian.PutUint32(w, binary.BigEndian.Uint32(w))
	}
	a, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), ok
}

// kernels tells whether a socket of root's is held by no process. Who may not
// look into root's processes goes by the port: the kernel's client takes one
// that is reserved for root unless told otherwise, which hardly a proxy does.
func kernels(inode string, port uint16) bool {
	if os.Geteuid() != 0 {
		return port < 1024
	}
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	want := "socket:[" + inode + "]"
	for _, p := range procs {
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		fds, err := os.ReadDir("/proc/" + p.Name() + "/fd")
		if err != nil { // it has ended
			continue
		}
		for _, fd := range fds {
			if to, err := os.Readlink("/proc/" + p.Name() + "/fd/" + fd.Name()); err == nil && to == want {
				return false
			}
		}
	}
	return true
}

package peer

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// pair returns the two ends of a connection, as this process sees them.
func pair(t *testing.T, network, addr string) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Skip(err)
	}
	defer l.Close()
	if client, err = net.Dial(network, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return server, client
}

func ends(c net.Conn) (local, remote netip.AddrPort) {
	return c.LocalAddr().(*net.TCPAddr).AddrPort(), c.RemoteAddr().(*net.TCPAddr).AddrPort()
}

// TestOwnSocket: a socket of this process is this user's, and not the kernel's.
func TestOwnSocket(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		s, c := pair(t, "tcp", addr)
		local, remote := ends(s)
		o, err := Lookup(local, remote)
		if err != nil || o.UID != uint32(os.Getuid()) || o.Kernel {
			t.Errorf("%s: %+v, %v", addr, o, err)
		}
		// As the addresses look where a socket takes IPv4 and IPv6.
		mapped := func(a netip.AddrPort) netip.AddrPort {
			if a.Addr().Is4() {
				return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
			}
			return a
		}
		if o, err := Lookup(mapped(local), mapped(remote)); err != nil || o.UID != uint32(os.Getuid()) {
			t.Errorf("%s, mapped: %+v, %v", addr, o, err)
		}
		c.Close()
		s.Close()
	}
}

// TestNoSocket: what is at no end of a connection here is unknown.
func TestNoSocket(t *testing.T) {
	s, _ := pair(t, "tcp", "127.0.0.1:0")
	local, remote := ends(s)
	for _, r := range []netip.AddrPort{
		netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), remote.Port()),
		netip.AddrPortFrom(remote.Addr(), 0),
	} {
		if o, err := Lookup(local, r); !errors.Is(err, ErrUnknown) {
			t.Errorf("%v: %+v, %v", r, o, err)
		}
	}
}

// table is what /proc/net/tcp looks like on a little-endian machine: 127.0.0.1:2049
// and a client of uid 1000, and one of the kernel's.
const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0801 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 11 1 0000000000000000 100 0 0 10 0
   1: 0100007F:9C40 0100007F:0801 01 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0000000000000000 100 0 0 10 0
   2: 0100007F:02BC 0100007F:0801 01 00000000:00000000 02:00000D8A 00000000     0        0 77 2 0000000000000000 20 4 0 10 -1
   3: nonsense
   4: 0100007F:03E7 0100007F:0801 01 00000000:00000000 02:00000D8A 00000000     x        0 77
   5: 0100:03E6 0100007F:0801 01 00000000:00000000 02:00000D8A 00000000     0        0 78
`

func TestTable(t *testing.T) {
	a := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port) }
	local := a(2049)
	if a, ok := parseAddr("0100007F:0801"); !ok || a != local {
		t.Skip("the table is of a machine with another byte order")
	}
	for _, k := range []struct {
		port  uint16
		uid   uint32
		inode string
		ok    bool
	}{{40000, 1000, "4242", true}, {700, 0, "77", true}, {999, 0, "", false}, {998, 0, "", false}, {5, 0, "", false}} {
		uid, inode, err := find(strings.NewReader(table), local, a(k.port))
		if (err == nil) != k.ok || uid != k.uid || inode != k.inode {
			t.Errorf("port %d: uid %d, inode %q, %v", k.port, uid, inode, err)
		}
	}
}

// TestKernels: an inode that no process holds is the kernel's, for those who can
// look; others go by the port.
func TestKernels(t *testing.T) {
	if os.Geteuid() != 0 {
		if !kernels("1", 700) || kernels("1", 40000) {
			t.Error("the port does not decide")
		}
		return
	}
	if !kernels("18446744073709551615", 40000) {
		t.Error("a socket that no process holds is not the kernel's")
	}
	s, _ := pair(t, "tcp", "127.0.0.1:0")
	local, remote := ends(s)
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, inode, err := find(f, local, remote)
	if err != nil || kernels(inode, 700) {
		t.Errorf("a socket of this process (inode %s, %v) is the kernel's", inode, err)
	}
}

package nfsserver

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"deltafs/billyfs"
	"deltafs/nfsserver/rpc"
	"deltafs/nfsserver/wire"
)

// TestMount: which paths can be mounted, what the table of mounts says, and what
// EXPORT tells.
func TestMount(t *testing.T) {
	d := newDisk(t, "")
	r := serveDisks(t, Options{Access: Access{TrustLoopback: true, Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}},
		map[string]*disk{"/": d, "/img": newDisk(t, d.base)})
	c := r.dial()
	for path, want := range map[string]wire.MountStatus{
		"/": wire.MntOK, "": wire.MntOK, "//": wire.MntOK, "/dir": wire.MntOK, "/dir/": wire.MntOK, "dir/./sub": wire.MntOK,
		"/img": wire.MntOK, "/img/dir/sub": wire.MntOK, "/imgs": wire.MntErrNoEnt, "/nosuch": wire.MntErrNoEnt,
		"/dir/nosuch/x": wire.MntErrNoEnt, "/hello": wire.MntErrNotDir, "/hello/x": wire.MntErrNotDir,
		"/../../..": wire.MntOK, "/" + strings.Repeat("n", 300): wire.MntErrNameTooLong,
	} {
		var m wire.MntRes
		c.do(wire.ProgMount, wire.MountProcMnt, &wire.MntArgs{Path: []byte(path)}, &m)
		if m.Status != want {
			t.Errorf("MNT %q: %v, want %v", path, m.Status, want)
		}
		if want == wire.MntOK && !slices.Equal(m.Flavors, []uint32{wire.AuthSys, wire.AuthNone}) {
			t.Errorf("MNT %q: flavours %v", path, m.Flavors)
		}
	}
	if !bytes.Equal(c.mount("/dir/sub"), c.lookup(c.mount("/"), "dir/sub")) {
		t.Error("a directory that is mounted has another handle")
	}
	if bytes.Equal(c.mount("/img"), c.mount("/")) {
		t.Error("two exports are one")
	}
	dump := func() (paths []string) {
		var m wire.MountDumpRes
		c.do(wire.ProgMount, wire.MountProcDump, &wire.Void{}, &m)
		for _, e := range m.Mounts {
			if e.Host != "127.0.0.1" {
				t.Errorf("a mount of %q", e.Host)
			}
			paths = append(paths, e.Dir)
		}
		slices.Sort(paths)
		return paths
	}
	if got := dump(); !slices.Equal(got, []string{"/", "/dir", "/dir/sub", "/img", "/img/dir/sub"}) {
		t.Errorf("DUMP: %q", got)
	}
	c.do(wire.ProgMount, wire.MountProcUmnt, &wire.MntArgs{Path: []byte("/dir/")}, &wire.Void{})
	if got := dump(); slices.Contains(got, "/dir") || len(got) != 4 {
		t.Errorf("DUMP after UMNT: %q", got)
	}
	c.do(wire.ProgMount, wire.MountProcUmntall, &wire.Void{}, &wire.Void{})
	if got := dump(); len(got) != 0 {
		t.Errorf("DUMP after UMNTALL: %q", got)
	}
	var e wire.ExportRes
	c.do(wire.ProgMount, wire.MountProcExport, &wire.Void{}, &e)
	if len(e.Exports) != 2 || e.Exports[0].Dir != "/" || e.Exports[1].Dir != "/img" ||
		!slices.Equal(e.Exports[0].Groups, []string{"localhost", "10.0.0.0/8"}) {
		t.Errorf("EXPORT: %+v", e)
	}
	// Version 1: what old clients poll is answered; handles would not fit.
	for _, proc := range []uint32{wire.MountProcNull, wire.MountProcDump, wire.MountProcExport} {
		if _, err := c.raw(wire.ProgMount, 1, proc, &wire.Void{}); err != nil {
			t.Errorf("version 1, %s: %v", wire.ProcName(wire.ProgMount, proc), err)
		}
	}
	b, err := c.raw(wire.ProgMount, 1, wire.MountProcMnt, &wire.MntArgs{Path: []byte("/")})
	if err != nil || !bytes.Equal(b, []byte{0, 0, 0, byte(wire.MntErrAcces)}) {
		t.Errorf("version 1, MNT: %x, %v", b, err)
	}
}

// TestMountTable: it is bounded.
func TestMountTable(t *testing.T) {
	var m mounts
	for i := range 3 * maxMounts {
		e := mountEntry{netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), "/"}
		m.add(e)
		m.add(e)
	}
	if n := len(m.all()); n != maxMounts {
		t.Errorf("%d mounts", n)
	}
}

// TestPortmap: over TCP and UDP it tells where NFS and MOUNT are, and takes no
// orders.
func TestPortmap(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p := NewPortmap(2049)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() { ended <- p.Serve(ctx, l) }()
	go func() { ended <- p.ServePacket(ctx, u) }()
	tcp, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.Dial("udp", u.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	ask := func(conn net.Conn, vers, proc uint32, a args) ([]byte, error) {
		t.Helper()
		_ = conn.SetDeadline(time.Now().Add(patience))
		rec := a.Append(wire.AppendCall(nil, &wire.Call{XID: 9, Prog: wire.ProgPortmap, Vers: vers, Proc: proc}))
		reply := make([]byte, 1000)
		if conn == tcp {
			if err := rpc.WriteRecord(conn, rec); err != nil {
				t.Fatal(err)
			}
			if reply, err = rpc.ReadRecord(conn, 1000); err != nil {
				t.Fatal(err)
			}
		} else {
			if _, err := conn.Write(rec); err != nil {
				t.Fatal(err)
			}
			n, err := conn.Read(reply)
			if err != nil {
				t.Fatal(err)
			}
			reply = reply[:n]
		}
		return wire.ParseReply(reply, 9)
	}
	for _, conn := range []net.Conn{tcp, udp} {
		for _, k := range []struct {
			m    wire.Mapping
			port uint32
		}{
			{wire.Mapping{Prog: wire.ProgNFS, Vers: 3, Prot: wire.ProtTCP}, 2049},
			{wire.Mapping{Prog: wire.ProgNFS, Vers: 4, Prot: wire.ProtTCP}, 2049},
			{wire.Mapping{Prog: wire.ProgMount, Vers: 1, Prot: wire.ProtTCP}, 2049},
			{wire.Mapping{Prog: wire.ProgMount, Vers: 3, Prot: wire.ProtUDP}, 0},
			{wire.Mapping{Prog: wire.ProgPortmap, Vers: 2, Prot: wire.ProtUDP}, 111},
			{wire.Mapping{Prog: 100021, Vers: 4, Prot: wire.ProtTCP}, 0},
		} {
			b, err := ask(conn, 2, wire.PmapProcGetport, &k.m)
			if err != nil {
				t.Fatal(err)
			}
			var n wire.Number
			if decode(t, b, &n); n.V != k.port {
				t.Errorf("GETPORT %+v: %d, want %d", k.m, n.V, k.port)
			}
		}
		b, err := ask(conn, 2, wire.PmapProcDump, &wire.Void{})
		if err != nil {
			t.Fatal(err)
		}
		var all wire.PmapDumpRes
		if decode(t, b, &all); len(all.Mappings) != 5 {
			t.Errorf("DUMP: %+v", all)
		}
		if b, err := ask(conn, 2, wire.PmapProcSet, &wire.Mapping{Prog: wire.ProgNFS, Vers: 3, Prot: wire.ProtTCP, Port: 666}); err != nil || b[3] != 0 {
			t.Errorf("SET: %x, %v", b, err)
		}
		if _, err := ask(conn, 4, 3, &wire.Void{}); err == nil || err.Error() != "PROG_MISMATCH 2 to 2" {
			t.Errorf("rpcbind version 4: %v", err)
		}
		if _, err := ask(conn, 2, 5, &wire.Void{}); err == nil || err.Error() != "PROC_UNAVAIL" { // CALLIT amplifies
			t.Errorf("CALLIT: %v", err)
		}
		if _, err := ask(conn, 2, wire.PmapProcGetport, raw{1, 2, 3, 4}); err == nil || err.Error() != "GARBAGE_ARGS" {
			t.Errorf("GETPORT of nothing: %v", err)
		}
	}
	// It does not let others register; the system's would, and say yes or no.
	if _, err := Register(ctx, l.Addr().String(), 2049); err == nil || !strings.Contains(err.Error(), "refuses") {
		t.Errorf("Register: %v", err)
	}
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if _, err := Register(context.Background(), l.Addr().String(), 2049); err == nil {
		t.Error("registered with nobody")
	}
}

// friendly is a portmapper that takes orders.
type friendly struct{ set, unset []wire.Mapping }

func (*friendly) Class([]byte) int { return 0 }

func (f *friendly) Call(_ context.Context, _ *rpc.Conn, rec, b []byte) ([]byte, error) {
	var k wire.Call
	a, _ := wire.ParseCall(rec, &k)
	x := wire.Reader(a)
	var m wire.Mapping
	m.Code(&x)
	if k.Proc == wire.PmapProcSet {
		f.set = append(f.set, m)
	} else {
		f.unset = append(f.unset, m)
	}
	return wire.AppendUint32(wire.AppendAccepted(b, k.XID, wire.Success), 1), nil
}

// TestRegister: the system's portmapper learns of each program, and forgets it.
func TestRegister(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &friendly{}
	done := make(chan error)
	go func() { done <- rpc.New(f, rpc.Options{}).Serve(ctx, l) }()
	registering, registered := context.WithCancel(ctx)
	unregister, err := Register(registering, l.Addr().String(), 2049)
	if err != nil {
		t.Fatal(err)
	}
	registered()
	if err := unregister(); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	want := mappingsOf(2049)
	if !slices.Equal(f.set, want) || !slices.Equal(f.unset, want) {
		t.Errorf("set %+v, unset %+v, want %+v", f.set, f.unset, want)
	}
}

// TestLinesComeAndGo: a fork can be mounted as soon as it is there, beside the line that
// it comes from; when it goes, its handles are stale and those of main are not, and a
// handle that nobody has made is bad.
func TestLinesComeAndGo(t *testing.T) {
	d := newDisk(t, "")
	r := serveDisks(t, Options{Access: Access{TrustLoopback: true}}, map[string]*disk{"/": d})
	c := r.dial()
	main := c.lookup(c.mount("/"), "hello")
	if err := d.tree.Fork("other", ""); err != nil {
		t.Fatal(err)
	}
	tree, err := billyfs.Open(d.fs, d.store, billyfs.Options{Line: "other"})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	e := d.export("/@other")
	e.FS = tree
	r.s.Add(e)
	fork := c.lookup(c.mount("/@other"), "hello")
	if bytes.Equal(fork, main) {
		t.Fatal("a file has the same handle in two lines")
	}
	if a, b := c.getattr(fork), c.getattr(main); a.FSID == b.FSID || a.FileID != b.FileID {
		t.Errorf("file systems %x and %x, files %x and %x", a.FSID, b.FSID, a.FileID, b.FileID)
	}
	if !bytes.Equal(c.lookup(c.mount("/@other/dir"), "one"), c.lookup(c.mount("/@other"), "dir/one")) {
		t.Error("a directory of a fork that is mounted has another handle")
	}
	status := func(fh []byte) wire.Status {
		var g wire.GetattrRes
		c.nfs(wire.ProcGetattr, &wire.ObjectArgs{Object: fh}, &g)
		return g.Status
	}
	// What was written before an export went and came again is synced by a COMMIT after it.
	for try := 0; ; try++ {
		c.write(fork, 0, "written")
		lsn := d.store.LastLSN()
		r.s.Remove("/@other")
		r.s.Add(e)
		unsynced := d.store.SyncedLSN() < lsn
		var res wire.CommitRes
		c.nfs(wire.ProcCommit, &wire.RangeArgs{File: fork}, &res)
		c.want("COMMIT", res.Status, wire.OK)
		if d.store.SyncedLSN() < lsn {
			t.Fatal("COMMIT has not synced what an earlier export of the tree was given")
		}
		if unsynced || try == 20 { // else the store was faster, and this says nothing
			break
		}
	}
	r.s.Remove("/@other")
	forged := bytes.Clone(fork)
	forged[len(forged)-1] ^= 1
	for what, s := range map[string][2]wire.Status{
		"a handle of main":              {status(main), wire.OK},
		"a handle of the fork":          {status(fork), wire.ErrStale},
		"a handle that nobody has made": {status(forged), wire.ErrBadHandle},
	} {
		if s[0] != s[1] {
			t.Errorf("%s: %v, want %v", what, s[0], s[1])
		}
	}
	var m wire.MntRes
	c.do(wire.ProgMount, wire.MountProcMnt, &wire.MntArgs{Path: []byte("/@other")}, &m)
	if m.Status != wire.MntErrNoEnt {
		t.Errorf("MNT of a fork that is gone: %v", m.Status)
	}
}

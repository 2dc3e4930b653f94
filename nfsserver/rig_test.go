package nfsserver

import (
	"context"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"deltafs/billyfs"
	"deltafs/billyfs/rootfs"
	"deltafs/deltalog"
	"deltafs/nfsserver/rpc"
	"deltafs/nfsserver/wire"
	"deltafs/nfsserver/wire/oracle"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// disk is a base with a store of its own.
type disk struct {
	base, dir string
	store     *deltalog.Store
	fs        *rootfs.FS
	tree      *billyfs.Tree
	as        func(FS) FS // as what the tree is served; nil: as it is
}

// newDisk makes a base of a few files, or one over the base of another disk.
func newDisk(t testing.TB, base string) *disk {
	t.Helper()
	d := &disk{base: base, dir: filepath.Join(t.TempDir(), "delta")}
	if base == "" {
		d.base = t.TempDir()
		for name, content := range map[string]string{
			"hello": "hello, world\n", "dir/one": "1", "dir/sub/two": "22", "empty": "",
		} {
			p := filepath.Join(d.base, name)
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	store, err := deltalog.Create(d.dir, deltalog.Options{Limit: 8 << 30})
	if err != nil {
		t.Fatal(err)
	}
	d.open(t, store)
	t.Cleanup(func() { d.close(t) }) // a store that is open makes files
	return d
}

func (d *disk) open(t testing.TB, store *deltalog.Store) {
	t.Helper()
	var err error
	d.store = store
	if d.fs, err = rootfs.Open(d.base); err != nil {
		t.Fatal(err)
	}
	if d.tree, err = billyfs.Open(d.fs, d.store, billyfs.Options{}); err != nil {
		t.Fatal(err)
	}
}

// close closes what open has opened, once.
func (d *disk) close(t testing.TB) {
	t.Helper()
	if d.store == nil {
		return
	}
	if err := d.store.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	d.fs.Close()
	d.store = nil
}

func (d *disk) export(name string) Export {
	e := Export{Name: name, FS: d.tree, StoreID: d.store.ID(), MACKey: d.store.Key("handle")}
	if d.as != nil {
		e.FS = d.as(e.FS)
	}
	return e
}

// rig is a server on loopback.
type rig struct {
	testing.TB
	disks []*disk
	opts  Options
	names []string // of the exports
	s     *Server
	addr  string
	stop  func()
}

// compared counts the exchanges of all tests that another implementation has read.
var compared atomic.Int64

// compare has another implementation read each call and reply.
func (r *rig) compare(call, reply []byte) {
	known, err := oracle.Exchange(call, reply)
	if err != nil {
		r.Errorf("%s\nthe other implementation: %v", wire.Line(call, reply), err)
	}
	if known {
		compared.Add(1)
	}
}

// newRig serves one disk as root says: callers are believed, unless o says
// otherwise.
func newRig(t testing.TB) *rig {
	t.Helper()
	return serveDisks(t, Options{Access: Access{TrustLoopback: true}}, map[string]*disk{"/": newDisk(t, "")})
}

func serveDisks(t testing.TB, o Options, disks map[string]*disk) *rig {
	t.Helper()
	r := &rig{TB: t, opts: o, stop: func() {}}
	for name := range disks {
		r.names = append(r.names, name)
	}
	sort.Strings(r.names)
	for _, name := range r.names {
		r.disks = append(r.disks, disks[name])
	}
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *rig) start() {
	r.Helper()
	o := r.opts
	o.Exports = nil
	for i, d := range r.disks {
		o.Exports = append(o.Exports, d.export(r.names[i]))
	}
	var err error
	if r.s, err = New(o); err != nil {
		r.Fatal(err)
	}
	r.s.tap = r.compare
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.Fatal(err)
	}
	r.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.s.Serve(ctx, l) }()
	r.stop = func() {
		r.stop = func() {}
		cancel()
		select {
		case err := <-served:
			if err != nil {
				r.Errorf("Serve: %v", err)
			}
		case <-time.After(patience):
			r.Error("the server does not end")
		}
	}
}

// restart ends the server, and starts another over the same stores.
func (r *rig) restart() {
	r.Helper()
	r.stop()
	for _, d := range r.disks {
		d.close(r)
		store, err := deltalog.Open(d.dir, deltalog.Options{})
		if err != nil {
			r.Fatal(err)
		}
		d.open(r, store)
	}
	r.start()
}

// testClient speaks NFSv3 by the codec of package wire, which is tested against
// another one.
type testClient struct {
	testing.TB
	conn net.Conn
	xid  uint32
	cred wire.Cred
}

// dial returns a client that says that it is root.
func (r *rig) dial() *testClient {
	r.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { conn.Close() })
	// Clients begin anywhere, so that one's calls are not taken for another's.
	return (&testClient{TB: r, conn: conn, xid: clients.Add(1) << 16}).as(0, 0)
}

var clients atomic.Uint32

// as makes the calls that follow those of a user.
func (c *testClient) as(uid, gid uint32, groups ...uint32) *testClient {
	c.cred = wire.Cred{Flavor: wire.AuthSys, Machine: []byte("test"), UID: uid, GID: gid, NGIDs: len(groups)}
	copy(c.cred.GIDs[:], groups)
	return c
}

type args interface{ Append([]byte) []byte }
type results interface{ Code(*wire.XDR) }

// record is the call as it goes over the wire, with the next xid.
func (c *testClient) record(prog, vers, proc uint32, a args) []byte {
	c.xid++
	return a.Append(wire.AppendCall(nil, &wire.Call{XID: c.xid, Prog: prog, Vers: vers, Proc: proc, Cred: c.cred}))
}

func (c *testClient) send(rec []byte) {
	c.Helper()
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	if err := rpc.WriteRecord(c.conn, rec); err != nil {
		c.Fatal(err)
	}
}

// receive returns the results of the call xid.
func (c *testClient) receive(xid uint32) ([]byte, error) {
	c.Helper()
	rec, err := rpc.ReadRecord(c.conn, 2<<20)
	if err != nil {
		c.Fatal(err)
	}
	return wire.ParseReply(rec, xid)
}

// framed is a record as it goes over the wire.
func framed(rec []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, 1<<31|uint32(len(rec))), rec...)
}

// gather sends framed records at once, and calls fn with the results of each, in any order,
// and with which of xids it is.
func (c *testClient) gather(recs []byte, xids []uint32, fn func(b []byte, i int)) {
	c.Helper()
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	if _, err := c.conn.Write(recs); err != nil {
		c.Fatal(err)
	}
	for range xids {
		rec, err := rpc.ReadRecord(c.conn, 2<<20)
		if err != nil {
			c.Fatal(err)
		}
		i := slices.Index(xids, binary.BigEndian.Uint32(rec))
		if i < 0 {
			c.Fatalf("a reply to nobody: %x", rec)
		}
		b, err := wire.ParseReply(rec, xids[i])
		if err != nil {
			c.Fatal(err)
		}
		fn(b, i)
	}
}

// raw makes a call and returns the bytes of its results.
func (c *testClient) raw(prog, vers, proc uint32, a args) ([]byte, error) {
	c.Helper()
	c.send(c.record(prog, vers, proc, a))
	return c.receive(c.xid)
}

func (c *testClient) do(prog, proc uint32, a args, res results) {
	c.Helper()
	b, err := c.raw(prog, 3, proc, a)
	if err != nil {
		c.Fatalf("%s: %v", wire.ProcName(prog, proc), err)
	}
	decode(c, b, res)
}

func decode(t testing.TB, b []byte, res results) {
	t.Helper()
	x := wire.Reader(b)
	res.Code(&x)
	if !x.OK() {
		t.Fatalf("results %x are not %T", b, res)
	}
}

func (c *testClient) nfs(proc uint32, a args, res results) {
	c.Helper()
	c.do(wire.ProgNFS, proc, a, res)
}

// want fails the test unless got is the status that is wanted.
func (c *testClient) want(what string, got, want wire.Status) {
	c.Helper()
	if got != want {
		c.Fatalf("%s: %v, want %v", what, got, want)
	}
}

// mount returns the handle of a path.
func (c *testClient) mount(path string) []byte {
	c.Helper()
	var r wire.MntRes
	c.do(wire.ProgMount, wire.MountProcMnt, &wire.MntArgs{Path: []byte(path)}, &r)
	if r.Status != wire.MntOK {
		c.Fatalf("mount %s: %v", path, r.Status)
	}
	return r.Handle
}

func at(dir []byte, name string) wire.DirOp { return wire.DirOp{Dir: dir, Name: []byte(name)} }

func (c *testClient) tryLookup(dir []byte, name string) wire.LookupRes {
	c.Helper()
	var r wire.LookupRes
	c.nfs(wire.ProcLookup, &wire.LookupArgs{What: at(dir, name)}, &r)
	return r
}

// lookup returns the handle at a path below dir.
func (c *testClient) lookup(dir []byte, path string) []byte {
	c.Helper()
	for name := range strings.SplitSeq(path, "/") {
		r := c.tryLookup(dir, name)
		c.want("LOOKUP "+path, r.Status, wire.OK)
		dir = r.Object
	}
	return dir
}

func (c *testClient) getattr(fh []byte) wire.Fattr {
	c.Helper()
	var r wire.GetattrRes
	c.nfs(wire.ProcGetattr, &wire.ObjectArgs{Object: fh}, &r)
	c.want("GETATTR", r.Status, wire.OK)
	return r.Attr
}

func (c *testClient) setattr(fh []byte, s wire.Sattr) wire.WccRes {
	c.Helper()
	var r wire.WccRes
	c.nfs(wire.ProcSetattr, &wire.SetattrArgs{Object: fh, Attr: s}, &r)
	return r
}

func mode(m uint32) wire.Sattr { return wire.Sattr{SetMode: true, Mode: m} }

func (c *testClient) tryCreate(dir []byte, name string, how wire.CreateHow, s wire.Sattr) wire.MakeRes {
	c.Helper()
	var r wire.MakeRes
	c.nfs(wire.ProcCreate, &wire.CreateArgs{Where: at(dir, name), How: how, Attr: s}, &r)
	return r
}

func (c *testClient) create(dir []byte, name string) []byte {
	c.Helper()
	r := c.tryCreate(dir, name, wire.Guarded, mode(0o644))
	c.want("CREATE "+name, r.Status, wire.OK)
	return r.Object.Handle
}

func (c *testClient) mkdir(dir []byte, name string, m uint32) []byte {
	c.Helper()
	var r wire.MakeRes
	c.nfs(wire.ProcMkdir, &wire.MkdirArgs{Where: at(dir, name), Attr: mode(m)}, &r)
	c.want("MKDIR "+name, r.Status, wire.OK)
	return r.Object.Handle
}

func (c *testClient) tryWrite(fh []byte, off uint64, data string, how wire.Stable) wire.WriteRes {
	c.Helper()
	var r wire.WriteRes
	c.nfs(wire.ProcWrite, &wire.WriteArgs{File: fh, Offset: off, Count: uint32(len(data)), Stable: how, Data: []byte(data)}, &r)
	return r
}

func (c *testClient) write(fh []byte, off uint64, data string) {
	c.Helper()
	r := c.tryWrite(fh, off, data, wire.Unstable)
	c.want("WRITE", r.Status, wire.OK)
	if r.Count != uint32(len(data)) {
		c.Fatalf("WRITE of %d bytes: %d", len(data), r.Count)
	}
}

// read returns all of a file, piece by piece.
func (c *testClient) read(fh []byte) string {
	c.Helper()
	var all []byte
	for {
		var r wire.ReadRes
		c.nfs(wire.ProcRead, &wire.RangeArgs{File: fh, Offset: uint64(len(all)), Count: 4096}, &r)
		c.want("READ", r.Status, wire.OK)
		if int(r.Count) != len(r.Data) {
			c.Fatalf("READ: count %d, %d bytes", r.Count, len(r.Data))
		}
		all = append(all, r.Data...)
		if r.EOF {
			return string(all)
		}
		if r.Count == 0 {
			c.Fatal("READ: nothing, and not the end")
		}
	}
}

func (c *testClient) remove(dir []byte, name string) wire.WccRes {
	c.Helper()
	var r wire.WccRes
	c.nfs(wire.ProcRemove, &wire.RemoveArgs{Object: at(dir, name)}, &r)
	return r
}

func (c *testClient) rmdir(dir []byte, name string) wire.WccRes {
	c.Helper()
	var r wire.WccRes
	c.nfs(wire.ProcRmdir, &wire.RemoveArgs{Object: at(dir, name)}, &r)
	return r
}

func (c *testClient) rename(from []byte, a string, to []byte, b string) wire.RenameRes {
	c.Helper()
	var r wire.RenameRes
	c.nfs(wire.ProcRename, &wire.RenameArgs{From: at(from, a), To: at(to, b)}, &r)
	return r
}

func (c *testClient) link(fh, dir []byte, name string) wire.LinkRes {
	c.Helper()
	var r wire.LinkRes
	c.nfs(wire.ProcLink, &wire.LinkArgs{File: fh, Link: at(dir, name)}, &r)
	return r
}

// list returns the names in a directory, from pages of count bytes.
func (c *testClient) list(dir []byte, count uint32) []string {
	c.Helper()
	var all []string
	for a := (wire.ReaddirArgs{Dir: dir, Count: count}); ; {
		var r wire.ReaddirRes
		c.nfs(wire.ProcReaddir, &a, &r)
		c.want("READDIR", r.Status, wire.OK)
		for _, e := range r.Entries {
			all, a.Cookie = append(all, string(e.Name)), e.Cookie
		}
		a.Verifier = r.Verifier
		if r.EOF {
			return all
		}
	}
}

var rootCaller = billyfs.Caller{}

func modeOf(m uint32) billyfs.SetAttr { return billyfs.SetAttr{Mode: &m} }

package nfsserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deltafs/billyfs"
	"deltafs/billyfs/rootfs"
	"deltafs/deltalog"
	host "deltafs/deltalog/disk"
	"deltafs/nfsserver/rpc"
	"deltafs/nfsserver/wire"
)

// What calls cost, in figures that are the same on every machine: allocations, system
// calls of the connection, syncs of the disk. They are bounds, a bit above what was
// measured; a call that needs more has become slower everywhere.

// TestAllocations bounds the garbage of calls that change something.
func TestAllocations(t *testing.T) {
	if raced {
		t.Skip("pools leave garbage with the race detector")
	}
	dsk := newDisk(t, "")
	s, err := New(Options{Exports: []Export{dsk.export("/")}})
	if err != nil {
		t.Fatal(err)
	}
	d := &direct{t, s, &client{local: true}, 0}
	root := mustHandle(t, s)
	var made wire.MakeRes
	d.nfs(wire.ProcCreate, &wire.CreateArgs{Where: at(root, "new")}, &made)
	d.want("CREATE", made.Status)
	file := bytes.Clone(made.Object.Handle)
	call := func(i int, proc uint32, a args) []byte {
		return a.Append(wire.AppendCall(nil, &wire.Call{XID: uint32(i), Prog: wire.ProgNFS, Vers: 3, Proc: proc, Cred: wire.Cred{Flavor: wire.AuthSys}}))
	}
	reply := make([]byte, 0, 64<<10)
	data := make([]byte, 4096)
	names := 0
	for _, k := range []struct {
		what string
		most float64
		rec  func(i int) []byte
	}{
		{"WRITE 4 KiB in sequence", 32, func(i int) []byte {
			return call(i, wire.ProcWrite, &wire.WriteArgs{File: file, Offset: uint64(i) * 4096, Count: 4096, Data: data})
		}},
		{"WRITE 4 KiB anywhere", 32, func(i int) []byte {
			return call(i, wire.ProcWrite, &wire.WriteArgs{File: file, Offset: uint64(i*7919%512) * 4096, Count: 4096, Data: data})
		}},
		{"READ 4 KiB of the log", 15, func(i int) []byte {
			return call(i, wire.ProcRead, &wire.RangeArgs{File: file, Offset: uint64(i*7919%512) * 4096, Count: 4096})
		}},
		{"READDIRPLUS again", 0, func(i int) []byte {
			return call(i, wire.ProcReaddirplus, &wire.ReaddirplusArgs{Dir: root, DirCount: 8192, MaxCount: 32768})
		}},
		{"SETATTR", 20, func(i int) []byte {
			return call(i, wire.ProcSetattr, &wire.SetattrArgs{Object: file, Attr: wire.Sattr{SetMode: true, Mode: uint32(0o600 + i%2)}})
		}},
		{"CREATE", 80, func(i int) []byte {
			names++
			return call(1<<20+names, wire.ProcCreate, &wire.CreateArgs{Where: at(root, string(binary.BigEndian.AppendUint32([]byte("f"), uint32(names)|0x80808080)))})
		}},
	} {
		recs := make([][]byte, 612)
		for i := range recs {
			recs[i] = k.rec(i)
		}
		i := 0
		n := testing.AllocsPerRun(len(recs)-2, func() {
			i++
			if b := s.answer(nil, d.from, recs[i-1], reply); len(b) < 28 || b[27] != 0 {
				t.Fatalf("%s: %x", k.what, b)
			}
		})
		if n > k.most {
			t.Errorf("%s: %v allocations, at most %v", k.what, n, k.most)
		} else {
			t.Logf("%s: %v allocations", k.what, n)
		}
	}
}

// countedConn counts what would be system calls.
type countedConn struct {
	net.Conn
	reads *atomic.Int64
}

func (c countedConn) Read(p []byte) (int, error) {
	c.reads.Add(1)
	return c.Conn.Read(p)
}

// countedListener counts the reads of all its connections.
type countedListener struct {
	net.Listener
	reads atomic.Int64
}

func (l *countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countedConn{c, &l.reads}, nil
}

// TestSystemCalls bounds how often the connection is read and written for calls that
// come together, and for large ones.
func TestSystemCalls(t *testing.T) {
	dsk := newDisk(t, "")
	s, err := New(Options{Exports: []Export{dsk.export("/")}, Access: Access{TrustLoopback: true}})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &countedListener{Listener: inner}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	conn, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	root := mustHandle(t, s)
	d := &direct{t, s, &client{local: true}, 0}
	var made wire.MakeRes
	d.nfs(wire.ProcCreate, &wire.CreateArgs{Where: at(root, "new")}, &made)
	d.want("CREATE", made.Status)
	record := func(proc uint32, a args) []byte {
		rec := a.Append(wire.AppendCall(make([]byte, 4), &wire.Call{XID: 1, Prog: wire.ProgNFS, Vers: 3, Proc: proc, Cred: wire.Cred{Flavor: wire.AuthSys}}))
		binary.BigEndian.PutUint32(rec, 1<<31|uint32(len(rec)-4))
		return rec
	}
	getattr := record(wire.ProcGetattr, &wire.ObjectArgs{Object: root})
	write := record(wire.ProcWrite, &wire.WriteArgs{File: made.Object.Handle, Count: 1 << 20, Data: make([]byte, 1<<20)})
	read := record(wire.ProcRead, &wire.RangeArgs{File: made.Object.Handle, Count: 1 << 20})
	for _, k := range []struct {
		what          string
		calls         []byte
		n             int
		reads, writes int64
	}{
		// One read that takes all, and one that finds nothing more: by the time of it the
		// replies are out.
		{"one GETATTR", getattr, 1, 2, 1},
		// 16 KiB are read ahead.
		{"64 GETATTRs at once", bytes.Repeat(getattr, 64), 64, 4, 3},
		{"WRITE of 1 MiB", write, 1, 80, 1}, // as much at a time as the socket has
		{"READ of 1 MiB", read, 1, 2, 1},
	} {
		// Once is enough: as long as the machine is busy, calls are thought to be slow.
		r, w := int64(math.MaxInt64), int64(math.MaxInt64)
		must(conn.SetDeadline(time.Now().Add(2 * patience)))
		for began := time.Now(); (r > k.reads || w > k.writes) && time.Since(began) < patience; {
			l.reads.Store(0)
			before := s.rpc.Stats().Writes
			if _, err := conn.Write(k.calls); err != nil {
				t.Fatal(err)
			}
			for range k.n {
				if _, err := rpc.ReadRecord(conn, 2<<20); err != nil {
					t.Fatal(err)
				}
			}
			r, w = l.reads.Load(), s.rpc.Stats().Writes-before
		}
		if r > k.reads || w > k.writes {
			t.Errorf("%s: %d reads and %d writes, at most %d and %d", k.what, r, w, k.reads, k.writes)
		} else {
			t.Logf("%s: %d reads, %d writes", k.what, r, w)
		}
	}
}

// slowDisk is a disk on which a sync takes its time, and is counted, and fails where it is to.
type slowDisk struct {
	host.FS
	syncs atomic.Int64
	fails atomic.Bool
}

type slowFile struct {
	host.File
	of *slowDisk
}

func (d *slowDisk) Open(name string, write bool) (host.File, error) {
	f, err := d.FS.Open(name, write)
	return slowFile{f, d}, err
}

func (f slowFile) Sync() error {
	f.of.syncs.Add(1)
	time.Sleep(5 * time.Millisecond)
	if f.of.fails.Load() {
		return errors.New("the disk is gone")
	}
	return f.File.Sync()
}

// serveSlow serves a store on a slow disk. Closing it is to fail with lost.
func serveSlow(t *testing.T, lost error) (*rig, *slowDisk, *deltalog.Store) {
	t.Helper()
	dsk := newDisk(t, "")
	dir := filepath.Join(t.TempDir(), "delta")
	slow := &slowDisk{FS: host.OS(dir)}
	store, err := deltalog.Create(dir, deltalog.Options{Limit: 1 << 30, FS: slow})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); !errors.Is(err, lost) {
			t.Error(err)
		}
	})
	base, err := rootfs.Open(dsk.base)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { base.Close() })
	tree, err := billyfs.Open(base, store, billyfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := serveDisks(t, Options{Access: Access{TrustLoopback: true}}, map[string]*disk{"/": {base: dsk.base, dir: dir, store: store, fs: base, tree: tree}})
	r.s.tap = nil
	return r, slow, store
}

// TestSyncsAreShared: durable writes that are in flight at the same time, over several
// connections, wait for the same syncs.
func TestSyncsAreShared(t *testing.T) {
	const clients, each = 32, 20
	r, slow, _ := serveSlow(t, nil)
	var files [clients][]byte
	c := r.dial()
	root := c.mount("/")
	for i := range files {
		files[i] = c.create(root, string(rune('A'+i)))
	}
	before := slow.syncs.Load()
	var wg sync.WaitGroup
	for i := range clients {
		c := r.dial()
		wg.Go(func() {
			for k := range each {
				var res wire.WriteRes
				c.nfs(wire.ProcWrite, &wire.WriteArgs{File: files[i], Offset: uint64(k) * 512, Count: 512, Stable: wire.FileSync, Data: make([]byte, 512)}, &res)
				if res.Status != wire.OK || res.Committed != wire.FileSync {
					t.Errorf("WRITE: %v, %v", res.Status, res.Committed)
				}
			}
		})
	}
	wg.Wait()
	n := slow.syncs.Load() - before
	t.Logf("%d syncs for %d durable writes", n, clients*each)
	if n > clients*each/8 {
		t.Errorf("%d syncs for %d durable writes, %d at a time", n, clients*each, clients)
	}
}

// TestSyncsOfAConnection: so do those that are in flight on one connection. They are durable
// when they are answered, need no goroutines of their own, and replies leave together.
func TestSyncsOfAConnection(t *testing.T) {
	const rounds, inFlight, most = 20, 16, 20 * 16 / 4
	r, slow, store := serveSlow(t, nil)
	c := r.dial()
	f := c.create(c.mount("/"), "file")
	play := func() (syncs, writes, handed int64) {
		before, was := slow.syncs.Load(), r.s.Stats()
		for k := range rounds {
			var xids []uint32
			var recs []byte
			for i := range inFlight {
				var rec []byte
				if i%4 == 3 {
					rec = c.record(wire.ProgNFS, 3, wire.ProcCommit, &wire.RangeArgs{File: f})
				} else {
					how := []wire.Stable{wire.DataSync, wire.FileSync}[i%2]
					rec = c.record(wire.ProgNFS, 3, wire.ProcWrite, &wire.WriteArgs{File: f, Offset: uint64(k*inFlight+i) * 512, Count: 512, Stable: how, Data: bytes.Repeat([]byte{byte(i)}, 512)})
				}
				xids, recs = append(xids, c.xid), append(recs, framed(rec)...)
			}
			c.gather(recs, xids, func(b []byte, i int) {
				if i%4 == 3 {
					var res wire.CommitRes
					decode(t, b, &res)
					if res.Status != wire.OK || !res.Wcc.After.OK || res.Verifier != r.s.writeVerifier() {
						t.Fatalf("COMMIT: %+v", res)
					}
					return
				}
				var res wire.WriteRes
				decode(t, b, &res)
				if res.Status != wire.OK || res.Count != 512 || res.Committed != wire.FileSync || !res.Wcc.After.OK {
					t.Fatalf("WRITE: %+v", res)
				}
			})
			if durable, last := store.SyncedLSN(), store.LastLSN(); durable < last {
				t.Fatalf("all is answered, and %d of %d durable", durable, last)
			}
		}
		now := r.s.Stats()
		return slow.syncs.Load() - before, now.Writes - was.Writes, now.Handed - was.Handed
	}
	// Once is enough: on a busy machine any call may take long.
	for began := time.Now(); ; {
		syncs, writes, handed := play()
		if syncs <= most && writes <= most && handed <= most {
			t.Logf("%d calls: %d syncs, %d writes of replies, %d times another goroutine", rounds*inFlight, syncs, writes, handed)
			return
		}
		if time.Since(began) > patience {
			t.Fatalf("%d calls, %d at a time: %d syncs, %d writes of replies, %d times another goroutine; at most %d of each", rounds*inFlight, inFlight, syncs, writes, handed, most)
		}
	}
}

// TestSyncsOfAConnectionFail: where the disk fails, each of them is told so, and the verifier
// is another one.
func TestSyncsOfAConnectionFail(t *testing.T) {
	const inFlight = 9
	r, slow, _ := serveSlow(t, deltalog.ErrPoisoned)
	c := r.dial()
	f := c.create(c.mount("/"), "file")
	verifier := r.s.writeVerifier()
	slow.fails.Store(true)
	var xids []uint32
	var recs []byte
	for i := range inFlight {
		var rec []byte
		if i == inFlight-1 {
			rec = c.record(wire.ProgNFS, 3, wire.ProcCommit, &wire.RangeArgs{File: f})
		} else {
			rec = c.record(wire.ProgNFS, 3, wire.ProcWrite, &wire.WriteArgs{File: f, Offset: uint64(i) * 512, Count: 512, Stable: wire.FileSync, Data: make([]byte, 512)})
		}
		xids, recs = append(xids, c.xid), append(recs, framed(rec)...)
	}
	c.gather(recs, xids, func(b []byte, i int) {
		var status wire.Status
		decode(t, b, &statusOnly{&status})
		if status != wire.ErrIO {
			t.Errorf("call %d: %v", i, status)
		}
	})
	if r.s.writeVerifier() == verifier {
		t.Error("after a sync that failed the verifier is the same")
	}
}

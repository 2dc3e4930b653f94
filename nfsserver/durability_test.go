package nfsserver

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"deltafs/billyfs"
	"deltafs/nfsserver/wire"
)

// watched notes which syncs there are, and fails them when it is told to.
type watched struct {
	FS
	mu     sync.Mutex
	synced billyfs.LSN
	fail   error
}

func (w *watched) Sync(lsn billyfs.LSN) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return w.fail
	}
	w.synced = max(w.synced, lsn)
	return w.FS.Sync(lsn)
}

func (w *watched) at() billyfs.LSN {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.synced
}

// direct calls a server without a connection, as any client.
type direct struct {
	testing.TB
	s    *Server
	from *client
	xid  uint32
}

func (d *direct) nfs(proc uint32, a args, res results) {
	d.Helper()
	d.xid++
	rec := a.Append(wire.AppendCall(nil, &wire.Call{XID: d.xid, Prog: wire.ProgNFS, Vers: 3, Proc: proc, Cred: wire.Cred{Flavor: wire.AuthSys}}))
	b, err := wire.ParseReply(d.s.answer(nil, d.from, rec, nil), d.xid)
	if err != nil {
		d.Fatal(err)
	}
	decode(d, b, res)
}

func serveWatched(t testing.TB, o Options) (*Server, *watched, *disk) {
	t.Helper()
	d := newDisk(t, "")
	w := &watched{FS: d.tree}
	e := d.export("/")
	e.FS = w
	o.Exports = []Export{e}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.close(t) })
	return s, w, d
}

// TestDurability: what each call has on disk before it is answered, in each mode,
// for clients here and elsewhere: the table in docs/nfs.md.
func TestDurability(t *testing.T) {
	here := &client{addr: netip.MustParseAddr("127.0.0.1"), local: true}
	there := &client{addr: netip.MustParseAddr("192.0.2.1")}
	const never, ever, data, lazy, atonce = 0, 1, 2, 3, 4
	// Whether a kind of call is synced, by mode and client.
	table := []struct {
		mode SyncMode
		from *client
		sync map[int]bool
	}{
		{SyncAuto, here, map[int]bool{data: true, atonce: true}},
		{SyncAuto, there, map[int]bool{data: true, atonce: true, lazy: true}},
		{SyncStrict, here, map[int]bool{data: true, atonce: true, lazy: true}},
		{SyncStrict, there, map[int]bool{data: true, atonce: true, lazy: true}},
		{SyncLocal, here, map[int]bool{data: true}},
		{SyncLocal, there, map[int]bool{data: true}},
	}
	for _, row := range table {
		s, w, _ := serveWatched(t, Options{Sync: row.mode})
		d := &direct{t, s, row.from, 0}
		root := mustHandle(t, s)
		var made wire.MakeRes
		d.nfs(wire.ProcCreate, &wire.CreateArgs{Where: at(root, "file"), Attr: mode(0o644)}, &made)
		f := made.Object.Handle
		for _, k := range []struct {
			what string
			kind int
			proc uint32
			a    args
		}{
			{"WRITE UNSTABLE", never, wire.ProcWrite, &wire.WriteArgs{File: f, Count: 1, Data: []byte("x")}},
			{"WRITE DATA_SYNC", data, wire.ProcWrite, &wire.WriteArgs{File: f, Count: 1, Data: []byte("x"), Stable: wire.DataSync}},
			{"WRITE FILE_SYNC", data, wire.ProcWrite, &wire.WriteArgs{File: f, Count: 1, Data: []byte("x"), Stable: wire.FileSync}},
			{"WRITE UNSTABLE again", never, wire.ProcWrite, &wire.WriteArgs{File: f, Count: 1, Data: []byte("x")}},
			{"COMMIT", data, wire.ProcCommit, &wire.RangeArgs{File: f}},
			{"CREATE UNCHECKED", lazy, wire.ProcCreate, &wire.CreateArgs{Where: at(root, "u")}},
			{"CREATE GUARDED", lazy, wire.ProcCreate, &wire.CreateArgs{Where: at(root, "g"), How: wire.Guarded}},
			{"CREATE EXCLUSIVE", atonce, wire.ProcCreate, &wire.CreateArgs{Where: at(root, "e"), How: wire.Exclusive}},
			{"SETATTR mode", lazy, wire.ProcSetattr, &wire.SetattrArgs{Object: f, Attr: mode(0o600)}},
			{"SETATTR times", lazy, wire.ProcSetattr, &wire.SetattrArgs{Object: f, Attr: wire.Sattr{MtimeHow: wire.SetToServerTime}}},
			{"SETATTR owner", lazy, wire.ProcSetattr, &wire.SetattrArgs{Object: f, Attr: wire.Sattr{SetUID: true, UID: 5}}},
			{"SETATTR size", atonce, wire.ProcSetattr, &wire.SetattrArgs{Object: f, Attr: wire.Sattr{SetSize: true, Size: 9}}},
			{"MKDIR", atonce, wire.ProcMkdir, &wire.MkdirArgs{Where: at(root, "d")}},
			{"SYMLINK", atonce, wire.ProcSymlink, &wire.SymlinkArgs{Where: at(root, "s"), Target: []byte("t")}},
			{"MKNOD", atonce, wire.ProcMknod, &wire.MknodArgs{Where: at(root, "n"), Type: wire.TypeFIFO}},
			{"LINK", atonce, wire.ProcLink, &wire.LinkArgs{File: f, Link: at(root, "l")}},
			{"RENAME", atonce, wire.ProcRename, &wire.RenameArgs{From: at(root, "l"), To: at(root, "m")}},
			{"REMOVE", atonce, wire.ProcRemove, &wire.RemoveArgs{Object: at(root, "m")}},
			{"RMDIR", atonce, wire.ProcRmdir, &wire.RemoveArgs{Object: at(root, "d")}},
		} {
			before, was := w.at(), s.all()[0].last.Load()
			var r wire.WccRes // the status is what counts
			d.nfs(k.proc, k.a, &statusOnly{&r.Status})
			d.want(k.what, r.Status)
			last := billyfs.LSN(s.all()[0].last.Load())
			if k.kind != data && uint64(last) == was {
				t.Errorf("%s has changed nothing", k.what)
			}
			want := row.sync[k.kind] || k.kind == ever
			if got := w.at() >= last; got != want {
				t.Errorf("mode %d, on this machine %v: %s synced %v, want %v (synced %d, was %d, last %d)",
					row.mode, row.from.local, k.what, got, want, w.at(), before, last)
			}
		}
	}
}

func (d *direct) want(what string, got wire.Status) {
	d.Helper()
	if got != wire.OK {
		d.Fatalf("%s: %v", what, got)
	}
}

// statusOnly reads the status of any results.
type statusOnly struct{ s *wire.Status }

func (r *statusOnly) Code(x *wire.XDR) {
	var n wire.Number
	n.Code(x)
	*r.s = wire.Status(n.V)
}

// TestVerifier: WRITE and COMMIT have the same verifier; it is another one after a
// restart, so that clients write again what is not committed, and after a sync that
// failed.
func TestVerifier(t *testing.T) {
	s, w, _ := serveWatched(t, Options{})
	d := &direct{t, s, &client{local: true}, 0}
	root := mustHandle(t, s)
	var made wire.MakeRes
	d.nfs(wire.ProcCreate, &wire.CreateArgs{Where: at(root, "f")}, &made)
	write := func(how wire.Stable) (r wire.WriteRes) {
		d.nfs(wire.ProcWrite, &wire.WriteArgs{File: made.Object.Handle, Count: 1, Data: []byte("x"), Stable: how}, &r)
		return r
	}
	commit := func() (r wire.CommitRes) {
		d.nfs(wire.ProcCommit, &wire.RangeArgs{File: made.Object.Handle}, &r)
		return r
	}
	first := write(wire.Unstable)
	if first.Committed != wire.Unstable || first.Verifier == [8]byte{} {
		t.Errorf("UNSTABLE: %+v", first)
	}
	if r := write(wire.FileSync); r.Committed != wire.FileSync || r.Verifier != first.Verifier {
		t.Errorf("FILE_SYNC: %+v", r)
	}
	if r := write(wire.DataSync); r.Committed == wire.Unstable {
		t.Errorf("DATA_SYNC: %+v", r)
	}
	if r := commit(); r.Verifier != first.Verifier || !r.Wcc.After.OK {
		t.Errorf("COMMIT: %+v", r)
	}
	w.mu.Lock()
	w.fail = &billyfs.Error{Op: "sync", Kind: billyfs.KindIO, Err: errors.New("the disk is gone")}
	w.mu.Unlock()
	if r := commit(); r.Status != wire.ErrIO {
		t.Errorf("COMMIT that cannot sync: %+v", r)
	}
	w.mu.Lock()
	w.fail = nil
	w.mu.Unlock()
	if r := commit(); r.Status != wire.OK || r.Verifier == first.Verifier {
		t.Errorf("after a sync that failed the verifier is the same: %+v", r)
	}
	other, err := New(Options{Exports: []Export{s.all()[0].Export}})
	if err != nil {
		t.Fatal(err)
	}
	if other.writeVerifier() == s.writeVerifier() {
		t.Error("another server has the same verifier")
	}
}

// loner counts who waits for the disk, and who of them knows of nothing else that goes on.
type loner struct {
	FS
	alone, others atomic.Int64
}

func (l *loner) SyncAlone(lsn billyfs.LSN) error {
	l.alone.Add(1)
	return l.FS.SyncAlone(lsn)
}

func (l *loner) Sync(lsn billyfs.LSN) error {
	l.others.Add(1)
	return l.FS.Sync(lsn)
}

// TestSyncAlone: where one client has one call in flight, the log is told so; where another one
// has called meanwhile, it is not. What is answered is durable in any case.
func TestSyncAlone(t *testing.T) {
	d := newDisk(t, "")
	r := serveDisks(t, Options{Access: Access{TrustLoopback: true}}, map[string]*disk{"/": d})
	e := d.export("/")
	l := &loner{FS: d.tree}
	e.FS = l
	r.s.Add(e)
	a, b := r.dial(), r.dial()
	root := a.mount("/")
	n := 0
	make := func(c *testClient) {
		t.Helper()
		n++
		var res wire.MakeRes
		c.nfs(wire.ProcMkdir, &wire.MkdirArgs{Where: at(root, fmt.Sprint("d", n))}, &res)
		c.want("MKDIR", res.Status, wire.OK)
		if synced, last := d.store.SyncedLSN(), d.store.LastLSN(); synced < last {
			t.Fatalf("%d is answered, %d synced", last, synced)
		}
	}
	for range 100 {
		for range 3 { // whoever waited long for the disk is not alone in the next call
			a.getattr(root)
		}
		make(a)
	}
	if l.alone.Load() == 0 {
		t.Errorf("100 directories, one after the other: nobody knew that nothing else went on, %d did not", l.others.Load())
	}
	make(b)
	make(a)
	make(b)
	before := l.alone.Load()
	for range 50 {
		make(a)
		make(b)
	}
	if more := l.alone.Load() - before; more > 0 {
		t.Errorf("two clients in turns: %d times it was taken for one", more)
	}
}

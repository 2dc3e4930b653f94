package nfsserver

import (
	"bytes"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"deltafs/billyfs"
	"deltafs/deltalog"
	"deltafs/nfsserver/wire"
)

// once are calls that must not be carried out twice: each would fail, or do harm,
// the second time. They are to be made in this order.
func onceCalls(root, file []byte) []struct {
	proc uint32
	a    args
} {
	return []struct {
		proc uint32
		a    args
	}{
		{wire.ProcMkdir, &wire.MkdirArgs{Where: at(root, "d"), Attr: mode(0o755)}},
		{wire.ProcCreate, &wire.CreateArgs{Where: at(root, "f"), How: wire.Guarded, Attr: mode(0o600)}},
		{wire.ProcSymlink, &wire.SymlinkArgs{Where: at(root, "s"), Target: []byte("t")}},
		{wire.ProcMknod, &wire.MknodArgs{Where: at(root, "n"), Type: wire.TypeFIFO}},
		{wire.ProcLink, &wire.LinkArgs{File: file, Link: at(root, "l")}},
		{wire.ProcSetattr, &wire.SetattrArgs{Object: file, Attr: wire.Sattr{SetSize: true, Size: 3}}},
		{wire.ProcRename, &wire.RenameArgs{From: at(root, "f"), To: at(root, "g")}},
		{wire.ProcRemove, &wire.RemoveArgs{Object: at(root, "g")}},
		{wire.ProcRmdir, &wire.RemoveArgs{Object: at(root, "d")}},
	}
}

// TestRetransmit: the same call again, over another connection, gets the same
// reply, byte for byte, and nothing happens.
func TestRetransmit(t *testing.T) {
	r := newRig(t)
	c := r.dial()
	root := c.mount("/")
	hello := c.lookup(root, "hello")
	for _, k := range onceCalls(root, hello) {
		name := wire.ProcName(wire.ProgNFS, k.proc)
		rec := c.record(wire.ProgNFS, 3, k.proc, k.a)
		xid := c.xid
		c.send(rec)
		first, err := c.receive(xid)
		if err != nil || wire.Status(first[3]) != wire.OK || first[2] != 0 {
			t.Fatalf("%s: %x, %v", name, first, err)
		}
		before := c.getattr(root)
		other := r.dial()
		other.send(rec)
		again, err := other.receive(xid)
		if err != nil || !bytes.Equal(first, again) {
			t.Errorf("%s again: %x, %v; was %x", name, again, err, first)
		}
		if after := c.getattr(root); after != before {
			t.Errorf("%s again has changed the directory", name)
		}
		// The same bytes by another user are another call.
		c.xid--
		if b, err := c.as(7, 7).raw(wire.ProgNFS, 3, k.proc, k.a); err != nil || bytes.Equal(b, first) {
			t.Errorf("%s by another user: the same reply, error %v", name, err)
		}
		c.as(0, 0)
	}
}

// image returns a disk with what a machine finds of d after the server was killed
// at this moment: all that it has written.
func (d *disk) image(t *testing.T) *disk {
	t.Helper()
	n := &disk{base: d.base, dir: filepath.Join(t.TempDir(), "image")}
	// The store may be making a segment for later, which gets its name when it is
	// whole: then what was listed is not there any more.
	err := os.CopyFS(n.dir, os.DirFS(d.dir))
	for try := 0; errors.Is(err, fs.ErrNotExist) && try < 100; try++ {
		time.Sleep(10 * time.Millisecond)
		if err = os.RemoveAll(n.dir); err == nil {
			err = os.CopyFS(n.dir, os.DirFS(d.dir))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	store, err := deltalog.Open(n.dir, deltalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n.open(t, store)
	t.Cleanup(func() { n.close(t) })
	return n
}

// TestRetransmitAfterCrash: a call that a killed server has carried out, and
// whose reply the client has not seen, succeeds when it is sent to the next one.
func TestRetransmitAfterCrash(t *testing.T) {
	r := newRig(t)
	c := r.dial()
	root := c.mount("/")
	hello := c.lookup(root, "hello")
	for _, k := range onceCalls(root, hello) {
		name := wire.ProcName(wire.ProgNFS, k.proc)
		rec := c.record(wire.ProgNFS, 3, k.proc, k.a)
		xid := c.xid
		c.send(rec)
		first, err := c.receive(xid)
		if err != nil {
			t.Fatal(name, err)
		}
		after := serveDisks(t, r.opts, map[string]*disk{"/": r.disks[0].image(t)}).dial()
		state := after.getattr(root)
		after.send(rec)
		again, err := after.receive(xid)
		if err != nil || again[2] != 0 || wire.Status(again[3]) != wire.OK {
			t.Errorf("%s sent again: %x, %v", name, again, err)
			continue
		}
		if now := after.getattr(root); now != state {
			t.Errorf("%s sent again has changed the directory", name)
		}
		switch k.proc {
		case wire.ProcMkdir, wire.ProcCreate, wire.ProcSymlink, wire.ProcMknod:
			var was, is wire.MakeRes
			decode(t, first, &was)
			decode(t, again, &is)
			if !bytes.Equal(was.Object.Handle, is.Object.Handle) || was.Attr != is.Attr {
				t.Errorf("%s sent again: %+v, was %+v", name, is, was)
			}
		}
		after.send(rec) // and once more, from memory
		if b, err := after.receive(xid); err != nil || !bytes.Equal(b, again) {
			t.Errorf("%s a third time: %x, %v", name, b, err)
		}
		// Another call of the same kind is carried out.
		if b, err := after.raw(wire.ProgNFS, 3, k.proc, k.a); k.proc != wire.ProcSetattr && (err != nil || wire.Status(b[3]) == wire.OK && b[2] == 0) {
			t.Errorf("%s as a new call: %x, %v; it cannot succeed twice", name, b, err)
		}
	}
}

// slow holds up REMOVE.
type slow struct {
	FS
	began, release chan struct{}
}

func (s *slow) Remove(c billyfs.Caller, dir billyfs.Ino, name string) (billyfs.Change, error) {
	s.began <- struct{}{}
	<-s.release
	return s.FS.Remove(c, dir, name)
}

// TestRetransmitInProgress: while a call is carried out the same one is dropped.
func TestRetransmitInProgress(t *testing.T) {
	d := newDisk(t, "")
	fs := &slow{d.tree, make(chan struct{}, 10), make(chan struct{})}
	e := d.export("/")
	e.FS = fs
	s, err := New(Options{Exports: []Export{e}})
	if err != nil {
		t.Fatal(err)
	}
	from := &client{addr: netip.MustParseAddr("127.0.0.1"), local: true}
	root := mustHandle(t, s)
	rec := (&wire.RemoveArgs{Object: at(root, "hello")}).Append(wire.AppendCall(nil,
		&wire.Call{XID: 5, Prog: wire.ProgNFS, Vers: 3, Proc: wire.ProcRemove, Cred: wire.Cred{Flavor: wire.AuthSys}}))
	first := make(chan []byte)
	go func() { first <- s.answer(nil, from, rec, nil) }()
	<-fs.began
	if again := s.answer(nil, from, rec, nil); len(again) != 0 {
		t.Errorf("a reply while the call is carried out: %x", again)
	}
	close(fs.release)
	reply := <-first
	if again := s.answer(nil, from, rec, nil); len(reply) == 0 || !bytes.Equal(again, reply) {
		t.Errorf("afterwards %x, want %x", again, reply)
	}
	if len(fs.began) != 0 {
		t.Error("it was carried out twice")
	}
}

// mustHandle is the handle of the root of the first export.
func mustHandle(t testing.TB, s *Server) []byte {
	t.Helper()
	e := s.all()[0]
	h, err := e.handle(nil, e.FS.Root())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestReplayBounds: the cache forgets what is too old, and does not grow without
// end.
func TestReplayBounds(t *testing.T) {
	var r replays
	now := time.Unix(1000, 0)
	id := func(i int) callID { return callID{netip.MustParseAddr("::1"), uint32(i), 1, 2} }
	reply := make([]byte, 1000)
	for i := range 3 * replayCalls {
		if v, _ := r.begin(id(i), now); v != fresh {
			t.Fatalf("call %d: %v", i, v)
		}
		r.end(id(i), reply)
	}
	if len(r.calls) > replayCalls || r.bytes > replayBytes+len(reply) || cap(r.order) > 8*replayCalls {
		t.Errorf("%d calls, %d bytes, order of %d", len(r.calls), r.bytes, cap(r.order))
	}
	last := id(3*replayCalls - 1)
	if v, got := r.begin(last, now.Add(replayAge-1)); v != answered || len(got) != len(reply) {
		t.Errorf("the last call: %v", v)
	}
	if v, _ := r.begin(id(0), now); v != fresh {
		t.Errorf("the first call: %v", v)
	}
	if v, _ := r.begin(last, now.Add(replayAge)); v != fresh {
		t.Errorf("an old call: %v", v)
	}
	r.end(last, reply)
	for i := range 100 { // all that is left is old
		if v, _ := r.begin(id(i+1<<20), now.Add(3*replayAge)); v != fresh {
			t.Fatal(v)
		}
		r.end(id(i+1<<20), nil)
	}
	if len(r.calls) > 100 || r.bytes != 0 {
		t.Errorf("%d calls, %d bytes", len(r.calls), r.bytes)
	}
}

// TestTags: a tag says what the call was; one that is none, or too old, nothing.
func TestTags(t *testing.T) {
	now := time.Unix(1000, 7)
	for _, addr := range []string{"127.0.0.1", "::1", "2001:db8::5"} {
		id := callID{netip.MustParseAddr(addr), 1, 2, 3}
		tag := id.tag(now)
		got, at, ok := parseTag(tag)
		if !ok || got != id || !at.Equal(now) || len(tag) > 64 {
			t.Errorf("%v: %v %v %v", id, got, at, ok)
		}
		for _, bad := range [][]byte{nil, tag[:len(tag)-1], append([]byte{9}, tag[1:]...)} {
			if _, _, ok := parseTag(bad); ok {
				t.Errorf("%x is taken for a tag", bad)
			}
		}
		var r replays
		r.recall(tag, now.Add(replayAge-1))
		if v, _ := r.begin(id, now.Add(replayAge-1)); v != applied {
			t.Errorf("recalled: %v", v)
		}
		r = replays{}
		r.recall(tag, now.Add(replayAge))
		if v, _ := r.begin(id, now.Add(replayAge)); v != fresh {
			t.Errorf("recalled when it is too old: %v", v)
		}
	}
}

package nfsserver

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"deltafs/billyfs"
	"deltafs/nfsserver/wire"
)

// callsOf returns the arguments of a call of each NFS procedure, on a file and in
// a directory.
func callsOf(file, dir []byte) map[uint32]args {
	where := at(dir, "nothing")
	return map[uint32]args{
		wire.ProcGetattr: &wire.ObjectArgs{Object: file}, wire.ProcSetattr: &wire.SetattrArgs{Object: file},
		wire.ProcLookup: &wire.LookupArgs{What: where}, wire.ProcAccess: &wire.AccessArgs{Object: file, Access: 0x3f},
		wire.ProcReadlink: &wire.ObjectArgs{Object: file}, wire.ProcRead: &wire.RangeArgs{File: file, Count: 10},
		wire.ProcWrite:  &wire.WriteArgs{File: file, Count: 3, Data: []byte("abc")},
		wire.ProcCreate: &wire.CreateArgs{Where: where}, wire.ProcMkdir: &wire.MkdirArgs{Where: where},
		wire.ProcSymlink: &wire.SymlinkArgs{Where: where, Target: []byte("t")},
		wire.ProcMknod:   &wire.MknodArgs{Where: where, Type: wire.TypeFIFO},
		wire.ProcRemove:  &wire.RemoveArgs{Object: where}, wire.ProcRmdir: &wire.RemoveArgs{Object: where},
		wire.ProcRename:  &wire.RenameArgs{From: where, To: at(dir, "other")},
		wire.ProcLink:    &wire.LinkArgs{File: file, Link: where},
		wire.ProcReaddir: &wire.ReaddirArgs{Dir: dir, Count: 4096}, wire.ProcReaddirplus: &wire.ReaddirplusArgs{Dir: dir, DirCount: 4096, MaxCount: 4096},
		wire.ProcFsstat: &wire.ObjectArgs{Object: dir}, wire.ProcFsinfo: &wire.ObjectArgs{Object: dir},
		wire.ProcPathconf: &wire.ObjectArgs{Object: dir}, wire.ProcCommit: &wire.RangeArgs{File: file},
	}
}

// TestVersions: what is not served is refused in the way that makes clients fall
// back.
func TestVersions(t *testing.T) {
	c := newRig(t).dial()
	for _, k := range []struct {
		prog, vers, proc uint32
		want             string
	}{
		{wire.ProgNFS, 2, 1, "PROG_MISMATCH 3 to 3"},
		{wire.ProgNFS, 4, 1, "PROG_MISMATCH 3 to 3"},
		{wire.ProgMount, 4, 1, "PROG_MISMATCH 1 to 3"},
		{wire.ProgMount, 0, 0, "PROG_MISMATCH 1 to 3"},
		{100227, 3, 0, "PROG_UNAVAIL"}, // NFSACL
		{100021, 4, 0, "PROG_UNAVAIL"}, // NLM
		{wire.ProgPortmap, 2, 0, "PROG_UNAVAIL"},
		{wire.ProgNFS, 3, 22, "PROC_UNAVAIL"},
		{wire.ProgNFS, 3, 1 << 31, "PROC_UNAVAIL"},
		{wire.ProgMount, 3, 6, "PROC_UNAVAIL"},
	} {
		_, err := c.raw(k.prog, k.vers, k.proc, &wire.Void{})
		if err == nil || err.Error() != k.want {
			t.Errorf("%d version %d procedure %d: %v, want %s", k.prog, k.vers, k.proc, err, k.want)
		}
	}
	c.cred = wire.Cred{Flavor: 6} // RPCSEC_GSS
	if _, err := c.raw(wire.ProgNFS, 3, wire.ProcGetattr, &wire.ObjectArgs{}); err == nil || err.Error() != "AUTH_ERROR BADCRED" {
		t.Errorf("another flavour: %v", err)
	}
	if _, err := c.raw(wire.ProgNFS, 3, wire.ProcNull, &wire.Void{}); err != nil {
		t.Errorf("NULL with another flavour: %v", err)
	}
	c.cred = wire.Cred{Flavor: wire.AuthNone}
	if _, err := c.raw(wire.ProgNFS, 3, wire.ProcGetattr, &wire.ObjectArgs{}); err != nil {
		t.Errorf("AUTH_NONE: %v", err)
	}
}

// TestTruncatedArguments: a call that ends too early is GARBAGE_ARGS, changes
// nothing and is not remembered.
func TestTruncatedArguments(t *testing.T) {
	r := newRig(t)
	c := r.dial()
	root := c.mount("/")
	for proc, a := range callsOf(c.lookup(root, "hello"), root) {
		whole := a.Append(nil)
		for n := range whole {
			_, err := c.raw(wire.ProgNFS, 3, proc, raw(whole[:n]))
			if err == nil || err.Error() != "GARBAGE_ARGS" {
				t.Fatalf("%s with %d of %d bytes: %v", wire.ProcName(wire.ProgNFS, proc), n, len(whole), err)
			}
		}
	}
	if _, err := c.raw(wire.ProgMount, 3, wire.MountProcMnt, raw(nil)); err == nil {
		t.Error("MNT of nothing")
	}
	if s := c.tryLookup(root, "nothing").Status; s != wire.ErrNoEnt {
		t.Errorf("something was made: %v", s)
	}
}

// raw is arguments as they are.
type raw []byte

func (r raw) Append(b []byte) []byte { return append(b, r...) }

// TestBadHandles: each procedure tells a handle that is none from one whose object
// is gone, and gives a failure's body as long as the RFC says.
func TestBadHandles(t *testing.T) {
	r := newRig(t)
	c := r.dial()
	root := c.mount("/")
	gone, goneDir := c.create(root, "gone"), c.mkdir(root, "gonedir", 0o755)
	c.want("REMOVE", c.remove(root, "gone").Status, wire.OK)
	c.want("RMDIR", c.rmdir(root, "gonedir").Status, wire.OK)
	forged := bytes.Clone(gone)
	forged[63] ^= 1
	lengths := map[uint32]int{ // without attributes, behind the status
		wire.ProcGetattr: 0, wire.ProcRename: 16, wire.ProcLink: 12,
		wire.ProcSetattr: 8, wire.ProcWrite: 8, wire.ProcCreate: 8, wire.ProcMkdir: 8, wire.ProcSymlink: 8,
		wire.ProcMknod: 8, wire.ProcRemove: 8, wire.ProcRmdir: 8, wire.ProcCommit: 8,
	}
	for _, k := range []struct {
		what      string
		file, dir []byte
		want      wire.Status
	}{
		{"removed", gone, goneDir, wire.ErrStale},
		{"forged", forged, forged, wire.ErrBadHandle},
		{"empty", nil, nil, wire.ErrBadHandle},
		{"short", gone[:32], gone[:32], wire.ErrBadHandle},
	} {
		for proc, a := range callsOf(k.file, k.dir) {
			name := wire.ProcName(wire.ProgNFS, proc)
			b, err := c.raw(wire.ProgNFS, 3, proc, a)
			if err != nil {
				t.Fatal(name, err)
			}
			n, known := lengths[proc]
			if !known {
				n = 4
			}
			if got := wire.Status(b[3]) | wire.Status(b[2])<<8; got != k.want || len(b) != 4+n {
				t.Errorf("%s on a handle that is %s: %v with %d bytes behind it, want %v with %d", name, k.what, got, len(b)-4, k.want, n)
			}
		}
	}
}

// TestNoise: whatever a record holds, the server answers the next client.
func TestNoise(t *testing.T) {
	n := 3000
	if testing.Short() {
		n = 300
	}
	const seed = 2
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	r := newRig(t)
	r.s.tap = nil // not all of it is well-formed
	c := r.dial()
	root := c.mount("/")
	calls := callsOf(c.lookup(root, "hello"), root)
	for range n {
		proc := 1 + rnd.Uint32N(21)
		rec := c.record(wire.ProgNFS, 3, proc, calls[proc])
		for range 1 + rnd.IntN(6) {
			rec[24+rnd.IntN(len(rec)-24)] = byte(rnd.Uint32())
		}
		c.send(rec) // program, version and procedure are whole: there is an answer
		_, err := c.receive(c.xid)
		if errors.Is(err, wire.ErrReply) {
			t.Fatalf("record %x: %v", rec, err)
		}
	}
	if got := r.dial().mount("/"); !bytes.Equal(got, root) {
		t.Errorf("afterwards the root is %x, was %x", got, root)
	}
}

// broken panics where it is asked for attributes.
type broken struct {
	FS
	on atomic.Bool
}

func (b *broken) Attr(ino billyfs.Ino) (billyfs.Attr, error) {
	if b.on.Load() {
		panic("as the test wants it")
	}
	return b.FS.Attr(ino)
}

// TestPanic: a bug costs the call that meets it, not the connection.
func TestPanic(t *testing.T) {
	dsk := newDisk(t, "")
	b := &broken{FS: dsk.tree}
	e := dsk.export("/")
	e.FS = b
	s, err := New(Options{Exports: []Export{e}})
	if err != nil {
		t.Fatal(err)
	}
	root := mustHandle(t, s)
	from := &client{local: true}
	call := func(xid uint32, proc uint32, a args) error {
		rec := a.Append(wire.AppendCall(nil, &wire.Call{XID: xid, Prog: wire.ProgNFS, Vers: 3, Proc: proc, Cred: wire.Cred{Flavor: wire.AuthSys}}))
		_, err := wire.ParseReply(s.answer(nil, from, rec, nil), xid)
		return err
	}
	b.on.Store(true)
	for proc, a := range map[uint32]args{wire.ProcGetattr: &wire.ObjectArgs{Object: root}, wire.ProcMkdir: &wire.MkdirArgs{Where: at(root, "d")}} {
		if err := call(1, proc, a); err == nil || err.Error() != "SYSTEM_ERR" {
			t.Errorf("%s: %v, want SYSTEM_ERR", wire.ProcName(wire.ProgNFS, proc), err)
		}
	}
	b.on.Store(false)
	if err := call(2, wire.ProcGetattr, &wire.ObjectArgs{Object: root}); err != nil {
		t.Error(err)
	}
}

// TestTrace: each call is told as a line, also one that is refused.
func TestTrace(t *testing.T) {
	lines := make(chan string, 100)
	r := serveDisks(t, Options{Access: Access{TrustLoopback: true}, Trace: func(l string) { lines <- l }},
		map[string]*disk{"/": newDisk(t, "")})
	c := r.dial()
	c.mount("/")
	_, _ = c.raw(wire.ProgNFS, 4, 1, &wire.Void{})
	for _, want := range []string{`MNT as 0:0 path="/" -> OK fh=`, "GETATTR vers=4 -> PROG_MISMATCH 3 to 3"} {
		if l := <-lines; !bytes.HasPrefix([]byte(l), []byte(want)) {
			t.Errorf("%q, want %q", l, want)
		}
	}
}

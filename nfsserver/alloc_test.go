package nfsserver

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"deltafs/nfsserver/wire"
)

// cachedCalls are calls on objects that the server has met, of base and delta.
func cachedCalls(t testing.TB, s *Server) map[string][]byte {
	from := &client{local: true}
	d := &direct{t, s, from, 0}
	root := mustHandle(t, s)
	lookup := func(dir []byte, name string) []byte {
		var r wire.LookupRes
		d.nfs(wire.ProcLookup, &wire.LookupArgs{What: at(dir, name)}, &r)
		d.want("LOOKUP "+name, r.Status)
		return r.Object
	}
	dir := lookup(root, "dir")
	one := lookup(dir, "one")
	var made wire.MakeRes
	d.nfs(wire.ProcCreate, &wire.CreateArgs{Where: at(dir, "new")}, &made)
	d.want("CREATE", made.Status)
	call := func(proc uint32, a args) []byte {
		return a.Append(wire.AppendCall(nil, &wire.Call{XID: 9, Prog: wire.ProgNFS, Vers: 3, Proc: proc, Cred: wire.Cred{Flavor: wire.AuthSys, NGIDs: 3}}))
	}
	return map[string][]byte{
		"GETATTR base":  call(wire.ProcGetattr, &wire.ObjectArgs{Object: one}),
		"GETATTR delta": call(wire.ProcGetattr, &wire.ObjectArgs{Object: made.Object.Handle}),
		"ACCESS base":   call(wire.ProcAccess, &wire.AccessArgs{Object: one, Access: 0x3f}),
		"ACCESS delta":  call(wire.ProcAccess, &wire.AccessArgs{Object: made.Object.Handle, Access: 0x3f}),
		"LOOKUP base":   call(wire.ProcLookup, &wire.LookupArgs{What: at(dir, "one")}),
		"LOOKUP delta":  call(wire.ProcLookup, &wire.LookupArgs{What: at(dir, "new")}),
	}
}

// raced says that the race detector is on, with which pools drop what they are
// given, so that there is garbage.
var raced bool

// TestNoAllocations: the calls that clients make most leave no garbage when what
// they ask for is cached.
func TestNoAllocations(t *testing.T) {
	if raced {
		t.Skip("pools leave garbage with the race detector")
	}
	s, _, _ := serveWatched(t, Options{})
	from := &client{local: true}
	reply := make([]byte, 0, 4096)
	for name, rec := range cachedCalls(t, s) {
		if n := testing.AllocsPerRun(1000, func() { s.answer(nil, from, rec, reply) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestDataIsNotCopied: a READ or WRITE of 1 MiB needs no memory of that size
// besides the record and the reply: data is read into the reply itself, and written to
// the log from the record (deltalog.TestDataNoCopy).
func TestDataIsNotCopied(t *testing.T) {
	if raced {
		t.Skip("pools leave garbage with the race detector")
	}
	dsk := newDisk(t, "")
	if err := os.WriteFile(filepath.Join(dsk.base, "big"), make([]byte, 8<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Exports: []Export{dsk.export("/")}})
	if err != nil {
		t.Fatal(err)
	}
	d := &direct{t, s, &client{local: true}, 0}
	root := mustHandle(t, s)
	var l wire.LookupRes
	d.nfs(wire.ProcLookup, &wire.LookupArgs{What: at(root, "big")}, &l)
	d.want("LOOKUP", l.Status)
	var made wire.MakeRes
	d.nfs(wire.ProcCreate, &wire.CreateArgs{Where: at(root, "new")}, &made)
	const size = 1 << 20
	cred := wire.Cred{Flavor: wire.AuthSys}
	call := func(proc uint32, a args) []byte {
		return a.Append(wire.AppendCall(nil, &wire.Call{XID: 9, Prog: wire.ProgNFS, Vers: 3, Proc: proc, Cred: cred}))
	}
	reply := make([]byte, 0, size+4096)
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would empty the pools
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))  // each processor has its own
	for _, k := range []struct {
		what string
		rec  []byte
	}{
		{"WRITE", call(wire.ProcWrite, &wire.WriteArgs{File: made.Object.Handle, Count: size, Data: make([]byte, size)})},
		{"READ of the base", call(wire.ProcRead, &wire.RangeArgs{File: l.Object, Offset: 12345, Count: size})},
		{"READ of the log", call(wire.ProcRead, &wire.RangeArgs{File: made.Object.Handle, Count: size})},
	} {
		const rounds = 20
		for range 3 { // pools fill
			s.answer(nil, d.from, k.rec, reply)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range rounds {
			if b := s.answer(nil, d.from, k.rec, reply); len(b) < 100 || b[27] != 0 {
				t.Fatalf("%s: %x", k.what, b[:min(len(b), 100)])
			}
		}
		runtime.ReadMemStats(&after)
		if n := (after.TotalAlloc - before.TotalAlloc) / rounds; n > size/4 {
			t.Errorf("%s of 1 MiB: %d bytes allocated", k.what, n)
		} else {
			t.Logf("%s of 1 MiB: %d bytes, %d times", k.what, n, (after.Mallocs-before.Mallocs)/rounds)
		}
	}
}

func BenchmarkCached(b *testing.B) {
	s, _, _ := serveWatched(b, Options{})
	from := &client{local: true}
	reply := make([]byte, 0, 4096)
	for name, rec := range cachedCalls(b, s) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.answer(nil, from, rec, reply)
			}
		})
	}
}

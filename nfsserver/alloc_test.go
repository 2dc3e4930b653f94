package nfsserver

import (
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
		"GETATTR base":  call(wire.ProcGetattr, &wire.GetattrArgs{Object: one}),
		"GETATTR delta": call(wire.ProcGetattr, &wire.GetattrArgs{Object: made.Object.Handle}),
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
		if n := testing.AllocsPerRun(1000, func() { s.answer(from, rec, reply) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
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
				s.answer(from, rec, reply)
			}
		})
	}
}

package nfsserver

import (
	"testing"

	"deltafs/nfsserver/wire"
	"deltafs/nfsserver/wire/oracle"
)

// FuzzCall: whatever a record holds, the server answers or drops it and goes on,
// and a reply is one that another implementation can read.
func FuzzCall(f *testing.F) {
	d := newDisk(f, "")
	s, err := New(Options{Exports: []Export{d.export("/")}})
	if err != nil {
		f.Fatal(err)
	}
	from := &client{local: true}
	root := mustHandle(f, s)
	dir := &direct{f, s, from, 0}
	var l wire.LookupRes
	dir.nfs(wire.ProcLookup, &wire.LookupArgs{What: at(root, "hello")}, &l)
	for proc, a := range callsOf(l.Object, root) {
		f.Add(a.Append(wire.AppendCall(nil, &wire.Call{XID: 1, Prog: wire.ProgNFS, Vers: 3, Proc: proc,
			Cred: wire.Cred{Flavor: wire.AuthSys, Machine: []byte("m"), UID: 5, NGIDs: 2}})))
	}
	for proc := range uint32(6) {
		f.Add((&wire.MntArgs{Path: []byte("/dir")}).Append(wire.AppendCall(nil, &wire.Call{Prog: wire.ProgMount, Vers: 3, Proc: proc})))
	}
	f.Fuzz(func(t *testing.T, rec []byte) {
		reply := s.answer(nil, from, rec, nil)
		if len(reply) == 0 {
			return
		}
		if err := oracle.Header(reply); err != nil {
			t.Errorf("%x is answered by %x: %v", rec, reply, err)
		}
	})
}

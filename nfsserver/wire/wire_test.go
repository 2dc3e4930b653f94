package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestRoundTrip: what is appended is read back, prints alike, and appends alike.
func TestRoundTrip(t *testing.T) {
	messages(t, 200, func(t *testing.T, name string, m, again message) {
		b := m.Append([]byte("before"))
		if !bytes.HasPrefix(b, []byte("before")) {
			t.Fatalf("%s: does not append", name)
		}
		b = b[len("before"):]
		if len(b)%4 != 0 {
			t.Fatalf("%s: %d bytes", name, len(b))
		}
		x := Reader(b)
		if again.Code(&x); !x.OK() || len(x.b) != 0 {
			t.Fatalf("%s: %x is not read: ok %v, %d bytes left", name, b, x.OK(), len(x.b))
		}
		if b2 := again.Append(nil); !bytes.Equal(b, b2) {
			t.Fatalf("%s:\n%x is read and appended as\n%x", name, b, b2)
		}
		if l, l2 := printed(m), printed(again); l != l2 || strings.ContainsAny(l, "\n\x00") {
			t.Fatalf("%s:\n%s\nprints, when read, as\n%s", name, l, l2)
		}
	})
}

func printed(m message) string {
	x := XDR{mode: printing}
	m.Code(&x)
	return string(x.b)
}

// TestTruncated: no beginning of a message is one.
func TestTruncated(t *testing.T) {
	messages(t, 20, func(t *testing.T, name string, m, again message) {
		b := m.Append(nil)
		for n := range b {
			x := Reader(b[:n:n])
			if again.Code(&x); x.OK() {
				t.Fatalf("%s: %d of %d bytes are taken", name, n, len(b))
			}
		}
	})
}

// TestFailureBodies: what follows the status of a call that failed has the length
// that RFC 1813 gives it, with all that is optional left out.
func TestFailureBodies(t *testing.T) {
	want := map[uint32]int{
		ProcGetattr: 4, ProcSetattr: 12, ProcLookup: 8, ProcAccess: 8, ProcReadlink: 8, ProcRead: 8,
		ProcWrite: 12, ProcCreate: 12, ProcMkdir: 12, ProcSymlink: 12, ProcMknod: 12, ProcRemove: 12,
		ProcRmdir: 12, ProcRename: 20, ProcLink: 16, ProcReaddir: 8, ProcReaddirplus: 8, ProcFsstat: 8,
		ProcFsinfo: 8, ProcPathconf: 8, ProcCommit: 12,
	}
	procs(func(prog, proc uint32, e *exchange) {
		if prog != ProgNFS || proc == ProcNull {
			return
		}
		m := e.res()
		x := Reader(append([]byte{0, 0, 0, byte(ErrIO)}, make([]byte, 1000)...))
		m.Code(&x)
		if got := len(m.Append(nil)); got != want[proc] {
			t.Errorf("%s: %d bytes, want %d", e.name, got, want[proc])
		}
	})
}

// TestLimits: a length beyond its limit, or beyond the record, is refused.
func TestLimits(t *testing.T) {
	long := func(n int) []byte { return bytes.Repeat([]byte{'x'}, n) }
	for _, c := range []struct {
		what string
		m    message
		ok   bool
	}{
		{"handle of 64", &ObjectArgs{long(64)}, true},
		{"handle of 65", &ObjectArgs{long(65)}, false},
		{"name of 4096", &LookupArgs{DirOp{long(1), long(4096)}}, true},
		{"name of 4097", &LookupArgs{DirOp{long(1), long(4097)}}, false},
		{"target of 64 KiB", &SymlinkArgs{Target: long(64 << 10)}, true},
		{"target of 64 KiB and 1", &SymlinkArgs{Target: long(64<<10 + 1)}, false},
		{"path of 1024", &MntArgs{long(1024)}, true},
		{"path of 1025", &MntArgs{long(1025)}, false},
		{"stable 3", &WriteArgs{Stable: 3}, false},
		{"createmode 3", &CreateArgs{How: 3}, false},
		{"time_how 3", &MkdirArgs{Attr: Sattr{AtimeHow: 3}}, false},
		{"ftype 8", &MknodArgs{Type: 8}, false},
	} {
		x := Reader(c.m.Append(nil))
		if c.m.Code(&x); x.OK() != c.ok {
			t.Errorf("%s: ok %v, want %v", c.what, x.OK(), c.ok)
		}
	}
	// A boolean of 2, and a length of 4 GiB in a record of few bytes.
	for _, b := range [][]byte{
		append((&ObjectArgs{}).Append(nil), 0, 0, 0, 2),
		{0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4},
	} {
		var a SetattrArgs
		x := Reader(b)
		if a.Code(&x); x.OK() {
			t.Errorf("%x is taken", b)
		}
	}
}

// TestCallHeader: a call is read back, and each way in which it can be wrong is
// told from the others.
func TestCallHeader(t *testing.T) {
	c := Call{XID: 7, Prog: ProgNFS, Vers: 3, Proc: ProcLookup, Cred: Cred{
		Flavor: AuthSys, Stamp: 1, Machine: []byte("host"), UID: 1000, GID: 100, GIDs: [16]uint32{4, 24}, NGIDs: 2}}
	rec := append(AppendCall(nil, &c), "args"...)
	var got Call
	args, f := ParseCall(rec, &got)
	if f != NoFault || string(args) != "args" || fmt.Sprint(got) != fmt.Sprint(c) {
		t.Fatalf("%v, %q, %+v", f, args, got)
	}
	if prog, proc := Peek(rec); prog != ProgNFS || proc != ProcLookup {
		t.Errorf("Peek: %d, %d", prog, proc)
	}
	header := len(rec) - len("args")
	for n := range header {
		want := BadCred
		switch {
		case n < 8:
			want = NotACall
		case n < 24:
			want = Truncated
		}
		if _, f := ParseCall(rec[:n], &got); f != want {
			t.Errorf("%d bytes: fault %d, want %d", n, f, want)
		}
	}
	edit := func(at int, v byte) []byte {
		b := bytes.Clone(rec)
		b[at] = v
		return b
	}
	for _, k := range []struct {
		what string
		rec  []byte
		want Fault
	}{
		{"a reply", edit(7, 1), NotACall},
		{"RPC version 3", edit(11, 3), BadRPC},
		{"17 groups", edit(32+4+4+4+4+4+3, 17), BadCred},
		{"machine name of 300", edit(32+4+2, 1), BadCred},
		{"body of 401", edit(32-2, 2), BadCred},
	} {
		if _, f := ParseCall(k.rec, &got); f != k.want {
			t.Errorf("%s: fault %d, want %d", k.what, f, k.want)
		}
	}
}

// TestReplies: each reply that is not a success is read back as what it is.
func TestReplies(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want string
	}{
		{AppendProgMismatch(nil, 9, 1, 3), "PROG_MISMATCH 1 to 3"},
		{AppendAccepted(nil, 9, ProcUnavail), "PROC_UNAVAIL"},
		{AppendAccepted(nil, 9, ProgUnavail), "PROG_UNAVAIL"},
		{Truncated.Append(nil, 9), "GARBAGE_ARGS"},
		{BadRPC.Append(nil, 9), "RPC_MISMATCH 2 to 2"},
		{BadCred.Append(nil, 9), "AUTH_ERROR BADCRED"},
	} {
		_, err := ParseReply(c.b, 9)
		var re *ReplyError
		if !errors.As(err, &re) || re.Error() != c.want {
			t.Errorf("%x: %v, want %s", c.b, err, c.want)
		}
		for n := range c.b {
			if _, err := ParseReply(c.b[:n], 9); !errors.Is(err, ErrReply) {
				t.Errorf("%d bytes of %s: %v", n, c.want, err)
			}
		}
		if _, err := ParseReply(c.b, 8); !errors.Is(err, ErrReply) {
			t.Errorf("%s for another call: %v", c.want, err)
		}
	}
	if b := NotACall.Append(nil, 9); len(b) != 0 {
		t.Errorf("an answer to what is no call: %x", b)
	}
	res, err := ParseReply(append(AppendAccepted(nil, 9, Success), "results"...), 9)
	if err != nil || string(res) != "results" {
		t.Errorf("%q, %v", res, err)
	}
}

// TestReadSpace: data that is read into the reply gives what ReadRes gives.
func TestReadSpace(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	content := make([]byte, 40)
	for i := range content {
		content[i] = byte(r.Uint32())
	}
	for count := range 40 {
		for n := range count + 1 {
			for _, there := range []bool{true, false} {
				attr := PostOp{OK: there, Attr: Fattr{Type: TypeReg, Size: 7}}
				if !there {
					attr.Attr = Fattr{}
				}
				b, data := AppendReadSpace([]byte("head"), count)
				copy(data, content[:n])
				got := FinishRead(b, len("head"), &attr, n, n < count)
				want := ReadRes{Attr: attr, Count: uint32(n), EOF: n < count, Data: content[:n]}
				if !bytes.Equal(got, want.Append([]byte("head"))) {
					t.Fatalf("%d of %d bytes, attributes %v:\n%x", n, count, there, got)
				}
			}
		}
	}
}

// TestListings: a listing is what ReaddirRes and ReaddirplusRes give, never longer
// than the client wants it, and no entry is refused that would fit.
func TestListings(t *testing.T) {
	const seed = 3
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	for range 2000 {
		post := PostOp{OK: r.IntN(2) == 0}
		limit, dirLimit := uint32(r.IntN(3000)), uint32(r.IntN(1500))
		plus := r.IntN(2) == 0
		var l DirList
		var p DirListPlus
		size := l.Size
		if plus {
			p = BeginReaddirplus([]byte("head"), &post, dirLimit, limit)
			size = p.Size
		} else {
			l = BeginReaddir([]byte("head"), &post, limit)
			size = l.Size
		}
		var res ReaddirplusRes
		res.DirAttr = post
		dirBytes := 0
		for i := uint64(1); ; i++ {
			name := strings.Repeat("n", 1+r.IntN(60))
			e := Entry{FileID: i, Name: []byte(name), Cookie: i << 1}
			var added bool
			if plus {
				e.Attr.OK = r.IntN(3) > 0
				if e.Handle.OK = r.IntN(3) > 0; e.Handle.OK {
					e.Handle.Handle = bytes.Repeat([]byte{1}, 1+r.IntN(64))
				}
				added = p.Add(i, name, i<<1, &e.Attr, e.Handle.Handle)
			} else {
				added = l.Add(i, name, i<<1)
			}
			dirBytes += 8 + 4 + padded(len(name)) + 8
			with := res
			with.Entries = append(res.Entries[:len(res.Entries):len(res.Entries)], e)
			var whole []byte
			if plus {
				whole = with.Append(nil)
			} else {
				whole = with.ReaddirRes.Append(nil)
			}
			fits := len(whole)-4 <= int(limit) && (!plus || i == 1 || dirBytes <= int(dirLimit))
			if added != fits {
				t.Fatalf("entry %d of a listing of %d: added %v, fits %v", i, limit, added, fits)
			}
			if !added {
				break
			}
			res = with
		}
		before := size()
		res.EOF = true
		var got, want []byte
		if plus {
			p.Truncate(before)
			got, want = p.Finish(true), res.Append([]byte("head"))
		} else {
			l.Truncate(before)
			got, want = l.Finish(true), res.ReaddirRes.Append([]byte("head"))
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("listing:\n%x, want\n%x", got, want)
		}
	}
}

// TestAllocations: the calls that clients make most cost none.
func TestAllocations(t *testing.T) {
	call := (&LookupArgs{DirOp{make([]byte, 64), []byte("name")}}).Append(
		AppendCall(nil, &Call{XID: 1, Prog: ProgNFS, Vers: 3, Proc: ProcLookup, Cred: Cred{Flavor: AuthSys, NGIDs: 16}}))
	reply := make([]byte, 0, 1024)
	var c Call
	n := testing.AllocsPerRun(100, func() {
		args, _ := ParseCall(call, &c)
		x := Reader(args)
		var a LookupArgs
		a.Code(&x)
		b := AppendAccepted(reply, c.XID, Success)
		r := LookupRes{Object: a.What.Dir, Attr: PostOp{OK: true}, DirAttr: PostOp{OK: true}}
		b = r.Append(b)
		g := GetattrRes{}
		b = g.Append(b)
		w := WriteRes{Wcc: Wcc{Before: PreOp{OK: true}, After: PostOp{OK: true}}}
		b = w.Append(b)
		if cap(b) != cap(reply) || !x.OK() {
			t.Fatal("grown, or not read")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkGetattrReply(b *testing.B) {
	reply := make([]byte, 0, 1024)
	r := GetattrRes{Attr: Fattr{Type: TypeReg, Mode: 0o644, Size: 12345}}
	for b.Loop() {
		r.Append(AppendAccepted(reply, 1, Success))
	}
}

func BenchmarkParseLookup(b *testing.B) {
	call := (&LookupArgs{DirOp{make([]byte, 64), []byte("name")}}).Append(
		AppendCall(nil, &Call{XID: 1, Prog: ProgNFS, Vers: 3, Proc: ProcLookup, Cred: Cred{Flavor: AuthSys, NGIDs: 4}}))
	var c Call
	for b.Loop() {
		args, _ := ParseCall(call, &c)
		x := Reader(args)
		var a LookupArgs
		a.Code(&x)
	}
}

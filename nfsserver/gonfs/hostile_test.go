package gonfs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	nfs "github.com/willscott/go-nfs"
)

// alive fails the test unless the server still answers new clients.
func (r *rig) alive() {
	r.t.Helper()
	c, root := r.mounted()
	c.getattr(root)
	c.conn.Close()
}

// closed fails the test unless the server ends the connection without a reply.
func (c *client) closed() {
	c.t.Helper()
	if rec, err := c.receive(); err == nil {
		c.t.Errorf("reply %x", rec)
	} else if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		c.t.Error("the connection stays open")
	}
}

func TestVersionsAndPrograms(t *testing.T) {
	r := newRig(t)
	c, _ := r.mounted()
	for _, k := range []struct {
		what             string
		prog, vers, proc uint32
		stat             uint32
		low, high        uint32
	}{
		{"NFSv4 COMPOUND", progNFS, 4, 1, progMismatch, 3, 3},
		{"NFSv2", progNFS, 2, 0, progMismatch, 3, 3},
		{"MOUNTv1", progMount, 1, 1, progMismatch, 3, 3},
		{"NFSACL", 100227, 3, 0, progUnavail, 0, 0},
		{"NLM", 100021, 4, 0, progUnavail, 0, 0},
		{"unknown procedure", progNFS, 3, 22, procUnavail, 0, 0},
		{"far unknown procedure", progNFS, 3, 1<<32 - 1, procUnavail, 0, 0},
	} {
		stat, rd := c.rpc(k.prog, k.vers, k.proc, nil)
		if stat != k.stat {
			t.Errorf("%s: accept_stat %d, want %d", k.what, stat, k.stat)
		}
		if stat == progMismatch {
			if low, high := rd.u32(), rd.u32(); low != k.low || high != k.high {
				t.Errorf("%s: versions %d to %d", k.what, low, high)
			}
		}
	}
	c.send(put32(nil, 5, 0, 3, progNFS, 3, 0, 0, 0, 0, 0)) // RPC version 3
	rec, err := c.receive()
	if want := put32(nil, 5, 1, 1, 0, 2, 2); err != nil || !bytes.Equal(rec, want) {
		t.Errorf("RPC version 3: %x %v", rec, err)
	}
	r.alive()
}

// Lengths that lie get GARBAGE_ARGS, whatever the procedure and wherever the
// arguments end.
func TestTruncatedArguments(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	full := map[nfs.NFSProcedure][]byte{
		nfs.NFSProcedureGetAttr: fh(root), nfs.NFSProcedureSetAttr: cat(fh(root), noAttrs(), put32(nil, 0)),
		nfs.NFSProcedureLookup: name(root, "x"), nfs.NFSProcedureAccess: cat(fh(root), put32(nil, 1)),
		nfs.NFSProcedureReadlink: fh(root), nfs.NFSProcedureRead: cat(fh(root), put32(nil, 0, 0, 1)),
		nfs.NFSProcedureWrite:   cat(fh(root), put32(nil, 0, 0, 4, 0, 4, 0)),
		nfs.NFSProcedureCreate:  cat(name(root, "x"), put32(nil, 0), noAttrs()),
		nfs.NFSProcedureMkDir:   cat(name(root, "x"), noAttrs()),
		nfs.NFSProcedureSymlink: cat(name(root, "x"), noAttrs(), fh([]byte("tgt"))),
		nfs.NFSProcedureMkNod:   cat(name(root, "x"), put32(nil, 3), noAttrs(), put32(nil, 1, 1)),
		nfs.NFSProcedureRemove:  name(root, "x"), nfs.NFSProcedureRmDir: name(root, "x"),
		nfs.NFSProcedureRename: cat(name(root, "x"), name(root, "y")), nfs.NFSProcedureLink: cat(fh(root), name(root, "y")),
		nfs.NFSProcedureReadDir:     cat(fh(root), put32(nil, 0, 0, 0, 0, 4096)),
		nfs.NFSProcedureReadDirPlus: cat(fh(root), put32(nil, 0, 0, 0, 0, 4096, 8192)),
		nfs.NFSProcedureFSStat:      fh(root), nfs.NFSProcedureFSInfo: fh(root), nfs.NFSProcedurePathConf: fh(root),
		nfs.NFSProcedureCommit: cat(fh(root), put32(nil, 0, 0, 0)),
	}
	if len(full) != len(shapes)-1 {
		t.Fatalf("%d procedures of %d", len(full), len(shapes)-1)
	}
	for proc, args := range full {
		for n := range len(args) {
			if stat, _ := c.rpc(progNFS, 3, uint32(proc), args[:n]); stat != garbageArgs {
				t.Fatalf("%v with %d bytes of %d: accept_stat %d", proc, n, len(args), stat)
			}
		}
		huge := bytes.Clone(args)
		binary.BigEndian.PutUint32(huge, 1<<32-1)
		if stat, _ := c.rpc(progNFS, 3, uint32(proc), huge); stat != garbageArgs {
			t.Errorf("%v with a handle of 4 GiB: accept_stat %d", proc, stat)
		}
	}
	for _, args := range [][]byte{
		cat(fh(root), fh(bytes.Repeat([]byte("n"), maxName+1))),
		cat(name(root, "x"), put32(nil, 3), noAttrs()), // createmode 3
		cat(name(root, "x"), put32(nil, 0, 0, 0, 0, 0, 9)),
		cat(name(root, "x"), put32(nil, 0, 0, 0, 0, 0, 2, 1, 1e9, 0)),
	} {
		if stat, _ := c.rpc(progNFS, 3, uint32(nfs.NFSProcedureCreate), args); stat != garbageArgs {
			t.Errorf("CREATE %x: accept_stat %d", args[68:], stat)
		}
	}
	r.alive()
}

// Records that are no calls end the connection, at once and with nothing kept.
func TestBadRecords(t *testing.T) {
	r := newRig(t)
	before := heap()
	for what, raw := range map[string][]byte{
		"empty record":        {0x80, 0, 0, 0},
		"short record":        {0x80, 0, 0, 8, 1, 2, 3, 4, 0, 0, 0, 0},
		"reply":               append([]byte{0x80, 0, 0, 40}, put32(nil, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0)...),
		"2 GiB record":        {0xff, 0xff, 0xff, 0xff},
		"2 GiB fragment":      {0x7f, 0xff, 0xff, 0xff},
		"endless fragments":   bytes.Repeat([]byte{0, 0, 0, 0}, maxFragments),
		"huge credentials":    append([]byte{0x80, 0, 0, 40}, put32(nil, 1, 0, 2, progNFS, 3, 0, 1, 1<<32-1, 0, 0)...),
		"text of another age": []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
	} {
		t.Run(what, func(t *testing.T) {
			c := dial(t, r.addr)
			c.conn.Write(raw)
			c.closed()
		})
	}
	for range 50 { // a length, and silence
		c := dial(t, r.addr)
		c.conn.Write(put32(nil, 1<<31|(maxRecord-1), 1, 0, 2))
	}
	if after := heap(); after > before+16<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	r.alive()
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Calls come in pieces: fragments of any size, segments of any size.
func TestFragmentsAndSplits(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	call := append(c.header(progNFS, 3, uint32(nfs.NFSProcedureLookup)), name(root, "hello")...)
	check := func(what string) {
		t.Helper()
		rec, err := c.receive()
		if err != nil || len(rec) < 28 || binary.BigEndian.Uint32(rec[24:]) != 0 {
			t.Fatalf("%s: %x %v", what, rec, err)
		}
	}
	for _, size := range []int{1, 3, 40, 41} {
		var b []byte
		for rest := call; len(rest) > 0; {
			n := min(size, len(rest))
			mark := uint32(n)
			if n == len(rest) {
				mark |= 1 << 31
			}
			b = append(put32(b, mark), rest[:n]...)
			rest = rest[n:]
		}
		c.conn.Write(b)
		check("fragments")
	}
	whole := append(put32(nil, uint32(len(call))|1<<31), call...)
	for n := range whole {
		c.conn.Write(whole[:n])
		c.conn.Write(whole[n:])
		check("split")
	}
}

// Many calls in flight on one connection, of sizes that cross every buffer.
func TestPipeline(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	h := c.create(root, "f")
	const calls = 400
	rnd := rand.New(rand.NewSource(1))
	var all []byte
	for range calls {
		data := make([]byte, rnd.Intn(20000))
		args := putOpaque(cat(fh(h), put32(nil, 0, 0, uint32(len(data)), 0)), data)
		call := append(c.header(progNFS, 3, uint32(nfs.NFSProcedureWrite)), args...)
		all = append(append(all, put32(nil, uint32(len(call))|1<<31)...), call...)
	}
	go c.conn.Write(all)
	first := c.xid - calls + 1
	for i := range uint32(calls) {
		rec, err := c.receive()
		if err != nil {
			t.Fatal(err)
		}
		if xid, status := binary.BigEndian.Uint32(rec), binary.BigEndian.Uint32(rec[24:]); xid != first+i || status != 0 {
			t.Fatalf("reply %d: xid %d status %d", i, xid, status)
		}
	}
}

// Random bytes in well-formed records never kill the server.
func TestNoise(t *testing.T) {
	r := newRig(t)
	const seed = 42
	rnd := rand.New(rand.NewSource(seed))
	c, root := r.mounted()
	for i := range 3000 {
		proc := uint32(rnd.Intn(23))
		args := fh(root)
		for range rnd.Intn(30) {
			args = put32(args, uint32(rnd.Intn(8)))
		}
		if rnd.Intn(2) == 0 {
			args = name(root, strings.Repeat("\x00", rnd.Intn(3)))
			noise := make([]byte, 4*rnd.Intn(20))
			rnd.Read(noise)
			args = append(args, noise...)
		}
		c.send(append(c.header(progNFS, 3, proc), args...))
		if _, err := c.receive(); err != nil {
			t.Fatalf("seed %d, call %d: procedure %d, %x: %v", seed, i, proc, args, err)
		}
	}
	r.alive()
}

// Clients that vanish in the middle leave nothing behind.
func TestVanishingClients(t *testing.T) {
	r := newRig(t)
	r.alive()
	before := runtime.NumGoroutine()
	for range 50 {
		c, root := r.mounted()
		h := c.lookup(root, "hello")
		for range 20 {
			c.send(append(c.header(progNFS, 3, 6), cat(fh(h), put32(nil, 0, 0, 4096))...))
		}
		c.conn.(*net.TCPConn).SetLinger(0)
		c.conn.Close()
	}
	remembered := func() (n int) {
		r.h.calls.Range(func(any, any) bool { n++; return true })
		return n
	}
	deadline := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > before+2 || remembered() > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before; %d calls remembered", runtime.NumGoroutine(), before, remembered())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A client that closes its side still gets its answer.
func TestHalfClose(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	c.send(append(c.header(progNFS, 3, 1), fh(root)...))
	c.conn.(*net.TCPConn).CloseWrite()
	if rec, err := c.receive(); err != nil || binary.BigEndian.Uint32(rec) != c.xid {
		t.Errorf("%x %v", rec, err)
	}
	if _, err := c.receive(); err != io.EOF {
		t.Errorf("then %v", err)
	}
}

func TestTooManyConnections(t *testing.T) {
	r := newRig(t)
	var all []*client
	for range maxConns {
		c, _ := r.mounted()
		all = append(all, c)
	}
	dial(t, r.addr).closed()
	all[0].conn.Close()
	deadline := time.Now().Add(time.Minute)
	for {
		c := dial(t, r.addr)
		c.send(c.header(progNFS, 3, 0))
		if _, err := c.receive(); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no room after a connection closed")
		}
	}
}

// Serve ends with its context while clients are connected, idle or busy.
func TestShutdown(t *testing.T) {
	r := newRig(t)
	idle, root := r.mounted()
	busy, _ := r.mounted()
	answered := make(chan int)
	go func() {
		n := 0
		for {
			if _, err := busy.conn.Write(getattrCall(busy, root)); err != nil {
				break
			}
			if _, err := busy.receive(); err != nil {
				break
			}
			n++
		}
		answered <- n
	}()
	time.Sleep(20 * time.Millisecond)
	r.stop()
	idle.closed()
	<-answered
	if _, err := net.Dial("tcp", r.addr); err == nil {
		t.Error("still listening")
	}
}

func getattrCall(c *client, h []byte) []byte {
	b := append(c.header(progNFS, 3, 1), fh(h)...)
	return append(put32(nil, uint32(len(b))|1<<31), b...)
}

type brokenListener struct {
	net.Listener
	fails int
}

func (l *brokenListener) Accept() (net.Conn, error) {
	if l.fails > 0 {
		l.fails--
		return nil, errors.New("too many open files")
	}
	return l.Listener.Accept()
}

// An Accept that fails for a while does not end the server.
func TestAcceptFails(t *testing.T) {
	r := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.h.Serve(ctx, &brokenListener{l, 3}) }()
	c := dial(t, l.Addr().String())
	c.getattr(c.mount("/"))
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Whatever a record holds, parse says what to do with it and does not panic;
// what it hands on is whole XDR items.
func FuzzParse(f *testing.F) {
	h := bytes.Repeat([]byte{1}, 64)
	head := func(prog, vers, proc uint32) []byte {
		return put32(nil, 1, 0, 2, prog, vers, proc, 0, 0, 0, 0)
	}
	for proc := range uint32(len(shapes)) {
		f.Add(append(head(progNFS, 3, proc), cat(name(h, "x"), put32(nil, 0), noAttrs(), fh(h))...))
	}
	f.Add(append(head(progMount, 3, 1), fh([]byte("/"))...))
	f.Add(head(progNFS, 4, 1))
	f.Add([]byte{})
	tag := func(uint64) []byte { return make([]byte, tagSize) }
	f.Fuzz(func(t *testing.T, rec []byte) {
		a, err := parse(rec, 1, tag)
		if err != nil {
			return
		}
		if len(a.forward)%4 != 0 || len(a.reply)%4 != 0 || len(a.forward) > 0 && len(a.forward) < 40 {
			t.Fatalf("%d bytes to go-nfs, %d to the client", len(a.forward), len(a.reply))
		}
	})
}

// A reply that go-nfs garbles must not make the guard panic.
func FuzzMend(f *testing.F) {
	f.Add(uint32(1), uint32(0), put32(accepted(1, 0), 0))
	f.Add(uint32(19), uint32(2), put32(accepted(1, 4)))
	f.Add(uint32(18), uint32(0), put32(accepted(1, 0), 0, 1))
	h := newRig(f).h
	f.Fuzz(func(t *testing.T, proc, status uint32, rec []byte) {
		c := &call{prog: progNFS, proc: nfs.NFSProcedure(proc % uint32(len(shapes)))}
		c.status.Store(status)
		if out := h.mend(c, rec); len(rec) > replyStatus && len(out) < replyStatus {
			t.Fatalf("%x", out)
		}
	})
}

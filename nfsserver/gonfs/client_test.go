package gonfs

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	nfs "github.com/willscott/go-nfs"
)

// client speaks NFSv3 by the bytes of RFC 1813, not with go-nfs's help: it
// must not make the same mistakes.
type client struct {
	t    testing.TB
	conn net.Conn
	xid  uint32
	cred []byte // flavor and body
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return (&client{t: t, conn: conn, xid: 100}).as(0, 0)
}

// as makes the calls that follow those of a user.
func (c *client) as(uid, gid uint32) *client {
	body := put32(putOpaque(put32(nil, 7), []byte("test")), uid, gid, 0)
	c.cred = putOpaque(put32(nil, 1), body)
	return c
}

func (c *client) header(prog, vers, proc uint32) []byte {
	c.xid++
	b := put32(nil, c.xid, 0, 2, prog, vers, proc)
	return put32(append(b, c.cred...), 0, 0)
}

func (c *client) send(rec []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(append(put32(nil, uint32(len(rec))|1<<31), rec...)); err != nil {
		c.t.Fatal(err)
	}
}

// receive returns the next record.
func (c *client) receive() ([]byte, error) {
	c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	var mark [4]byte
	if _, err := io.ReadFull(c.conn, mark[:]); err != nil {
		return nil, err
	}
	rec := make([]byte, binary.BigEndian.Uint32(mark[:])&^(1<<31))
	_, err := io.ReadFull(c.conn, rec)
	return rec, err
}

// rpc calls and returns accept_stat and what follows it.
func (c *client) rpc(prog, vers, proc uint32, args []byte) (uint32, *reader) {
	c.t.Helper()
	c.send(append(c.header(prog, vers, proc), args...))
	rec, err := c.receive()
	if err != nil {
		c.t.Fatalf("no reply to %d/%d: %v", prog, proc, err)
	}
	r := &reader{b: rec}
	if xid, typ, stat := r.u32(), r.u32(), r.u32(); xid != c.xid || typ != 1 || stat != 0 {
		c.t.Fatalf("reply %x to call %x", rec, c.xid)
	}
	r.u32()
	r.opaque(maxAuth)
	return r.u32(), r
}

// nfs calls a procedure and returns its status and what follows it.
func (c *client) nfs(proc nfs.NFSProcedure, args []byte) (nfs.NFSStatus, *reader) {
	c.t.Helper()
	stat, r := c.rpc(progNFS, 3, uint32(proc), args)
	if stat != 0 {
		c.t.Fatalf("%v: accept_stat %d", proc, stat)
	}
	status := nfs.NFSStatus(r.u32())
	if status != nfs.NFSStatusOk && len(r.b) != errorBodies[proc] {
		c.t.Errorf("%v: error %v with a body of %d bytes", proc, status, len(r.b))
	}
	return status, r
}

// want calls and checks the status.
func (c *client) want(status nfs.NFSStatus, proc nfs.NFSProcedure, args []byte) *reader {
	c.t.Helper()
	got, r := c.nfs(proc, args)
	if got != status {
		c.t.Fatalf("%v: %v, want %v", proc, got, status)
	}
	return r
}

func (c *client) mount(path string) []byte {
	c.t.Helper()
	status, fh := c.tryMount(path)
	if status != nfs.MountStatusOk {
		c.t.Fatalf("mount %s: %d", path, status)
	}
	return fh
}

func (c *client) tryMount(path string) (nfs.MountStatus, []byte) {
	c.t.Helper()
	stat, r := c.rpc(progMount, 3, uint32(nfs.MountProcMount), putOpaque(nil, []byte(path)))
	if stat != 0 {
		c.t.Fatalf("mount %s: accept_stat %d", path, stat)
	}
	status := nfs.MountStatus(r.u32())
	return status, r.opaque(64)
}

// fattr is what a client sees of an object.
type fattr struct {
	Type, Mode, Nlink, UID, GID uint32
	Size, Used                  uint64
	Major, Minor                uint32
	FSID, Fileid                uint64
	Atime, Mtime, Ctime         uint64
}

func readFattr(r *reader) fattr {
	return fattr{
		r.u32(), r.u32(), r.u32(), r.u32(), r.u32(), r.u64(), r.u64(),
		r.u32(), r.u32(), r.u64(), r.u64(), r.u64(), r.u64(), r.u64(),
	}
}

func name(dir []byte, s string) []byte { return putOpaque(putOpaque(nil, dir), []byte(s)) }
func fh(h []byte) []byte               { return putOpaque(nil, h) }

// noAttrs is an sattr3 that sets nothing; mode one that sets the mode.
func noAttrs() []byte            { return put32(nil, 0, 0, 0, 0, 0, 0) }
func modeAttr(m uint32) []byte   { return put32(nil, 1, m, 0, 0, 0, 0, 0) }
func sizeAttr(n uint32) []byte   { return put32(nil, 0, 0, 0, 1, 0, n, 0, 0) }
func cat(parts ...[]byte) []byte { return joinBytes(parts) }

func joinBytes(parts [][]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func (c *client) lookup(dir []byte, s string) []byte {
	c.t.Helper()
	return c.want(nfs.NFSStatusOk, nfs.NFSProcedureLookup, name(dir, s)).opaque(64)
}

func (c *client) getattr(h []byte) fattr {
	c.t.Helper()
	return readFattr(c.want(nfs.NFSStatusOk, nfs.NFSProcedureGetAttr, fh(h)))
}

// made reads the handle of a reply to a call that makes an object.
func (c *client) made(r *reader) []byte {
	c.t.Helper()
	if r.u32() != 1 {
		c.t.Fatal("no handle follows")
	}
	h := r.opaque(64)
	if len(h) != 64 {
		c.t.Fatalf("handle of %d bytes", len(h))
	}
	return h
}

func (c *client) create(dir []byte, s string) []byte {
	c.t.Helper()
	args := cat(name(dir, s), put32(nil, 0), modeAttr(0o644))
	return c.made(c.want(nfs.NFSStatusOk, nfs.NFSProcedureCreate, args))
}

func (c *client) mkdir(dir []byte, s string) []byte {
	c.t.Helper()
	args := cat(name(dir, s), modeAttr(0o755))
	return c.made(c.want(nfs.NFSStatusOk, nfs.NFSProcedureMkDir, args))
}

func (c *client) write(h []byte, off uint64, data string) {
	c.t.Helper()
	args := binary.BigEndian.AppendUint64(fh(h), off)
	args = putOpaque(put32(args, uint32(len(data)), 0), []byte(data))
	c.want(nfs.NFSStatusOk, nfs.NFSProcedureWrite, args)
}

func (c *client) read(h []byte) string {
	c.t.Helper()
	var out []byte
	for {
		args := put32(binary.BigEndian.AppendUint64(fh(h), uint64(len(out))), 32768)
		r := c.want(nfs.NFSStatusOk, nfs.NFSProcedureRead, args)
		if r.u32() != 0 {
			readFattr(r)
		}
		n, eof := r.u32(), r.u32()
		data := r.opaque(maxData)
		if r.bad || int(n) != len(data) {
			c.t.Fatalf("read: count %d, data %d", n, len(data))
		}
		out = append(out, data...)
		if eof != 0 {
			return string(out)
		}
	}
}

func (c *client) rename(from []byte, a string, to []byte, b string) {
	c.t.Helper()
	c.want(nfs.NFSStatusOk, nfs.NFSProcedureRename, cat(name(from, a), name(to, b)))
}

func (c *client) remove(dir []byte, s string) {
	c.t.Helper()
	c.want(nfs.NFSStatusOk, nfs.NFSProcedureRemove, name(dir, s))
}

// page is one reply to READDIR or READDIRPLUS.
type page struct {
	names    []string
	handles  [][]byte
	cookie   uint64
	verifier uint64
	eof      bool
}

func (c *client) readdir(dir []byte, cookie, verifier uint64) page {
	c.t.Helper()
	args := binary.BigEndian.AppendUint64(fh(dir), cookie)
	args = put32(binary.BigEndian.AppendUint64(args, verifier), 8192)
	r := c.want(nfs.NFSStatusOk, nfs.NFSProcedureReadDir, args)
	return c.page(r, false)
}

func (c *client) readdirplus(dir []byte, cookie, verifier uint64) page {
	c.t.Helper()
	args := binary.BigEndian.AppendUint64(fh(dir), cookie)
	args = put32(binary.BigEndian.AppendUint64(args, verifier), 8192, 32768)
	r := c.want(nfs.NFSStatusOk, nfs.NFSProcedureReadDirPlus, args)
	return c.page(r, true)
}

func (c *client) page(r *reader, plus bool) page {
	c.t.Helper()
	if r.u32() != 0 {
		readFattr(r)
	}
	p := page{verifier: r.u64()}
	for r.u32() != 0 && !r.bad {
		r.u64()
		s := string(r.opaque(255))
		p.cookie = r.u64()
		var h []byte
		if plus {
			if r.u32() != 0 {
				readFattr(r)
			}
			if r.u32() != 0 {
				h = r.opaque(64)
			}
		}
		if s != "." && s != ".." {
			p.names = append(p.names, s)
			p.handles = append(p.handles, h)
		}
	}
	p.eof = r.u32() != 0
	if r.bad || len(r.b) != 0 {
		c.t.Fatal("listing does not decode")
	}
	return p
}

// list reads a whole directory.
func (c *client) list(dir []byte) []string {
	c.t.Helper()
	var all []string
	for p := (page{}); !p.eof; {
		p = c.readdir(dir, p.cookie, p.verifier)
		all = append(all, p.names...)
	}
	return all
}

func numbered(i int) string { return fmt.Sprintf("file-%05d", i) }

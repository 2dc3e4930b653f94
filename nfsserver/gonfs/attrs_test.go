package gonfs

import (
	"encoding/binary"
	"testing"

	nfs "github.com/willscott/go-nfs"

	"deltafs/billyfs"
)

func TestModesOwnersTimes(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	args := cat(name(root, "suid"), put32(nil, 1), modeAttr(0o4755))
	h := c.as(12, 34).made(c.want(nfs.NFSStatusOk, nfs.NFSProcedureCreate, args))
	if a := c.getattr(h); a.Mode != 0o4755 || a.UID != 12 || a.GID != 34 || a.Type != 1 {
		t.Errorf("created %+v", a)
	}
	c.as(0, 0)
	set := func(attrs ...uint32) {
		t.Helper()
		c.want(nfs.NFSStatusOk, nfs.NFSProcedureSetAttr, cat(fh(h), put32(nil, attrs...), put32(nil, 0)))
	}
	set(1, 0o0755, 0, 0, 0, 0, 0) // the same low bits
	if a := c.getattr(h); a.Mode != 0o755 {
		t.Errorf("setuid is still there: %o", a.Mode)
	}
	set(1, 0o1711, 1, 77, 1, 88, 1, 0, 4096, 0, 2, 1000, 999) // all at once
	a := c.getattr(h)
	if a.Mode != 0o1711 || a.UID != 77 || a.GID != 88 || a.Size != 4096 || a.Mtime != 1000<<32|999 {
		t.Errorf("set %+v, mode %o", a, a.Mode)
	}
	if a.Ctime <= a.Mtime || a.FSID != r.h.codec.FSID() || a.Atime == a.Mtime {
		t.Errorf("times and fsid %+v", a)
	}
	d := c.mkdir(root, "sticky")
	h = d
	set(1, 0o1777, 0, 0, 0, 0, 0)
	if a := c.getattr(d); a.Mode&0o7777 != 0o1777 || a.Type != 2 || a.Nlink != 2 {
		t.Errorf("directory %+v", a)
	}
}

// Clients keep what they have cached if the state before a change is the one
// that they know, and the one after is true.
func TestWeakCacheConsistency(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	dir := c.mkdir(root, "other")
	h := c.create(root, "f")
	type state struct{ size, mtime, ctime uint64 }
	of := func(a fattr) state { return state{a.Size, a.Mtime, a.Ctime} }
	wcc := func(rd *reader, what string, before fattr, obj []byte) {
		t.Helper()
		if rd.u32() != 1 {
			t.Errorf("%s: no attributes before", what)
			return
		}
		pre := state{rd.u64(), rd.u64(), rd.u64()}
		if rd.u32() != 1 || pre != of(before) {
			t.Errorf("%s: before %+v, want %+v", what, pre, of(before))
		}
		after := readFattr(rd)
		if after != c.getattr(obj) || after.Ctime <= before.Ctime {
			t.Errorf("%s: after %+v, before %+v", what, after, before)
		}
	}
	file, top, sub := c.getattr(h), c.getattr(root), c.getattr(dir)
	args := putOpaque(cat(fh(h), put32(nil, 0, 9, 4, 2)), []byte("text"))
	wcc(c.want(nfs.NFSStatusOk, nfs.NFSProcedureWrite, args), "WRITE", file, h)
	file = c.getattr(h)
	wcc(c.want(nfs.NFSStatusOk, nfs.NFSProcedureSetAttr, cat(fh(h), sizeAttr(3), put32(nil, 0))), "SETATTR", file, h)
	rd := c.want(nfs.NFSStatusOk, nfs.NFSProcedureRename, cat(name(root, "f"), name(dir, "g")))
	wcc(rd, "RENAME from", top, root)
	wcc(rd, "RENAME to", sub, dir)
	sub = c.getattr(dir)
	rd = c.want(nfs.NFSStatusOk, nfs.NFSProcedureCreate, cat(name(dir, "h"), put32(nil, 0), noAttrs()))
	c.made(rd)
	rd.u32()
	readFattr(rd)
	wcc(rd, "CREATE", sub, dir)
	sub = c.getattr(dir)
	wcc(c.want(nfs.NFSStatusOk, nfs.NFSProcedureRemove, name(dir, "g")), "REMOVE", sub, dir)
}

func TestSetattrGuard(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	h := c.create(root, "f")
	a := c.getattr(h)
	guarded := func(ctime uint64) []byte {
		return binary.BigEndian.AppendUint64(cat(fh(h), modeAttr(0o600), put32(nil, 1)), ctime)
	}
	c.want(nfs.NFSStatusNotSync, nfs.NFSProcedureSetAttr, guarded(a.Ctime+1))
	c.want(nfs.NFSStatusOk, nfs.NFSProcedureSetAttr, guarded(a.Ctime))
	if got := c.getattr(h); got.Mode != 0o600 {
		t.Errorf("mode %o", got.Mode)
	}
}

func TestFSStatInfoConf(t *testing.T) {
	r := newRig(t)
	r.stop()
	r.opts.Statfs = func() (uint64, uint64) { return 1000, 400 }
	r.restart()
	c, root := r.mounted()
	skip := func(rd *reader) *reader {
		if rd.u32() != 0 {
			readFattr(rd)
		}
		return rd
	}
	rd := skip(c.want(nfs.NFSStatusOk, nfs.NFSProcedureFSStat, fh(root)))
	if total, free, avail := rd.u64(), rd.u64(), rd.u64(); total != 1000 || free != 400 || avail != 400 || len(rd.b) != 28 {
		t.Errorf("FSSTAT %d %d %d, %d bytes left", total, free, avail, len(rd.b))
	}
	rd = skip(c.want(nfs.NFSStatusOk, nfs.NFSProcedureFSInfo, fh(root)))
	if rtmax := rd.u32(); rtmax != maxData || len(rd.b) != 44 {
		t.Errorf("FSINFO rtmax %d, %d bytes left", rtmax, len(rd.b))
	}
	rd = skip(c.want(nfs.NFSStatusOk, nfs.NFSProcedurePathConf, fh(root)))
	if links := rd.u32(); links != billyfs.MaxLinks || len(rd.b) != 20 {
		t.Errorf("PATHCONF linkmax %d, %d bytes left", links, len(rd.b))
	}
	rd = skip(c.want(nfs.NFSStatusOk, nfs.NFSProcedureAccess, cat(fh(root), put32(nil, 0x3f))))
	if got := rd.u32(); got != 0x3f {
		t.Errorf("ACCESS of root %x", got)
	}
	dir := c.mkdir(root, "private")
	for _, k := range []struct{ uid, gid, mode, want uint32 }{
		{7, 7, 0o700, 0}, {7, 7, 0o755, accessRead | accessLookup | accessExecute},
		{7, 0, 0o750, accessRead | accessLookup | accessExecute}, {7, 7, 0o772, accessModify | accessExtend | accessDelete},
	} {
		c.as(0, 0).want(nfs.NFSStatusOk, nfs.NFSProcedureSetAttr, cat(fh(dir), modeAttr(k.mode), put32(nil, 0)))
		rd = skip(c.as(k.uid, k.gid).want(nfs.NFSStatusOk, nfs.NFSProcedureAccess, cat(fh(dir), put32(nil, 0x3f))))
		if got := rd.u32(); got != k.want {
			t.Errorf("ACCESS of %d/%d to %o: %x, want %x", k.uid, k.gid, k.mode, got, k.want)
		}
	}
	c.want(nfs.NFSStatusOk, nfs.NFSProcedureCommit, cat(fh(c.lookup(root, "hello")), put32(nil, 0, 0, 0)))
	c.rpc(progNFS, 3, 0, nil)
}

// What is called synced is: a stable WRITE at once, an UNSTABLE one by COMMIT,
// and both with the same verifier, which is another after a restart.
func TestStability(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	h := c.create(root, "f")
	write := func(how uint32) (committed uint32, verifier uint64) {
		t.Helper()
		args := putOpaque(cat(fh(h), put32(nil, 0, 0, 4, how)), []byte("text"))
		rd := c.want(nfs.NFSStatusOk, nfs.NFSProcedureWrite, args)
		rd.take(len(rd.b) - 12)
		return rd.u32(), rd.u64()
	}
	if got, _ := write(2); got != 2 || r.store.SyncedLSN() < r.store.LastLSN() {
		t.Errorf("FILE_SYNC: committed %d, synced %d of %d", got, r.store.SyncedLSN(), r.store.LastLSN())
	}
	got, v := write(0)
	if got != 0 {
		t.Errorf("UNSTABLE: committed %d", got)
	}
	rd := c.want(nfs.NFSStatusOk, nfs.NFSProcedureCommit, cat(fh(h), put32(nil, 0, 0, 0)))
	if r.store.SyncedLSN() < r.store.LastLSN() {
		t.Errorf("COMMIT: synced %d of %d", r.store.SyncedLSN(), r.store.LastLSN())
	}
	rd.take(len(rd.b) - 8)
	if rd.u64() != v {
		t.Error("COMMIT has another verifier than WRITE")
	}
	r.restart()
	c, _ = r.mounted()
	if _, again := write(0); again == v {
		t.Error("the verifier is the same after a restart")
	}
}

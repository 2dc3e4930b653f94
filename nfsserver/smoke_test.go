package nfsserver

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"deltafs/nfsserver/wire"
)

// TestMain fails where hardly an exchange was read by another implementation.
func TestMain(m *testing.M) {
	code := m.Run()
	if n := compared.Load(); code == 0 && n < 20 && flag.Lookup("test.run").Value.String() == "" {
		fmt.Println("only", n, "exchanges were compared")
		code = 1
	}
	os.Exit(code)
}

// TestEveryProcedure makes each call once and looks at what came of it.
func TestEveryProcedure(t *testing.T) {
	r := newRig(t)
	c := r.dial()
	root := c.mount("/")
	c.nfs(wire.ProcNull, &wire.Void{}, &wire.Void{})
	hello := c.lookup(root, "hello")
	if a := c.getattr(hello); a.Type != wire.TypeReg || a.Size != 13 || a.FSID == 0 || a.FileID == 0 {
		t.Errorf("GETATTR: %+v", a)
	}
	c.want("SETATTR", c.setattr(hello, mode(0o4600)).Status, wire.OK)
	if a := c.getattr(hello); a.Mode != 0o4600 {
		t.Errorf("mode %o", a.Mode)
	}
	var acc wire.AccessRes
	c.nfs(wire.ProcAccess, &wire.AccessArgs{Object: hello, Access: 0x3f}, &acc)
	if want := uint32(wire.AccessRead | wire.AccessModify | wire.AccessExtend); acc.Access != want {
		t.Errorf("ACCESS: %#x, want %#x", acc.Access, want)
	}
	f := c.create(root, "new")
	c.write(f, 3, "def")
	c.write(f, 0, "abc")
	if got := c.read(f); got != "abcdef" {
		t.Errorf("READ: %q", got)
	}
	var com wire.CommitRes
	c.nfs(wire.ProcCommit, &wire.RangeArgs{File: f}, &com)
	c.want("COMMIT", com.Status, wire.OK)
	d := c.mkdir(root, "made", 0o755)
	var sym wire.MakeRes
	c.nfs(wire.ProcSymlink, &wire.SymlinkArgs{Where: at(d, "sym"), Target: []byte("../new")}, &sym)
	c.want("SYMLINK", sym.Status, wire.OK)
	var rl wire.ReadlinkRes
	c.nfs(wire.ProcReadlink, &wire.ObjectArgs{Object: sym.Object.Handle}, &rl)
	if rl.Status != wire.OK || string(rl.Path) != "../new" {
		t.Errorf("READLINK: %v %q", rl.Status, rl.Path)
	}
	for _, typ := range []wire.FType{wire.TypeChr, wire.TypeBlk, wire.TypeSock, wire.TypeFIFO} {
		var mk wire.MakeRes
		c.nfs(wire.ProcMknod, &wire.MknodArgs{Where: at(d, typ.String()), Type: typ, Attr: mode(0o600), Major: 7, Minor: 9}, &mk)
		c.want("MKNOD", mk.Status, wire.OK)
		a := c.getattr(mk.Object.Handle)
		if a.Type != typ || (typ == wire.TypeChr || typ == wire.TypeBlk) != (a.RdevMajor == 7 && a.RdevMinor == 9) {
			t.Errorf("MKNOD %v: %+v", typ, a)
		}
	}
	c.want("LINK", c.link(f, d, "hard").Status, wire.OK)
	c.want("RENAME", c.rename(d, "hard", root, "moved").Status, wire.OK)
	c.want("REMOVE", c.remove(root, "new").Status, wire.OK)
	if got := c.read(c.lookup(root, "moved")); got != "abcdef" {
		t.Errorf("after LINK, RENAME and REMOVE: %q", got)
	}
	c.want("RMDIR", c.rmdir(root, "made").Status, wire.ErrNotEmpty)
	c.mkdir(root, "gone", 0o755)
	c.want("RMDIR", c.rmdir(root, "gone").Status, wire.OK)
	names := c.list(root, 300)
	slices.Sort(names)
	if want := []string{".", "..", "dir", "empty", "hello", "made", "moved"}; !slices.Equal(names, want) {
		t.Errorf("READDIR: %q, want %q", names, want)
	}
	var plus wire.ReaddirplusRes
	c.nfs(wire.ProcReaddirplus, &wire.ReaddirplusArgs{Dir: root, DirCount: 4096, MaxCount: 32768}, &plus)
	c.want("READDIRPLUS", plus.Status, wire.OK)
	for _, e := range plus.Entries {
		if !e.Attr.OK || !e.Handle.OK || e.FileID != e.Attr.Attr.FileID || e.Attr.Attr != c.getattr(e.Handle.Handle) {
			t.Errorf("READDIRPLUS %s: %+v", e.Name, e)
		}
	}
	var st wire.FsstatRes
	c.nfs(wire.ProcFsstat, &wire.ObjectArgs{Object: root}, &st)
	var fi wire.FsinfoRes
	c.nfs(wire.ProcFsinfo, &wire.ObjectArgs{Object: root}, &fi)
	var pc wire.PathconfRes
	c.nfs(wire.ProcPathconf, &wire.ObjectArgs{Object: root}, &pc)
	if st.Status != wire.OK || st.TotalBytes == 0 || fi.Status != wire.OK || fi.WtMax != maxTransfer || pc.Status != wire.OK || pc.NameMax != 255 {
		t.Errorf("%+v\n%+v\n%+v", st, fi, pc)
	}
}

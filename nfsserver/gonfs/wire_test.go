package gonfs

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-billy/v5"
	nfs "github.com/willscott/go-nfs"

	"deltafs/billyfs"
)

func TestReadsTheBaseAndWritesTheDelta(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	h := c.lookup(root, "hello")
	if got := c.read(h); got != "hello, world\n" {
		t.Errorf("read %q", got)
	}
	c.write(h, 7, "there")
	if got := c.read(h); got != "hello, there\n" {
		t.Errorf("read back %q", got)
	}
	n := c.create(root, "new")
	big := strings.Repeat("0123456789abcdef", 20000)
	c.write(n, 0, big)
	if got := c.read(n); got != big {
		t.Errorf("read back %d bytes that differ", len(got))
	}
	if got, want := c.list(root), []string{"dir", "empty", "hello", "new"}; !slices.Equal(got, want) {
		t.Errorf("list %q, want %q", got, want)
	}
	if b, err := os.ReadFile(filepath.Join(r.base, "hello")); err != nil || string(b) != "hello, world\n" {
		t.Errorf("the base changed: %q %v", b, err)
	}
	if e, err := os.ReadDir(r.base); err != nil || len(e) != 3 {
		t.Errorf("the base has %d names, %v", len(e), err)
	}
}

func TestOneHandlePerObject(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	dir := c.lookup(root, "dir")
	h := c.lookup(dir, "one")
	a := c.getattr(h)
	if a.Fileid == 0 || a.Nlink != 1 {
		t.Errorf("attributes %+v", a)
	}
	c.rename(dir, "one", root, "uno")
	if got := c.lookup(root, "uno"); !bytes.Equal(got, h) {
		t.Error("the handle changed by rename")
	}
	if got := c.getattr(h); got.Fileid != a.Fileid {
		t.Error("the fileid changed by rename")
	}
	c.write(h, 0, "eins")
	if got := c.read(h); got != "eins" {
		t.Errorf("open across rename: %q", got)
	}
}

func TestRenamedDirectoryKeepsItsChildren(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	dir := c.lookup(root, "dir")
	sub := c.lookup(dir, "sub")
	two := c.lookup(sub, "two")
	c.rename(root, "dir", root, "moved")
	if got := c.read(two); got != "22" {
		t.Errorf("child of a renamed directory: %q", got)
	}
	if got := c.lookup(sub, ".."); !bytes.Equal(got, dir) {
		t.Error("the parent of sub has another handle")
	}
	c.create(sub, "three")
	if got, want := c.list(sub), []string{"three", "two"}; !slices.Equal(got, want) {
		t.Errorf("list %q, want %q", got, want)
	}
	if got := c.lookup(root, ".."); !bytes.Equal(got, root) {
		t.Error("the root's parent is not the root")
	}
}

// A kernel creates without looking first when it opens for appending.
func TestCreateKeepsWhatIsThere(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	h := c.lookup(root, "hello")
	if got := c.create(root, "hello"); !bytes.Equal(got, h) {
		t.Error("another handle for the existing file")
	}
	if got := c.read(h); got != "hello, world\n" {
		t.Errorf("CREATE left %q", got)
	}
	args := cat(name(root, "hello"), put32(nil, 0), sizeAttr(5))
	c.want(nfs.NFSStatusOk, nfs.NFSProcedureCreate, args)
	if got := c.read(h); got != "hello" {
		t.Errorf("CREATE with size 5 left %q", got)
	}
}

func TestExclusiveCreate(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	args := func(verifier uint64) []byte {
		return binary.BigEndian.AppendUint64(cat(name(root, "lock"), put32(nil, 2)), verifier)
	}
	h := c.made(c.want(nfs.NFSStatusOk, nfs.NFSProcedureCreate, args(11)))
	again := c.made(c.want(nfs.NFSStatusOk, nfs.NFSProcedureCreate, args(11)))
	if !bytes.Equal(h, again) {
		t.Error("a retry made another file")
	}
	c.want(nfs.NFSStatusExist, nfs.NFSProcedureCreate, args(12))
	guarded := cat(name(root, "lock"), put32(nil, 1), noAttrs())
	c.want(nfs.NFSStatusExist, nfs.NFSProcedureCreate, guarded)
}

func TestStaleAndForgedHandles(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	h := c.create(root, "gone")
	b := c.lookup(root, "hello")
	c.remove(root, "gone")
	c.remove(root, "hello")
	for _, h := range [][]byte{h, b} {
		c.want(nfs.NFSStatusStale, nfs.NFSProcedureGetAttr, fh(h))
		c.want(nfs.NFSStatusStale, nfs.NFSProcedureLookup, name(h, "x"))
	}
	if got := c.create(root, "gone"); bytes.Equal(got, h) {
		t.Error("a new file got the handle of the old one")
	}
	forged := bytes.Clone(root)
	forged[20]++
	for _, bad := range [][]byte{forged, root[:32], {}, bytes.Repeat([]byte{0}, 64)} {
		c.want(nfs.NFSStatusBadHandle, nfs.NFSProcedureGetAttr, fh(bad))
		c.want(nfs.NFSStatusBadHandle, nfs.NFSProcedureFSStat, fh(bad))
	}
}

func TestHandlesOutliveTheServer(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	dir := c.lookup(root, "dir")
	two := c.lookup(c.lookup(dir, "sub"), "two")
	n := c.create(dir, "new")
	c.write(n, 0, "still here")
	c.rename(root, "dir", root, "moved")
	r.restart()
	c, again := r.mounted()
	if !bytes.Equal(root, again) {
		t.Error("the root has another handle")
	}
	if got := c.read(n); got != "still here" {
		t.Errorf("new file: %q", got)
	}
	if got := c.read(two); got != "22" {
		t.Errorf("base file: %q", got)
	}
}

// rm -rf: the client deletes what one page told it and asks for the next.
func TestDeleteWhileListing(t *testing.T) {
	const files = 5000
	for _, plus := range []bool{false, true} {
		r := newRig(t)
		c, root := r.mounted()
		dir := c.mkdir(root, "many")
		for i := range files {
			c.create(dir, numbered(i))
		}
		seen := 0
		for p := (page{}); !p.eof; {
			if plus {
				p = c.readdirplus(dir, p.cookie, p.verifier)
			} else {
				p = c.readdir(dir, p.cookie, p.verifier)
			}
			for _, s := range p.names {
				if s != numbered(seen) {
					t.Fatalf("name %d is %s", seen, s)
				}
				seen++
				c.remove(dir, s)
			}
		}
		if seen != files {
			t.Errorf("plus %v: saw %d names of %d", plus, seen, files)
		}
		c.want(nfs.NFSStatusOk, nfs.NFSProcedureRmDir, name(root, "many"))
	}
}

// A listing that a client is half through goes on after a restart.
func TestListingOutlivesTheServer(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	for i := range 100 {
		c.create(root, numbered(i))
	}
	first := c.readdir(root, 0, 0)
	r.restart()
	c, _ = r.mounted()
	all := first.names
	for p := first; !p.eof; {
		p = c.readdir(root, p.cookie, p.verifier)
		all = append(all, p.names...)
	}
	if !slices.IsSorted(all) || len(all) != 103 {
		t.Errorf("%d names: %q", len(all), all)
	}
}

// A listing can be resumed behind each entry, "." and ".." too, and fills the
// room that the client has, without ever being longer.
func TestListingResumesAtEachCookie(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	dir := c.mkdir(root, "d")
	const files = 60
	for i := range files {
		c.create(dir, numbered(i))
	}
	for cookie := range uint64(files + 3) {
		for _, list := range []func([]byte, uint64, uint64) page{c.readdir, c.readdirplus} {
			p := list(dir, cookie, 0)
			want := max(int(cookie)-cookieDotDot, 0)
			if !p.eof || len(p.names) != files-want || len(p.names) > 0 && p.names[0] != numbered(want) {
				t.Fatalf("behind %d: %d names, %v", cookie, len(p.names), p.eof)
			}
		}
	}
	for _, room := range []uint32{1024, 1500, 4096, 1 << 16, 1<<32 - 1} {
		args := put32(cat(fh(dir), put32(nil, 0, 0, 0, 0)), room)
		rd := c.want(nfs.NFSStatusOk, nfs.NFSProcedureReadDir, args)
		if n := int64(len(rd.b) + 4); n > int64(room) {
			t.Errorf("%d bytes where there is room for %d", n, room)
		}
		if p := c.page(rd, false); len(p.names) < min(files, (int(min(room, 1<<16))-200)/60) {
			t.Errorf("only %d names in %d bytes", len(p.names), room)
		}
	}
	c.want(nfs.NFSStatusTooSmall, nfs.NFSProcedureReadDir, put32(cat(fh(dir), put32(nil, 0, 0, 0, 0)), 100))
}

func TestListingsShowWhatIsNow(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	c.lookup(root, "hello")
	p := c.readdirplus(root, 0, 0)
	i := slices.Index(p.names, "hello")
	if i < 0 || !bytes.Equal(p.handles[i], c.lookup(root, "hello")) {
		t.Fatalf("listing %q has another handle than LOOKUP", p.names)
	}
}

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

func TestSpecialFiles(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	for _, k := range []struct {
		name     string
		args     []byte
		typ      uint32
		maj, min uint32
	}{
		{"block", cat(put32(nil, 3), modeAttr(0o600), put32(nil, 8, 1)), 3, 8, 1},
		{"char", cat(put32(nil, 4), modeAttr(0o620), put32(nil, 4, 64)), 4, 4, 64},
		{"socket", cat(put32(nil, 6), modeAttr(0o755)), 6, 0, 0},
		{"fifo", cat(put32(nil, 7), modeAttr(0o644)), 7, 0, 0},
	} {
		h := c.made(c.want(nfs.NFSStatusOk, nfs.NFSProcedureMkNod, cat(name(root, k.name), k.args)))
		if !bytes.Equal(h, c.lookup(root, k.name)) {
			t.Errorf("%s: MKNOD and LOOKUP disagree about the handle", k.name)
		}
		if a := c.getattr(h); a.Type != k.typ || a.Major != k.maj || a.Minor != k.min {
			t.Errorf("%s: %+v", k.name, a)
		}
		c.want(nfs.NFSStatusExist, nfs.NFSProcedureMkNod, cat(name(root, k.name), k.args))
		c.want(nfs.NFSStatusInval, nfs.NFSProcedureRead, cat(fh(h), put32(nil, 0, 0, 10)))
	}
	c.want(nfs.NFSStatusBadType, nfs.NFSProcedureMkNod, cat(name(root, "x"), put32(nil, 1)))
}

func TestSymlinks(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	args := cat(name(root, "link"), noAttrs(), putOpaque(nil, []byte("nowhere/at all")))
	h := c.made(c.want(nfs.NFSStatusOk, nfs.NFSProcedureSymlink, args))
	rd := c.want(nfs.NFSStatusOk, nfs.NFSProcedureReadlink, fh(h))
	if rd.u32() != 0 {
		readFattr(rd)
	}
	if got := string(rd.opaque(4096)); got != "nowhere/at all" {
		t.Errorf("target %q", got)
	}
	if a := c.getattr(h); a.Type != 5 {
		t.Errorf("type %d", a.Type)
	}
	// A create through a dangling symlink must not write elsewhere.
	c.want(nfs.NFSStatusExist, nfs.NFSProcedureCreate, cat(name(root, "link"), put32(nil, 0), noAttrs()))
	c.want(nfs.NFSStatusInval, nfs.NFSProcedureReadlink, fh(c.lookup(root, "hello")))
}

func TestHardLinks(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	h, dir := c.lookup(root, "hello"), c.lookup(root, "dir")
	if rd := c.want(nfs.NFSStatusOk, nfs.NFSProcedureLink, cat(fh(h), name(dir, "other"))); len(rd.b) != 12 {
		t.Errorf("LINK results of %d bytes", len(rd.b))
	}
	if got := c.lookup(dir, "other"); !bytes.Equal(got, h) {
		t.Error("the link is another object")
	}
	if a := c.getattr(h); a.Nlink != 2 {
		t.Errorf("nlink %d", a.Nlink)
	}
	c.want(nfs.NFSStatusExist, nfs.NFSProcedureLink, cat(fh(h), name(dir, "other")))
	c.want(nfs.NFSStatusBadHandle, nfs.NFSProcedureLink, cat(fh(h[:8]), name(dir, "third")))
	c.remove(root, "hello")
	if got := c.read(h); got != "hello, world\n" {
		t.Errorf("after one name is gone: %q", got)
	}
}

// What fails fails with the status that RFC 1813 has for it.
func TestExactErrors(t *testing.T) {
	r := newRig(t)
	c, root := r.mounted()
	dir, file := c.lookup(root, "dir"), c.lookup(root, "hello")
	long := strings.Repeat("x", 256)
	for _, k := range []struct {
		what   string
		status nfs.NFSStatus
		proc   nfs.NFSProcedure
		args   []byte
	}{
		{"lookup of nothing", nfs.NFSStatusNoEnt, nfs.NFSProcedureLookup, name(root, "nothing")},
		{"lookup in a file", nfs.NFSStatusNotDir, nfs.NFSProcedureLookup, name(file, "x")},
		{"lookup of a long name", nfs.NFSStatusNameTooLong, nfs.NFSProcedureLookup, name(root, long)},
		{"lookup of a path", nfs.NFSStatusInval, nfs.NFSProcedureLookup, name(root, "dir/one")},
		{"rmdir of a file", nfs.NFSStatusNotDir, nfs.NFSProcedureRmDir, name(root, "hello")},
		{"rmdir of a full directory", nfs.NFSStatusNotEmpty, nfs.NFSProcedureRmDir, name(root, "dir")},
		{"rmdir of nothing", nfs.NFSStatusNoEnt, nfs.NFSProcedureRmDir, name(root, "nothing")},
		{"remove of a directory", nfs.NFSStatusIsDir, nfs.NFSProcedureRemove, name(root, "dir")},
		{"remove of nothing", nfs.NFSStatusNoEnt, nfs.NFSProcedureRemove, name(root, "nothing")},
		{"remove of a long name", nfs.NFSStatusNameTooLong, nfs.NFSProcedureRemove, name(root, long)},
		{"remove of ..", nfs.NFSStatusInval, nfs.NFSProcedureRemove, name(dir, "..")},
		{"mkdir over a file", nfs.NFSStatusExist, nfs.NFSProcedureMkDir, cat(name(root, "hello"), noAttrs())},
		{"mkdir over a directory", nfs.NFSStatusExist, nfs.NFSProcedureMkDir, cat(name(root, "dir"), noAttrs())},
		{"mkdir in a file", nfs.NFSStatusNotDir, nfs.NFSProcedureMkDir, cat(name(file, "x"), noAttrs())},
		{"create over a directory", nfs.NFSStatusExist, nfs.NFSProcedureCreate, cat(name(root, "dir"), put32(nil, 0), noAttrs())},
		{"create of a path", nfs.NFSStatusInval, nfs.NFSProcedureCreate, cat(name(root, "a/b"), put32(nil, 0), noAttrs())},
		{"rename of a directory into itself", nfs.NFSStatusInval, nfs.NFSProcedureRename, cat(name(root, "dir"), name(dir, "x"))},
		{"rename of a file over a directory", nfs.NFSStatusIsDir, nfs.NFSProcedureRename, cat(name(root, "hello"), name(root, "dir"))},
		{"rename of a directory over a full one", nfs.NFSStatusNotEmpty, nfs.NFSProcedureRename, cat(name(dir, "sub"), name(root, "dir"))},
		{"rename of nothing", nfs.NFSStatusNoEnt, nfs.NFSProcedureRename, cat(name(root, "nothing"), name(root, "x"))},
		{"symlink over a file", nfs.NFSStatusExist, nfs.NFSProcedureSymlink, cat(name(root, "hello"), noAttrs(), fh([]byte("t")))},
		{"readdir of a file", nfs.NFSStatusNotDir, nfs.NFSProcedureReadDir, cat(fh(file), put32(nil, 0, 0, 0, 0, 4096))},
		{"read of a directory", nfs.NFSStatusIsDir, nfs.NFSProcedureRead, cat(fh(dir), put32(nil, 0, 0, 10))},
		{"write far out", nfs.NFSStatusFBig, nfs.NFSProcedureWrite, cat(fh(file), put32(nil, 1<<31, 0, 1, 0, 1, 0))},
		{"size beyond all", nfs.NFSStatusFBig, nfs.NFSProcedureSetAttr, cat(fh(file), put32(nil, 0, 0, 0, 1, 1<<31, 0, 0, 0, 0))},
		{"size of a directory", nfs.NFSStatusIsDir, nfs.NFSProcedureSetAttr, cat(fh(dir), sizeAttr(0), put32(nil, 0))},
	} {
		if got, _ := c.nfs(k.proc, k.args); got != k.status {
			t.Errorf("%s: %v, want %v", k.what, got, k.status)
		}
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
	if links := rd.u32(); links != maxLinks || len(rd.b) != 20 {
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

func TestMounts(t *testing.T) {
	r := newRig(t)
	r.stop()
	r.opts.Export = "/export"
	r.restart()
	c := dial(t, r.addr)
	root := c.mount("/export")
	if got := c.mount("/export/"); !bytes.Equal(got, root) {
		t.Error("a slash at the end changes the root")
	}
	sub := c.mount("/export/dir/sub")
	if !bytes.Equal(sub, c.lookup(c.lookup(root, "dir"), "sub")) {
		t.Error("a mounted directory has a handle of its own")
	}
	for path, want := range map[string]nfs.MountStatus{
		"/": nfs.MountStatusErrNoEnt, "/other": nfs.MountStatusErrNoEnt, "/exporter": nfs.MountStatusErrNoEnt,
		"/export/none": nfs.MountStatusErrNoEnt, "/export/hello": nfs.MountStatusErrNotDir,
		"/export/../etc": nfs.MountStatusErrNoEnt, "/export/\x00": nfs.MountStatusErrNoEnt,
		"/export/" + strings.Repeat("n", 300): nfs.MountStatusErrNameTooLong,
	} {
		if got, _ := c.tryMount(path); got != want {
			t.Errorf("mount %q: %d, want %d", path, got, want)
		}
	}
	stat, rd := c.rpc(progMount, 3, uint32(nfs.MountProcExport), nil)
	if more, path := rd.u32(), string(rd.opaque(1024)); stat != 0 || more != 1 || path != "/export" {
		t.Errorf("EXPORT: %d %d %q", stat, more, path)
	}
	for proc, want := range map[nfs.MountProcedure]uint32{
		nfs.MountProcNull: 0, nfs.MountProcDump: 0, nfs.MountProcUmntAll: 0, 6: procUnavail,
	} {
		if stat, _ := c.rpc(progMount, 3, uint32(proc), nil); stat != want {
			t.Errorf("mount procedure %d: accept_stat %d", proc, stat)
		}
	}
	c.rpc(progMount, 3, uint32(nfs.MountProcUmnt), putOpaque(nil, []byte("/export")))
}

func TestBadExport(t *testing.T) {
	r := newRig(t)
	for _, e := range []string{"a\x00b", strings.Repeat("e", 2000)} {
		if _, err := New(r.tree, Options{Export: e}); err == nil {
			t.Errorf("export %.20q accepted", e)
		}
	}
}

// Without the guard, as an nfs.Handler in another program, handles and the
// file system work all the same.
func TestHandlerAlone(t *testing.T) {
	r := newRig(t)
	f := billy.Filesystem(&view{h: r.h, root: r.tree.Root()})
	root := r.h.ToHandle(f, nil)
	fs, p, err := r.h.FromHandle(root)
	if err != nil {
		t.Fatal(err)
	}
	file, err := fs.Create(fs.Join(append(p, "new")...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte("text")); err != nil {
		t.Fatal(err)
	}
	change := r.h.Change(fs).(nfs.UnixChange)
	if err := change.Chmod(file.Name(), 0o640|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	fi, err := fs.Lstat(file.Name())
	if err != nil || fi.Size() != 4 || fi.Mode() != 0o2640 {
		t.Errorf("%v %v", fi, err)
	}
	if err := change.Link(file.Name(), fs.Join(append(p, "link")...)); err != nil {
		t.Error(err)
	}
	if err := change.Mkfifo(fs.Join(append(p, "fifo")...), 0o600); err != nil {
		t.Error(err)
	}
	if err := fs.Remove(fs.Join(append(p, "new")...)); err != nil {
		t.Error(err)
	}
	if err := fs.Remove(fs.Join(append(p, "none")...)); !os.IsNotExist(err) {
		t.Errorf("remove of nothing: %v", err)
	}
	if _, err := r.tree.Lookup(r.tree.Root(), "new"); billyfs.KindOf(err) != billyfs.NotExist {
		t.Errorf("new is still there: %v", err)
	}
}

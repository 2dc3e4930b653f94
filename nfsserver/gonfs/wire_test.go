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

package nfsserver

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"deltafs/nfsserver/wire"
)

// TestHardLinks: what is written through one name is read through the other, in
// another directory: it is one object with one handle.
func TestHardLinks(t *testing.T) {
	r := newRig(t)
	c := r.dial()
	root := c.mount("/")
	for _, path := range []string{"hello", "made"} { // of the base, and of the delta
		f := []byte(nil)
		if path == "made" {
			f = c.create(root, path)
		} else {
			f = c.lookup(root, path)
		}
		dir := c.lookup(root, "dir")
		l := c.link(f, dir, path+"2")
		c.want("LINK", l.Status, wire.OK)
		if !l.Attr.OK || l.Attr.Attr.Nlink != 2 || !l.DirWcc.Before.OK || !l.DirWcc.After.OK {
			t.Errorf("LINK: %+v", l)
		}
		other := c.lookup(root, "dir/"+path+"2")
		if !bytes.Equal(f, other) {
			t.Errorf("%s has two handles", path)
		}
		c.write(f, 0, "through one")
		if got := c.read(other); !strings.HasPrefix(got, "through one") {
			t.Errorf("%s: %q through the other name", path, got)
		}
		c.want("LINK again", c.link(f, dir, path+"2").Status, wire.ErrExist)
		c.want("LINK of a directory", c.link(dir, root, "no").Status, wire.ErrPerm)
	}
}

// TestHandlesStay: a handle is the same, byte for byte, after a rename into another
// directory, of the object or of its directory, and after a restart.
func TestHandlesStay(t *testing.T) {
	r := newRig(t)
	c := r.dial()
	root := c.mount("/")
	one, two, fresh := c.lookup(root, "dir/one"), c.lookup(root, "dir/sub/two"), c.create(root, "fresh")
	id := c.getattr(two).FileID
	c.want("RENAME", c.rename(c.lookup(root, "dir"), "one", root, "uno").Status, wire.OK)
	c.want("RENAME", c.rename(c.lookup(root, "dir"), "sub", root, "moved").Status, wire.OK)
	c.want("RENAME", c.rename(root, "fresh", c.lookup(root, "moved"), "stale").Status, wire.OK)
	check := func() {
		t.Helper()
		for path, h := range map[string][]byte{"uno": one, "moved/two": two, "moved/stale": fresh} {
			if !bytes.Equal(c.lookup(root, path), h) {
				t.Errorf("the handle of %s has changed", path)
			}
		}
		if got := c.read(two); got != "22" || c.getattr(two).FileID != id {
			t.Errorf("by its old handle: %q", got)
		}
	}
	check()
	r.restart()
	c = r.dial()
	check()
}

// TestCreateModes: UNCHECKED keeps what is there unless a size is sent, GUARDED and
// EXCLUSIVE refuse it, and EXCLUSIVE knows its own again.
func TestCreateModes(t *testing.T) {
	r := newRig(t)
	c := r.dial()
	root := c.mount("/")
	hello := c.lookup(root, "hello")
	res := c.tryCreate(root, "hello", wire.Unchecked, mode(0o600))
	c.want("CREATE UNCHECKED", res.Status, wire.OK)
	if !bytes.Equal(res.Object.Handle, hello) || c.read(hello) != "hello, world\n" {
		t.Error("UNCHECKED without a size has changed the file")
	}
	res = c.tryCreate(root, "hello", wire.Unchecked, wire.Sattr{SetSize: true, Size: 2})
	c.want("CREATE UNCHECKED with a size", res.Status, wire.OK)
	if got := c.read(hello); got != "he" {
		t.Errorf("with a size of 2: %q", got)
	}
	c.want("CREATE GUARDED", c.tryCreate(root, "hello", wire.Guarded, mode(0o600)).Status, wire.ErrExist)
	exclusive := func(c *testClient, v byte) wire.MakeRes {
		t.Helper()
		var m wire.MakeRes
		c.nfs(wire.ProcCreate, &wire.CreateArgs{Where: at(root, "ex"), How: wire.Exclusive, Verifier: [8]byte{v}}, &m)
		return m
	}
	first := exclusive(c, 1)
	c.want("CREATE EXCLUSIVE", first.Status, wire.OK)
	again := exclusive(c, 1)
	c.want("the same again", again.Status, wire.OK)
	if !bytes.Equal(first.Object.Handle, again.Object.Handle) {
		t.Error("the same EXCLUSIVE made another file")
	}
	c.want("another", exclusive(c, 2).Status, wire.ErrExist)
	r.restart()
	c = r.dial()
	c.want("the same after a restart", exclusive(c, 1).Status, wire.OK)
	var sym wire.MakeRes
	c.nfs(wire.ProcSymlink, &wire.SymlinkArgs{Where: at(root, "dangling"), Target: []byte("elsewhere")}, &sym)
	c.want("CREATE over a symlink", c.tryCreate(root, "dangling", wire.Unchecked, mode(0o600)).Status, wire.ErrExist)
	c.want("CREATE over a directory", c.tryCreate(root, "dir", wire.Unchecked, mode(0o600)).Status, wire.ErrIsDir)
}

// TestGuard: SETATTR with a ctime that is not the object's changes nothing.
func TestGuard(t *testing.T) {
	c := newRig(t).dial()
	hello := c.lookup(c.mount("/"), "hello")
	ctime := c.getattr(hello).Ctime
	set := func(guard wire.Time) wire.WccRes {
		var r wire.WccRes
		c.nfs(wire.ProcSetattr, &wire.SetattrArgs{Object: hello, Attr: mode(0o600), Guard: true, GuardCtime: guard}, &r)
		return r
	}
	r := set(wire.Time{Sec: ctime.Sec + 1, Nsec: ctime.Nsec})
	if c.want("with another ctime", r.Status, wire.ErrNotSync); !r.Wcc.After.OK || c.getattr(hello).Mode != 0o644 {
		t.Errorf("%+v", r)
	}
	c.want("with its ctime", set(ctime).Status, wire.OK)
	if c.getattr(hello).Mode != 0o600 {
		t.Error("not set")
	}
}

// TestWcc: every reply to a change has the state right before and right after it,
// so that a client keeps what it has cached.
func TestWcc(t *testing.T) {
	c := newRig(t).dial()
	root := c.mount("/")
	dir, other := c.mkdir(root, "d", 0o755), c.mkdir(root, "o", 0o755)
	f := c.create(dir, "f")
	cached := map[string]wire.Fattr{}
	same := func(what, obj string, fh []byte, w wire.Wcc) {
		t.Helper()
		was := cached[obj]
		if !w.Before.OK || !w.After.OK {
			t.Fatalf("%s: %+v", what, w)
		}
		if w.Before.WccAttr != (wire.WccAttr{Size: was.Size, Mtime: was.Mtime, Ctime: was.Ctime}) {
			t.Errorf("%s: before %+v, the client knows %+v", what, w.Before, was)
		}
		if w.After.Attr.Ctime == was.Ctime {
			t.Errorf("%s: ctime has not moved", what)
		}
		if now := c.getattr(fh); w.After.Attr != now {
			t.Errorf("%s: after %+v, it is %+v", what, w.After.Attr, now)
		}
		cached[obj] = w.After.Attr
	}
	cached["d"], cached["o"], cached["f"] = c.getattr(dir), c.getattr(other), c.getattr(f)
	same("SETATTR", "f", f, c.setattr(f, mode(0o640)).Wcc)
	same("WRITE", "f", f, c.tryWrite(f, 0, "data", wire.Unstable).Wcc)
	same("SETATTR size", "f", f, c.setattr(f, wire.Sattr{SetSize: true, Size: 2}).Wcc)
	same("CREATE", "d", dir, c.tryCreate(dir, "g", wire.Guarded, mode(0o600)).DirWcc)
	var m wire.MakeRes
	c.nfs(wire.ProcMkdir, &wire.MkdirArgs{Where: at(dir, "sub")}, &m)
	same("MKDIR", "d", dir, m.DirWcc)
	c.nfs(wire.ProcSymlink, &wire.SymlinkArgs{Where: at(dir, "sym"), Target: []byte("x")}, &m)
	same("SYMLINK", "d", dir, m.DirWcc)
	c.nfs(wire.ProcMknod, &wire.MknodArgs{Where: at(dir, "fifo"), Type: wire.TypeFIFO}, &m)
	same("MKNOD", "d", dir, m.DirWcc)
	same("LINK", "d", dir, c.link(f, dir, "h").DirWcc)
	ren := c.rename(dir, "g", other, "g")
	same("RENAME from", "d", dir, ren.FromWcc)
	same("RENAME to", "o", other, ren.ToWcc)
	same("REMOVE", "d", dir, c.remove(dir, "h").Wcc)
	same("RMDIR", "d", dir, c.rmdir(dir, "sub").Wcc)
	// Failures have the attributes too.
	for what, w := range map[string]wire.Wcc{
		"REMOVE": c.remove(dir, "none").Wcc, "RMDIR": c.rmdir(dir, "f").Wcc, "CREATE": c.tryCreate(dir, "f", wire.Guarded, mode(0)).DirWcc,
		"LINK": c.link(f, dir, "f").DirWcc, "RENAME": c.rename(dir, "none", other, "x").FromWcc, "RENAME to": c.rename(dir, "none", other, "x").ToWcc,
		"LOOKUP": {After: c.tryLookup(dir, "none").DirAttr},
	} {
		if !w.After.OK {
			t.Errorf("%s that fails has no attributes", what)
		}
	}
}

// TestStatuses: what fails fails with the status that RFC 1813 has for it.
func TestStatuses(t *testing.T) {
	c := newRig(t).dial()
	root := c.mount("/")
	hello, dir := c.lookup(root, "hello"), c.lookup(root, "dir")
	long := strings.Repeat("n", 256)
	mk := func(dir []byte, name string) wire.Status {
		var m wire.MakeRes
		c.nfs(wire.ProcMkdir, &wire.MkdirArgs{Where: at(dir, name)}, &m)
		return m.Status
	}
	readlink := func(fh []byte) wire.Status {
		var r wire.ReadlinkRes
		c.nfs(wire.ProcReadlink, &wire.ObjectArgs{Object: fh}, &r)
		return r.Status
	}
	read := func(fh []byte) wire.Status {
		var r wire.ReadRes
		c.nfs(wire.ProcRead, &wire.RangeArgs{File: fh, Count: 1}, &r)
		return r.Status
	}
	readdir := func(fh []byte, count uint32) wire.Status {
		var r wire.ReaddirRes
		c.nfs(wire.ProcReaddir, &wire.ReaddirArgs{Dir: fh, Count: count}, &r)
		return r.Status
	}
	mknod := func(typ wire.FType) wire.Status {
		var m wire.MakeRes
		c.nfs(wire.ProcMknod, &wire.MknodArgs{Where: at(root, "node"), Type: typ}, &m)
		return m.Status
	}
	for what, k := range map[string]struct{ got, want wire.Status }{
		"LOOKUP in a file":              {c.tryLookup(hello, "x").Status, wire.ErrNotDir},
		"LOOKUP of nothing":             {c.tryLookup(root, "none").Status, wire.ErrNoEnt},
		"LOOKUP of a long name":         {c.tryLookup(root, long).Status, wire.ErrNameTooLong},
		"LOOKUP of an empty name":       {c.tryLookup(root, "").Status, wire.ErrInval},
		"LOOKUP of a path":              {c.tryLookup(root, "dir/one").Status, wire.ErrInval},
		"LOOKUP of .":                   {c.tryLookup(dir, ".").Status, wire.OK},
		"LOOKUP of ..":                  {c.tryLookup(dir, "..").Status, wire.OK},
		"MKDIR over a file":             {mk(root, "hello"), wire.ErrExist},
		"MKDIR in a file":               {mk(hello, "x"), wire.ErrNotDir},
		"MKDIR of a long name":          {mk(root, long), wire.ErrNameTooLong},
		"MKDIR of .":                    {mk(root, "."), wire.ErrExist},
		"REMOVE of a directory":         {c.remove(root, "dir").Status, wire.ErrIsDir},
		"REMOVE of nothing":             {c.remove(root, "none").Status, wire.ErrNoEnt},
		"RMDIR of a file":               {c.rmdir(root, "hello").Status, wire.ErrNotDir},
		"RMDIR of a full one":           {c.rmdir(root, "dir").Status, wire.ErrNotEmpty},
		"RMDIR of .":                    {c.rmdir(root, ".").Status, wire.ErrInval},
		"RMDIR of ..":                   {c.rmdir(root, "..").Status, wire.ErrExist},
		"RENAME of nothing":             {c.rename(root, "none", root, "x").Status, wire.ErrNoEnt},
		"RENAME of a file over a dir":   {c.rename(root, "hello", root, "dir").Status, wire.ErrIsDir},
		"RENAME of a dir over a file":   {c.rename(root, "dir", root, "hello").Status, wire.ErrNotDir},
		"RENAME below itself":           {c.rename(root, "dir", dir, "x").Status, wire.ErrInval},
		"RENAME over a full one":        {c.rename(dir, "sub", root, "dir").Status, wire.ErrNotEmpty},
		"RENAME to itself":              {c.rename(root, "hello", root, "hello").Status, wire.OK},
		"READLINK of a file":            {readlink(hello), wire.ErrInval},
		"READ of a directory":           {read(dir), wire.ErrIsDir},
		"WRITE to a directory":          {c.tryWrite(dir, 0, "x", wire.Unstable).Status, wire.ErrIsDir},
		"WRITE beyond what there is":    {c.tryWrite(hello, 1<<63, "x", wire.Unstable).Status, wire.ErrFBig},
		"WRITE over the end of numbers": {c.tryWrite(hello, 1<<64-1, "xx", wire.Unstable).Status, wire.ErrFBig},
		"SETATTR size of a directory":   {c.setattr(dir, wire.Sattr{SetSize: true}).Status, wire.ErrIsDir},
		"SETATTR of a huge size":        {c.setattr(hello, wire.Sattr{SetSize: true, Size: 1 << 63}).Status, wire.ErrFBig},
		"READDIR of a file":             {readdir(hello, 4096), wire.ErrNotDir},
		"READDIR of few bytes":          {readdir(root, 20), wire.ErrTooSmall},
		"MKNOD of a file":               {mknod(wire.TypeReg), wire.ErrBadType},
		"MKNOD of a directory":          {mknod(wire.TypeDir), wire.ErrBadType},
		"MKNOD of nothing":              {mknod(0), wire.ErrBadType},
	} {
		if k.got != k.want {
			t.Errorf("%s: %v, want %v", what, k.got, k.want)
		}
	}
	var r wire.ReadRes
	c.nfs(wire.ProcRead, &wire.RangeArgs{File: hello, Offset: 1 << 63, Count: 10}, &r)
	if r.Status != wire.OK || !r.EOF || r.Count != 0 {
		t.Errorf("READ behind the end of numbers: %+v", r)
	}
}

// TestExportsApart: two stores over one base, mounted at once, never show each
// other's data, nor take each other's handles.
func TestExportsApart(t *testing.T) {
	d := newDisk(t, "")
	r := serveDisks(t, Options{Access: Access{TrustLoopback: true}},
		map[string]*disk{"/a": d, "/b": newDisk(t, d.base)})
	c := r.dial()
	a, b := c.mount("/a"), c.mount("/b")
	if bytes.Equal(a, b) || c.getattr(a).FSID == c.getattr(b).FSID {
		t.Error("two exports look like one")
	}
	c.write(c.lookup(a, "hello"), 0, "HELLO")
	c.create(b, "only b")
	if got := c.read(c.lookup(b, "hello")); got != "hello, world\n" {
		t.Errorf("b shows what a has written: %q", got)
	}
	c.want("LOOKUP", c.tryLookup(a, "only b").Status, wire.ErrNoEnt)
	c.want("LINK", c.link(c.lookup(a, "hello"), b, "x").Status, wire.ErrXDev)
	c.want("RENAME", c.rename(a, "hello", b, "x").Status, wire.ErrXDev)
	r.restart()
	c = r.dial()
	if !bytes.Equal(c.mount("/a"), a) || c.read(c.lookup(a, "hello")) != "HELLO, world\n" || c.read(c.lookup(b, "hello")) != "hello, world\n" {
		t.Error("after a restart they are others")
	}
}

// TestListingPages: a listing in pages of any size has each name once, resumes
// behind each entry, and no reply is longer than asked.
func TestListingPages(t *testing.T) {
	c := newRig(t).dial()
	dir := c.mkdir(c.mount("/"), "many", 0o755)
	want := []string{".", ".."}
	for i := range 300 {
		name := fmt.Sprintf("%0*d", 1+i%40, i)
		c.create(dir, name)
		want = append(want, name)
	}
	slices.Sort(want)
	for _, count := range []uint32{180, 512, 4096, 1 << 20, 1<<32 - 1} {
		got := c.list(dir, count)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %d names, want %d", count, len(got), len(want))
		}
	}
	var all wire.ReaddirplusRes
	c.nfs(wire.ProcReaddirplus, &wire.ReaddirplusArgs{Dir: dir, DirCount: 1 << 20, MaxCount: 1 << 20}, &all)
	for i, e := range all.Entries {
		for _, max := range []uint32{600, 2000} {
			b, err := c.raw(wire.ProgNFS, 3, wire.ProcReaddirplus,
				&wire.ReaddirplusArgs{Dir: dir, Cookie: e.Cookie, DirCount: max / 2, MaxCount: max})
			if err != nil || len(b) > int(max)+4 {
				t.Fatalf("%d bytes of %d, error %v", len(b), max, err)
			}
			var r wire.ReaddirplusRes
			decode(t, b, &r)
			if i+1 < len(all.Entries) && (len(r.Entries) == 0 || !bytes.Equal(r.Entries[0].Name, all.Entries[i+1].Name)) {
				t.Fatalf("behind %q comes %v", e.Name, r.Entries)
			}
		}
	}
	// Deleting what one page told and asking for the next deletes all.
	a := wire.ReaddirArgs{Dir: dir, Count: 700}
	for {
		var r wire.ReaddirRes
		c.nfs(wire.ProcReaddir, &a, &r)
		for _, e := range r.Entries {
			if n := string(e.Name); n != "." && n != ".." {
				c.want("REMOVE", c.remove(dir, n).Status, wire.OK)
			}
			a.Cookie = e.Cookie
		}
		if r.EOF {
			break
		}
	}
	if left := c.list(dir, 4096); len(left) != 2 {
		t.Errorf("left: %q", left)
	}
}

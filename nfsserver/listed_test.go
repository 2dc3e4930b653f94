package nfsserver

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deltafs/billyfs"
	"deltafs/nfsserver/wire"
)

// listedFS counts listings, and those that were kept and still hold.
type listedFS struct {
	*billyfs.Tree
	read atomic.Int64
}

func (f *listedFS) ReadDirPlus(dir billyfs.Ino, cookie uint64, fn func(billyfs.DirEntry, *billyfs.Plus) bool) (bool, error) {
	f.read.Add(1)
	return f.Tree.ReadDirPlus(dir, cookie, fn)
}

// newListed serves a base of three directories. now is the clock of the tree; nil: the real one.
func newListed(t *testing.T, now func() int64) (*direct, *disk, *listedFS) {
	t.Helper()
	dsk := newDisk(t, "")
	for i := range 3 {
		for k := range 40 {
			p := filepath.Join(dsk.base, fmt.Sprintf("d%d", i), fmt.Sprintf("f%02d", k))
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, make([]byte, i*k), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	var err error
	if dsk.tree, err = billyfs.Open(dsk.fs, dsk.store, billyfs.Options{Now: now}); err != nil {
		t.Fatal(err)
	}
	fs := &listedFS{Tree: dsk.tree}
	e := dsk.export("/")
	e.FS = fs
	s, err := New(Options{Exports: []Export{e}})
	if err != nil {
		t.Fatal(err)
	}
	return &direct{t, s, &client{local: true}, 0}, dsk, fs
}

// list is one READDIRPLUS, its results as they are.
func (d *direct) list(dir []byte, cookie uint64) []byte {
	d.Helper()
	a := wire.ReaddirplusArgs{Dir: dir, Cookie: cookie, DirCount: 8192, MaxCount: 32768}
	rec := a.Append(wire.AppendCall(nil, &wire.Call{XID: 9, Prog: wire.ProgNFS, Vers: 3, Proc: wire.ProcReaddirplus, Cred: wire.Cred{Flavor: wire.AuthSys}}))
	b, err := wire.ParseReply(d.s.answer(nil, d.from, rec, nil), 9)
	if err != nil {
		d.Fatal(err)
	}
	return b
}

// TestListingsThatAreKept: whatever changes, and whoever changes it, a listing says what it would say if none had been kept.
func TestListingsThatAreKept(t *testing.T) {
	const seed = 3
	rng := rand.New(rand.NewPCG(seed, 0))
	var clock atomic.Int64 // several look at it at a time
	clock.Store(time.Now().UnixNano())
	d, dsk, fs := newListed(t, func() int64 { return clock.Add(1000) })
	root := mustHandle(t, d.s)
	lookup := func(dir []byte, name string) []byte {
		var r wire.LookupRes
		d.nfs(wire.ProcLookup, &wire.LookupArgs{What: at(dir, name)}, &r)
		if r.Status != wire.OK {
			return nil
		}
		return bytes.Clone(r.Object)
	}
	dirs := [][]byte{root}
	for i := range 3 {
		dirs = append(dirs, lookup(root, fmt.Sprintf("d%d", i)))
	}
	name := func() string { return fmt.Sprintf("f%02d", rng.IntN(50)) }
	var made wire.MakeRes
	var w wire.WccRes
	changes := []struct {
		what string
		do   func(dir []byte)
	}{
		{"nothing", func([]byte) {}},
		{"half a second", func([]byte) { clock.Add(5e8) }},
		{"a second", func([]byte) { clock.Add(1e9) }},
		{"GETATTR", func(dir []byte) {
			var r wire.GetattrRes
			d.nfs(wire.ProcGetattr, &wire.ObjectArgs{Object: dir}, &r)
		}},
		{"CREATE", func(dir []byte) { d.nfs(wire.ProcCreate, &wire.CreateArgs{Where: at(dir, name())}, &made) }},
		{"MKDIR", func(dir []byte) { d.nfs(wire.ProcMkdir, &wire.MkdirArgs{Where: at(dir, "d"+name())}, &made) }},
		{"REMOVE", func(dir []byte) { d.nfs(wire.ProcRemove, &wire.RemoveArgs{Object: at(dir, name())}, &w) }},
		{"RENAME", func(dir []byte) {
			var r wire.RenameRes
			d.nfs(wire.ProcRename, &wire.RenameArgs{From: at(dir, name()), To: at(dirs[rng.IntN(len(dirs))], name())}, &r)
		}},
		{"WRITE", func(dir []byte) {
			var r wire.WriteRes
			if fh := lookup(dir, name()); fh != nil {
				d.nfs(wire.ProcWrite, &wire.WriteArgs{File: fh, Offset: uint64(rng.IntN(9000)), Count: 3, Data: []byte("abc")}, &r)
			}
		}},
		{"SETATTR", func(dir []byte) {
			if fh := lookup(dir, name()); fh != nil {
				d.nfs(wire.ProcSetattr, &wire.SetattrArgs{Object: fh, Attr: mode(uint32(rng.IntN(0o777)))}, &w)
			}
		}},
		{"a name in the base that was not met before", func([]byte) {
			p := filepath.Join(dsk.base, "d1", "n"+name())
			if err := os.WriteFile(p, []byte("new"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"a file of the base that changes", func([]byte) {
			_ = os.Truncate(filepath.Join(dsk.base, "d2", name()), int64(rng.IntN(10000))) // if it is there
		}},
		{"a file of the base that changes and is read", func([]byte) { // what is opened is looked at
			n := name()
			_ = os.Truncate(filepath.Join(dsk.base, "d2", n), int64(rng.IntN(10000)))
			var r wire.ReadRes
			if fh := lookup(dirs[3], n); fh != nil {
				d.nfs(wire.ProcRead, &wire.RangeArgs{File: fh, Count: 10}, &r)
			}
		}},
		{"a file of the base that goes", func([]byte) { _ = os.Remove(filepath.Join(dsk.base, "d0", name())) }},
	}
	hits := int64(0)
	for i := range 3000 {
		c := changes[max(0, rng.IntN(3*len(changes))-2*len(changes))] // mostly nothing
		c.do(dirs[rng.IntN(len(dirs))])
		for k, dir := range dirs {
			for cookie := uint64(0); ; {
				before := fs.read.Load()
				kept := d.list(dir, cookie)
				hit := fs.read.Load() == before
				if hit {
					hits++
				}
				l := &d.s.listings
				all, size := l.m, l.bytes
				l.m, l.bytes = nil, 0
				fresh := d.list(dir, cookie)
				if rng.IntN(4) > 0 {
					l.m, l.bytes = all, size // as if it had not been listed anew
				}
				if hit && !bytes.Equal(kept, fresh) { // else the first may have looked at the base again
					t.Fatalf("seed %d, round %d, after %s, directory %d: %s", seed, i, c.what, k, listDiff(kept, fresh))
				}
				var r wire.ReaddirplusRes
				decode(t, kept, &r)
				if r.EOF || len(r.Entries) == 0 {
					break
				}
				cookie = r.Entries[len(r.Entries)-1].Cookie
			}
		}
	}
	t.Logf("%d listings were kept ones", hits)
	if hits < 2000 {
		t.Errorf("%d listings were kept ones", hits)
	}
}

// listDiff says in what two listings differ.
func listDiff(kept, fresh []byte) string {
	var s strings.Builder
	was, is := strings.Split(listLine(kept), "\n"), strings.Split(listLine(fresh), "\n")
	for _, l := range was {
		if !slices.Contains(is, l) {
			s.WriteString("kept: " + l + "\n")
		}
	}
	for _, l := range is {
		if !slices.Contains(was, l) {
			s.WriteString("now:  " + l + "\n")
		}
	}
	return s.String()
}

func listLine(b []byte) string {
	var r wire.ReaddirplusRes
	x := wire.Reader(b)
	r.Code(&x)
	var s strings.Builder
	fmt.Fprintf(&s, "%v %+v\n", r.Status, r.DirAttr)
	for _, e := range r.Entries {
		fmt.Fprintf(&s, "%s %d %+v %x\n", e.Name, e.FileID, e.Attr, e.Handle.Handle)
	}
	return s.String()
}

// TestListingsThatAreKeptAreBounded: in bytes, and in number.
func TestListingsThatAreKeptAreBounded(t *testing.T) {
	d, dsk, _ := newListed(t, nil)
	e := d.s.all()[0]
	var l listings
	for i := range 5000 {
		size := 100
		if i >= 3000 {
			size = 100_000
		}
		s := dsk.tree.Stamp()
		s.Until = billyfs.Forever
		l.put(listKey{dirKey: dirKey{e, billyfs.Ino(i % 4000)}}, listed{stamp: s, b: make([]byte, size)})
		sum := 0
		for _, kept := range l.m {
			sum += len(kept.b)
		}
		if sum != l.bytes || sum > maxListedBytes || len(l.m) > maxListed || len(l.m) == 0 {
			t.Fatalf("after %d: %d kept, of %d bytes (%d)", i+1, len(l.m), sum, l.bytes)
		}
	}
}

// TestALargeListingIsKept, beside a few small ones; many are not more because of it.
func TestALargeListingIsKept(t *testing.T) {
	d, dsk, _ := newListed(t, nil)
	e := d.s.all()[0]
	var l listings
	put := func(dir billyfs.Ino, cookie uint64) {
		t.Helper()
		s := dsk.tree.Stamp()
		s.Until = billyfs.Forever
		l.put(listKey{dirKey: dirKey{e, dir}, cookie: cookie}, listed{stamp: s, b: make([]byte, 64<<10)})
		of := map[dirKey]int{}
		for k, kept := range l.m {
			of[k.dirKey] += len(kept.b)
		}
		if !maps.Equal(of, l.of) {
			t.Fatalf("%v are kept, %v are said to be", of, l.of)
		}
	}
	const large, pieces = 1, 320 // 20 MiB
	for round := range 2 {
		for i := range pieces {
			put(large, uint64(i))
			put(billyfs.Ino(2+i%3), 0)
		}
		if n := l.of[dirKey{e, large}]; n != pieces*64<<10 {
			t.Fatalf("round %d: %d bytes of the large listing are kept, and %d in all", round, n, l.bytes)
		}
	}
	for i := range 1000 {
		put(billyfs.Ino(10+i), 0)
	}
	if l.bytes > maxListedBytes {
		t.Errorf("%d bytes of small listings are kept", l.bytes)
	}
	for i := range 2 * maxLargeBytes >> 16 {
		put(large, uint64(i))
		if l.bytes > maxLargeBytes {
			t.Fatalf("%d bytes of one listing are kept", l.bytes)
		}
	}
	l.clear()
	if l.bytes != 0 || len(l.m) != 0 || len(l.of) != 0 {
		t.Error("something is kept after all is dropped")
	}
}

// TestListingsFollowChanges: who has got the reply to a change sees it in the next listing, whatever others change and list
// at the same time.
func TestListingsFollowChanges(t *testing.T) {
	d, _, _ := newListed(t, nil)
	root := mustHandle(t, d.s)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			d := &direct{t, d.s, &client{local: true}, uint32(i+1) << 20}
			var made wire.MakeRes
			d.nfs(wire.ProcCreate, &wire.CreateArgs{Where: at(root, fmt.Sprintf("own%d", i))}, &made)
			fh := bytes.Clone(made.Object.Handle)
			for k := range 400 {
				size := uint64(0)
				if k%4 != 3 { // else others change
					var w wire.WriteRes
					d.nfs(wire.ProcWrite, &wire.WriteArgs{File: fh, Offset: uint64(k), Count: 1, Data: []byte("x")}, &w)
					size = uint64(k) + 1
				}
				var r wire.ReaddirplusRes
				decode(t, d.list(root, 0), &r)
				found := false
				for _, e := range r.Entries {
					if string(e.Name) == fmt.Sprintf("own%d", i) {
						found = true
						if size > 0 && e.Attr.Attr.Size != size {
							t.Errorf("%d bytes are listed, %d were written", e.Attr.Attr.Size, size)
						}
					}
				}
				if !found {
					t.Error("the name is not listed")
				}
			}
		})
	}
	wg.Wait()
}

// renewedFS counts what is read, and what is renewed.
type renewedFS struct {
	FS
	read, renewed atomic.Int64
}

func (f *renewedFS) ReadDirPlus(dir billyfs.Ino, cookie uint64, fn func(billyfs.DirEntry, *billyfs.Plus) bool) (bool, error) {
	f.read.Add(1)
	return f.FS.ReadDirPlus(dir, cookie, fn)
}

func (f *renewedFS) Renew(s billyfs.Stamp, dir billyfs.Ino, cookie, last uint64) (billyfs.Stamp, bool) {
	defer f.renewed.Add(1)
	return f.FS.Renew(s, dir, cookie, last)
}

// TestListingsAreRenewedAhead: a directory that is listed again and again is looked at before what is kept of it is too old, and
// no listing waits for that; what has changed in it shows a second later all the same.
func TestListingsAreRenewedAhead(t *testing.T) {
	dsk := newDisk(t, "")
	for i := range 200 {
		if err := os.WriteFile(filepath.Join(dsk.base, "dir", fmt.Sprint("f", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var clock atomic.Int64
	clock.Store(time.Now().Add(time.Hour).UnixNano()) // long after the directory was changed
	var err error
	if dsk.tree, err = billyfs.Open(dsk.fs, dsk.store, billyfs.Options{Now: clock.Load}); err != nil {
		t.Fatal(err)
	}
	fs := &renewedFS{}
	dsk.as = func(tree FS) FS {
		fs.FS = tree
		return fs
	}
	r := serveDisks(t, Options{Access: Access{TrustLoopback: true}}, map[string]*disk{"/": dsk})
	c := r.dial()
	dir := c.tryLookup(mustHandle(t, r.s), "dir").Object
	var names []string
	var size uint64 // of the last one
	from := uint64(0)
	list := func() (replies int64) {
		t.Helper()
		names = names[:0]
		for cookie, eof := from, false; !eof; {
			var res wire.ReaddirplusRes
			c.nfs(wire.ProcReaddirplus, &wire.ReaddirplusArgs{Dir: dir, Cookie: cookie, DirCount: 4096, MaxCount: 8192}, &res)
			if res.Status != wire.OK || len(res.Entries) == 0 {
				t.Fatalf("READDIRPLUS: %v, %d entries", res.Status, len(res.Entries))
			}
			for _, e := range res.Entries {
				names, size, cookie = append(names, string(e.Name)), e.Attr.Attr.Size, e.Cookie
			}
			if eof = res.EOF; from == 0 {
				from = cookie // the first reply tells of the parent, too, and is made anew
			}
			replies++
		}
		return replies
	}
	list() // reading the names is a change of what is known
	pieces := list()
	read := fs.read.Load()
	if all := len(names); pieces < 2 || all < 50 {
		t.Fatalf("%d names in %d replies", all, pieces)
	}
	for round := range int64(5) {
		clock.Add(int64(700 * time.Millisecond))
		list()
		for began := time.Now(); fs.renewed.Load() < (round+1)*pieces || r.s.rpc.Stats().InCalls > 0; time.Sleep(time.Millisecond) {
			if time.Since(began) > patience {
				t.Fatalf("round %d: %d renewed, of %d", round, fs.renewed.Load(), pieces)
			}
		}
		list()
		if n, renewed := fs.read.Load(), fs.renewed.Load(); n != read || renewed != (round+1)*pieces {
			t.Fatalf("round %d: %d listings were made, %d were kept and renewed %d times", round, n-read, pieces, renewed)
		}
	}
	all := len(names)
	if err := os.WriteFile(filepath.Join(dsk.base, "dir", names[all-1]), []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	clock.Add(int64(time.Second))
	if list(); len(names) != all || size != 7 {
		t.Errorf("%d entries, the last has %d bytes: want %d, and 7", len(names), size, all)
	}
}

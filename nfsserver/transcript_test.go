package nfsserver

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"deltafs/billyfs"
	"deltafs/nfsserver/wire"
)

var update = flag.Bool("update", false, "write the transcript in testdata")

// anonymous replaces what differs from run to run and from machine to machine:
// handles and numbers get names in the order in which they appear, times are T:
// two that differ here are one where the clock is coarse.
type anonymous struct {
	names map[string]string
	count map[string]int
}

var volatile = regexp.MustCompile(`\b(fh|dir|id|mtime|ctime|guard)=([0-9a-f.]+)|\bused=\d+|(DIR 0\d+ nlink=\d+ uid=\d+ gid=\d+) size=\d+|\bwas:size=\d+|\b(total|free|avail)=\d+`)

func (a *anonymous) line(l string) string {
	return volatile.ReplaceAllStringFunc(l, func(s string) string {
		m := volatile.FindStringSubmatch(s)
		switch {
		case m[3] != "":
			return m[3] + " size=S"
		case m[4] != "":
			return m[4] + "=N"
		case m[1] == "":
			return s[:strings.IndexByte(s, '=')] + "=S"
		}
		kind := map[string]string{"fh": "H", "dir": "H", "id": "I"}[m[1]]
		if kind == "" {
			return m[1] + "=T"
		}
		key := kind + m[2]
		if a.names[key] == "" {
			a.count[kind]++
			a.names[key] = fmt.Sprint(kind, a.count[kind])
		}
		return m[1] + "=" + a.names[key]
	})
}

// TestTranscript is a whole session, as --trace prints it.
func TestTranscript(t *testing.T) {
	var mu sync.Mutex
	var out strings.Builder
	a := &anonymous{map[string]string{}, map[string]int{}}
	d := newDisk(t, "")
	zero := uint32(0)
	own := func(path string) { // the base belongs to whoever runs the test
		at, err := d.tree.Lookup(d.tree.Root(), path)
		if err == nil {
			_, err = d.tree.SetAttr(rootCaller, at.Ino, billyfs.SetAttr{UID: &zero, GID: &zero, Mode: ptr(uint32(0o644))})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	own("hello")
	if _, err := d.tree.SetAttr(rootCaller, d.tree.Root(), billyfs.SetAttr{UID: &zero, GID: &zero, Mode: ptr(uint32(0o755))}); err != nil {
		t.Fatal(err)
	}
	r := serveDisks(t, Options{
		Access: Access{TrustLoopback: true},
		Trace: func(l string) {
			mu.Lock()
			defer mu.Unlock()
			out.WriteString(a.line(l) + "\n")
		},
	}, map[string]*disk{"/": d})
	c := r.dial()
	root := c.mount("/")
	var fi wire.FsinfoRes
	c.nfs(wire.ProcFsinfo, &wire.ObjectArgs{Object: root}, &fi)
	var pc wire.PathconfRes
	c.nfs(wire.ProcPathconf, &wire.ObjectArgs{Object: root}, &pc)
	c.getattr(root)
	var acc wire.AccessRes
	c.nfs(wire.ProcAccess, &wire.AccessArgs{Object: root, Access: 0x1f}, &acc)
	hello := c.lookup(root, "hello")
	c.read(hello)
	c.tryLookup(root, "notes")
	notes := c.mkdir(root, "notes", 0o750)
	f := c.create(notes, "today \"x\"\n")
	c.tryWrite(f, 0, "first words", wire.Unstable)
	c.tryWrite(f, 11, "!", wire.FileSync)
	var com wire.CommitRes
	c.nfs(wire.ProcCommit, &wire.RangeArgs{File: f}, &com)
	c.setattr(f, wire.Sattr{SetSize: true, Size: 5, MtimeHow: wire.SetToClientTime, Mtime: wire.Time{Sec: 1e9}})
	c.link(f, root, "link")
	c.rename(root, "link", notes, "moved")
	var m wire.MakeRes
	c.nfs(wire.ProcSymlink, &wire.SymlinkArgs{Where: at(root, "sym"), Target: []byte("notes/moved")}, &m)
	var rl wire.ReadlinkRes
	c.nfs(wire.ProcReadlink, &wire.ObjectArgs{Object: m.Object.Handle}, &rl)
	c.nfs(wire.ProcMknod, &wire.MknodArgs{Where: at(notes, "null"), Type: wire.TypeChr, Attr: mode(0o666), Major: 1, Minor: 3}, &m)
	var made wire.MakeRes
	c.nfs(wire.ProcCreate, &wire.CreateArgs{Where: at(notes, "excl"), How: wire.Exclusive, Verifier: [8]byte{1}}, &made)
	c.remove(notes, "excl")
	c.rmdir(root, "notes")
	c.as(1000, 100, 7).remove(notes, "moved")
	c.as(0, 0)
	c.getattr(f)
	_, _ = c.raw(wire.ProgNFS, 4, 1, &wire.Void{})
	_, _ = c.raw(100021, 4, 0, &wire.Void{})
	_, _ = c.raw(wire.ProgNFS, 3, wire.ProcLookup, raw{0, 0, 0, 9})
	var e wire.ExportRes
	c.do(wire.ProgMount, wire.MountProcExport, &wire.Void{}, &e)
	c.do(wire.ProgMount, wire.MountProcUmnt, &wire.MntArgs{Path: []byte("/")}, &wire.Void{})
	r.stop()

	const file = "testdata/transcript.txt"
	got := out.String()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || len(want) == 0 {
		t.Fatalf("%s: %d bytes, %v", file, len(want), err)
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	if len(g) != len(w) {
		t.Errorf("%d lines, want %d", len(g), len(w))
	}
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Errorf("line %d:\n%s\nwant\n%s", i+1, g[i], w[i])
		}
	}
}

func ptr[T any](v T) *T { return &v }

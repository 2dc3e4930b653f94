package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deltafs/nfsserver/wire"
)

// tiny makes a row take next to no time.
func tiny(ts ...Target) Options {
	return Options{Targets: ts, Rounds: 2, For: 20 * time.Millisecond, Conns: 3, Sizes: &Small}
}

func serveNull(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go ServeNull(l, &Small) // ends when l is closed
	return l.Addr().String() + ":/"
}

// whole checks that every row was measured on all targets that have it.
func whole(t *testing.T, rs []Result, targets ...string) {
	t.Helper()
	if len(rs) != len(Rows) {
		t.Errorf("%d rows of %d", len(rs), len(Rows))
	}
	for _, r := range rs {
		for _, name := range targets {
			f, ok := r.Of(name)
			if !ok || f.Error != "" || f.Value <= 0 || f.Low > f.Value || f.High < f.Value {
				t.Errorf("%s of %s: %+v", r.Name, name, f)
			}
		}
	}
}

func TestNullServer(t *testing.T) {
	at := serveNull(t)
	rs, err := Run(t.Context(), tiny(Target{"a", at, true, false}, Target{"b", at, true, false}))
	if err != nil {
		t.Fatal(err)
	}
	whole(t, rs, "a", "b")
	for _, r := range rs {
		a, b := r.Figures[0], r.Figures[1]
		want := a.Value / b.Value
		if r.Unit == Millis {
			want = 1 / want
		}
		if a.Ratio != 0 || b.Ratio != want {
			t.Errorf("%s: %v to %v, ratio %v", r.Name, a.Value, b.Value, b.Ratio)
		}
	}
}

// TestDirectory: a directory has no rows for what only a protocol has, and nothing is
// left in it but what was prepared.
func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	rs, err := Run(t.Context(), tiny(Target{Name: "null", At: serveNull(t), Null: true}, Target{Name: "dir", At: dir}, Target{Name: "disk", At: dir, Disk: true}))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rs {
		row := Rows[indexOf(r.Name)]
		for name, has := range map[string]bool{"dir": row.local != nil, "disk": row.disk != nil} {
			f, ok := r.Of(name)
			if ok != has || ok && (f.Error != "" || f.Value <= 0) {
				t.Errorf("%s of %s: %+v", r.Name, name, f)
			}
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, Dir, "run-*"))
	if err != nil || len(names) > 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func indexOf(row string) int {
	for i, r := range Rows {
		if r.Name == row {
			return i
		}
	}
	return -1
}

// TestWrongDataIsFound: what a server has not kept is an error, and the other rows and
// servers go on.
func TestWrongDataIsFound(t *testing.T) {
	at := serveNull(t) // keeps nothing that is written
	rs, err := Run(t.Context(), tiny(Target{Name: "forgetful", At: at}, Target{Name: "null", At: at, Null: true}))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rs {
		f, _ := r.Of("forgetful")
		switch r.Name {
		case "write-1m", "write-4k", "sync-4k", "sync-4k-16", "small", "small-16", "first-1m", "first-1g", "first-10g":
			if f.Error == "" {
				t.Errorf("%s: nothing was found", r.Name)
			}
		default:
			if f.Error != "" || f.Value <= 0 {
				t.Errorf("%s: %+v", r.Name, f)
			}
		}
		if f, _ := r.Of("null"); f.Error != "" {
			t.Errorf("%s of another server: %s", r.Name, f.Error)
		}
	}
	if err := check(content(5, 100, 3), 5, 2); err == nil || !strings.Contains(err.Error(), "byte 0 of 100 at offset 5") {
		t.Errorf("data of another generation: %v", err)
	}
}

func TestNothingToMeasure(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String() + ":/"
	l.Close()
	if _, err := Run(t.Context(), tiny(Target{Name: "nobody", At: nobody})); err == nil {
		t.Error("measured nobody")
	}
	o := tiny(Target{Name: "null", At: serveNull(t), Null: true})
	o.Rows = []string{"getattr", "no-such"}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "no-such") {
		t.Errorf("an unknown row: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o.Rows = nil
	if _, err := Run(ctx, o); err == nil {
		t.Error("measured without end")
	}
}

// TestDeafServer: a connection that breaks in the middle is an error of the row.
func TestDeafServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 100)
			_, _ = c.Read(buf) // whatever it is
			c.Close()
		}
	}()
	if _, err := Run(t.Context(), tiny(Target{Name: "deaf", At: l.Addr().String() + ":/"})); err == nil {
		t.Error("measured a server that says nothing")
	}
}

func TestPrepare(t *testing.T) {
	dir := t.TempDir()
	if err := Prepare(dir, &Small); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, Dir, "big"))
	if err != nil || int64(len(b)) != Small.Big {
		t.Fatalf("%d bytes of %d, %v", len(b), Small.Big, err)
	}
	for off := int64(0); off < Small.Big; off += mib {
		if err := check(b[off:off+mib], off, 0); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := os.ReadDir(filepath.Join(dir, Dir, "list-0")); err != nil || len(names) != Small.Listed {
		t.Errorf("%d names of %d, %v", len(names), Small.Listed, err)
	}
	if err := Prepare(dir, &Small); err == nil {
		t.Error("prepared twice")
	}
}

func TestRemote(t *testing.T) {
	for at, want := range map[string]string{
		"127.0.0.1:2049:/": "127.0.0.1:2049 /", "[::1]:2049:/a/b": "[::1]:2049 /a/b", "host:1:/@fork": "host:1 /@fork",
		"/a/b": "", "host:/x": "", "dir": "", "/odd:1:/name": "",
	} {
		got := ""
		if addr, export, ok := Remote(at); ok {
			got = addr + " " + export
		}
		if got != want {
			t.Errorf("%s: %q, want %q", at, got, want)
		}
	}
}

// TestListing: a listing that is cut anywhere is an error or a shorter one, and never
// more.
func TestListing(t *testing.T) {
	l := wire.BeginReaddirplus(nil, &attr, 1<<20, 1<<20)
	for i := range 20 {
		l.Add(uint64(i+1), fmt.Sprint("name-", i), uint64(i+1), &wire.PostOp{OK: i%2 == 0}, nullHandle(nullFile, i)[:4*(i%3)])
	}
	whole := l.Finish(true)
	var a wire.ReaddirplusArgs
	var sum, want uint64
	for i := range 20 {
		want += sumOf(fmt.Append(nil, "name-", i))
	}
	if n, eof, err := entries(whole, &a, &sum); n != 20 || !eof || err != nil || sum != want || a.Cookie != 20 {
		t.Errorf("%d entries, end %v, %v, cookie %d, sum %x of %x", n, eof, err, a.Cookie, sum, want)
	}
	for n := range whole {
		if _, _, err := entries(whole[:n], &a, &sum); err == nil {
			t.Errorf("%d bytes of %d are a listing", n, len(whole))
		}
	}
}

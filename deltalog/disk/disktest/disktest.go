// Package disktest checks that a disk.FS keeps its contract, as far as that can
// be seen without a crash.
package disktest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"deltafs/deltalog/disk"
)

// Run runs all checks; open returns an empty tree whose top need not exist.
func Run(t *testing.T, open func(t *testing.T) disk.FS) {
	for _, c := range []struct {
		name string
		fn   func(t *testing.T, d disk.FS)
	}{
		{"files", files}, {"parts", parts}, {"reading", reading}, {"allocate", allocate}, {"readOnly", readOnly},
		{"directories", directories}, {"rename", rename}, {"remove", remove}, {"names", names},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := open(t)
			must(t, d.Mkdir("."))
			must(t, d.Mkdir("."))
			c.fn(t, d)
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func create(t *testing.T, d disk.FS, name, data string) disk.File {
	t.Helper()
	f, err := d.Create(name)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	if n, err := f.WriteAt([]byte(data), 0); n != len(data) || err != nil {
		t.Fatalf("write: %d, %v", n, err)
	}
	return f
}

func wantData(t *testing.T, d disk.FS, name, want string) {
	t.Helper()
	f, err := d.Open(name, false)
	must(t, err)
	defer f.Close()
	n, err := f.Size()
	must(t, err)
	got, err := io.ReadAll(io.NewSectionReader(f, 0, n))
	must(t, err)
	if string(got) != want {
		t.Errorf("%s holds %q, want %q", name, got, want)
	}
}

func wantNames(t *testing.T, d disk.FS, dir string, want ...string) {
	t.Helper()
	got, err := d.List(dir)
	must(t, err)
	if !slices.Equal(got, want) {
		t.Errorf("%s lists %q, want %q", dir, got, want)
	}
}

func files(t *testing.T, d disk.FS) {
	f := create(t, d, "a", "hello")
	must(t, f.Sync())
	_, err := d.Create("a")
	is(t, err, fs.ErrExist)
	_, err = d.Open("b", true)
	is(t, err, fs.ErrNotExist)
	g, err := d.Open("a", true)
	must(t, err)
	if _, err := g.WriteAt([]byte("J"), 0); err != nil {
		t.Fatal(err)
	}
	must(t, g.Sync())
	must(t, g.Close())
	if g.Sync() == nil || g.Close() == nil {
		t.Error("a closed file can still be used")
	}
	wantData(t, d, "a", "Jello")
	must(t, d.SyncDir("."))
}

func parts(t *testing.T, d disk.FS) {
	f := create(t, d, "a", "0123456789")
	big := strings.Repeat("abcdefg", 30_000)
	must(t, f.WriteParts([][]byte{[]byte("x"), nil, []byte(big), []byte("yz"), {}}, 5))
	must(t, f.WriteParts(nil, 3))
	must(t, f.WriteParts([][]byte{{}, []byte("-")}, 0))
	wantData(t, d, "a", "-1234x"+big+"yz")
	must(t, f.Close())
	if f.WriteParts([][]byte{[]byte("x"), []byte("y")}, 0) == nil {
		t.Error("parts are written to a closed file")
	}
	g, err := d.Open("a", false)
	must(t, err)
	defer g.Close()
	if g.WriteParts([][]byte{[]byte("x"), []byte("y")}, 0) == nil {
		t.Error("parts are written to a file that is open for reading")
	}
}

func reading(t *testing.T, d disk.FS) {
	f := create(t, d, "a", "0123456789")
	p := make([]byte, 4)
	if n, err := f.ReadAt(p, 8); n != 2 || err != io.EOF || string(p[:2]) != "89" {
		t.Errorf("read across the end: %d, %v, %q", n, err, p)
	}
	if n, err := f.ReadAt(p, 10); n != 0 || err != io.EOF {
		t.Errorf("read at the end: %d, %v", n, err)
	}
	if _, err := f.WriteAt([]byte("x"), 5000); err != nil {
		t.Fatal(err)
	}
	big := make([]byte, 5001)
	if n, err := f.ReadAt(big, 0); n != 5001 || err != nil && err != io.EOF {
		t.Errorf("read all: %d, %v", n, err)
	}
	if !bytes.Equal(big[10:5000], make([]byte, 4990)) {
		t.Error("a hole does not read as zeros")
	}
}

func allocate(t *testing.T, d disk.FS) {
	f := create(t, d, "a", "abc")
	must(t, f.Allocate(6))
	wantData(t, d, "a", "abc\x00\x00\x00")
	must(t, f.Allocate(2))
	must(t, f.Allocate(4))
	wantData(t, d, "a", "ab\x00\x00")
	if f.Allocate(-1) == nil {
		t.Error("a negative size is taken")
	}
}

func readOnly(t *testing.T, d disk.FS) {
	create(t, d, "a", "abc")
	f, err := d.Open("a", false)
	must(t, err)
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("a file open for reading can be written")
	}
	if f.Allocate(9) == nil {
		t.Error("a file open for reading can grow")
	}
}

func directories(t *testing.T, d disk.FS) {
	wantNames(t, d, ".")
	must(t, d.Mkdir("sub"))
	must(t, d.Mkdir("sub"))
	create(t, d, "sub/y", "")
	create(t, d, "sub/x", "")
	create(t, d, "z", "")
	wantNames(t, d, ".", "sub", "z")
	wantNames(t, d, "sub", "x", "y")
	must(t, d.SyncDir("sub"))
	if _, err := d.Open("sub", false); err == nil {
		t.Error("a directory can be opened as a file")
	}
	if d.Mkdir("z") == nil {
		t.Error("a directory can be made over a file")
	}
	is(t, d.SyncDir("none"), fs.ErrNotExist)
	_, err := d.List("none")
	is(t, err, fs.ErrNotExist)
	_, err = d.Create("none/a")
	is(t, err, fs.ErrNotExist)
}

func rename(t *testing.T, d disk.FS) {
	must(t, d.Mkdir("sub"))
	create(t, d, "a", "A").Close()
	create(t, d, "b", "B").Close()
	must(t, d.Rename("a", "b"))
	wantNames(t, d, ".", "b", "sub")
	wantData(t, d, "b", "A")
	must(t, d.Rename("b", "sub/c"))
	wantData(t, d, "sub/c", "A")
	is(t, d.Rename("b", "c"), fs.ErrNotExist)
}

func remove(t *testing.T, d disk.FS) {
	must(t, d.Mkdir("sub"))
	create(t, d, "sub/a", "A").Close()
	if d.Remove("sub") == nil {
		t.Error("a directory that is not empty can be removed")
	}
	must(t, d.Remove("sub/a"))
	is(t, d.Remove("sub/a"), fs.ErrNotExist)
	must(t, d.Remove("sub"))
	wantNames(t, d, ".")
}

func names(t *testing.T, d disk.FS) {
	create(t, d, "a", "A")
	for _, bad := range []string{"", "..", "../a", "/a", "a/../b", "sub//a", "a/", "./a"} {
		if f, err := d.Create(bad); err == nil {
			f.Close()
			t.Errorf("Create(%q) succeeds", bad)
		}
		if f, err := d.Open(bad, false); err == nil {
			f.Close()
			t.Errorf("Open(%q) succeeds", bad)
		}
		if d.Mkdir(bad) == nil || d.Rename("a", bad) == nil || d.Rename(bad, "b") == nil ||
			d.Remove(bad) == nil || d.SyncDir(bad) == nil {
			t.Errorf("a method takes the name %q", bad)
		}
	}
	wantNames(t, d, ".", "a")
}

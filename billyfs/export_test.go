package billyfs

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unpackLayer applies an archive to a directory as the OCI image format says.
func unpackLayer(t *testing.T, archive []byte, dir string) {
	t.Helper()
	type member struct {
		h    *tar.Header
		data []byte
	}
	var all []member
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, member{h, data})
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range all { // of the layers below alone
		p := filepath.Join(dir, filepath.FromSlash(m.h.Name))
		switch up, name := filepath.Split(p); {
		case name == ".wh..wh..opq":
			list, err := os.ReadDir(up)
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !strings.Contains(err.Error(), "not a directory") {
				t.Fatal(err)
			}
			for _, e := range list {
				check(os.RemoveAll(filepath.Join(up, e.Name())))
			}
		case strings.HasPrefix(name, ".wh."):
			p := filepath.Join(up, strings.TrimPrefix(name, ".wh."))
			if _, err := os.Lstat(p); err != nil {
				t.Errorf("%s hides nothing", m.h.Name)
			}
			check(os.RemoveAll(p))
		}
	}
	for _, m := range all {
		p := filepath.Join(dir, filepath.FromSlash(m.h.Name))
		if strings.HasPrefix(filepath.Base(p), ".wh.") {
			continue
		}
		old, err := os.Lstat(p)
		if err == nil && (m.h.Typeflag != tar.TypeDir || !old.IsDir()) {
			check(os.RemoveAll(p))
		}
		switch m.h.Typeflag {
		case tar.TypeDir:
			check(os.MkdirAll(p, 0o755))
		case tar.TypeReg:
			check(os.WriteFile(p, m.data, 0o600))
			check(os.Chmod(p, fs.FileMode(m.h.Mode&0o777)))
			check(os.Chtimes(p, m.h.AccessTime, m.h.ModTime))
		case tar.TypeSymlink:
			check(os.Symlink(m.h.Linkname, p))
		case tar.TypeLink:
			check(os.Link(filepath.Join(dir, filepath.FromSlash(m.h.Linkname)), p))
		default:
			t.Fatalf("%s is of type %c", m.h.Name, m.h.Typeflag)
		}
	}
}

// sameFiles compares a directory with the merged tree.
func sameFiles(t *testing.T, what, dir string, tr *Tree) {
	t.Helper()
	got, want := filesBelow(t, dir), mergedFiles(t, tr)
	for _, p := range slices.Sorted(maps.Keys(want)) {
		if got[p] != want[p] {
			t.Errorf("%s: %q is %q, want %q", what, p, got[p], want[p])
		}
		delete(got, p)
	}
	for p := range got {
		t.Errorf("%s: %q is still there", what, p)
	}
}

// TestExport: of random histories, the layer over the base, and the whole tree over nothing,
// are the merged tree.
func TestExport(t *testing.T) {
	histories := 50
	if testing.Short() || raceEnabled {
		histories = 8
	}
	var opaque, gone int
	for seed := range uint64(histories) {
		r := newDiffRig(t, seed)
		for n := range 25 {
			r.step(t, n)
			if n%8 == 0 { // another directory in the place of one of the base
				if _, _, err := r.Rename(root, r.Root(), "with space", r.Root(), fmt.Sprint("away", n)); err == nil {
					if _, _, err := r.Mkdir(root, r.Root(), "with space", SetAttr{}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		var layer, whole bytes.Buffer
		x, err := r.Export(&layer, ExportOptions{Whiteouts: true})
		if err != nil {
			t.Fatal(err)
		}
		all, err := r.Export(&whole, ExportOptions{All: true})
		if err != nil {
			t.Fatal(err)
		}
		if all.Files < x.Files || len(x.Left)+len(all.Left) > 0 || !slices.Equal(x.Gone, all.Gone) && len(all.Gone) < len(x.Gone) {
			t.Errorf("seed %d: %+v and %+v", seed, x, all)
		}
		gone += len(x.Gone)
		opaque += bytes.Count(layer.Bytes(), []byte(".wh..wh..opq"))
		over := t.TempDir()
		if err := os.CopyFS(over, os.DirFS(r.base)); err != nil {
			t.Fatal(err)
		}
		unpackLayer(t, layer.Bytes(), over)
		sameFiles(t, fmt.Sprintf("seed %d, layer", seed), over, r.Tree)
		alone := t.TempDir()
		unpackLayer(t, whole.Bytes(), alone)
		sameFiles(t, fmt.Sprintf("seed %d, whole", seed), alone, r.Tree)
		if t.Failed() {
			t.FailNow()
		}
	}
	if gone < histories || opaque < histories/2 {
		t.Errorf("%d names are gone, %d directories opaque, in %d histories", gone, opaque, histories)
	}
}

// TestExportKeeps: hard links, times to the nanosecond, owners, special files; a change of
// attributes alone is the file with them.
func TestExportKeeps(t *testing.T) {
	r := newDiffRig(t, 3)
	f := r.path("d/f1")
	if _, _, err := r.Link(root, f.Ino, r.Root(), "again"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.SetAttr(root, f.Ino, SetAttr{UID: ptr(uint32(77)), Mtime: ptr(int64(1_234_567_891))}); err != nil {
		t.Fatal(err)
	}
	for name, typ := range map[string]uint32{"pipe": TypeFIFO, "dev": TypeChar, "sock": TypeSocket} {
		if _, _, err := r.Mknod(root, r.Root(), name, typ, 4, 5, SetAttr{}); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	x, err := r.Export(&b, ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(x.Left, []string{"sock"}) || len(x.Gone) > 0 {
		t.Errorf("%+v", x)
	}
	got := map[string]*tar.Header{}
	for tr := tar.NewReader(&b); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got[h.Name] = h
	}
	first, second := got["again"], got["d/f1"]
	if first == nil || second == nil || first.Typeflag != tar.TypeReg || second.Typeflag != tar.TypeLink || second.Linkname != "again" {
		t.Fatalf("links: %+v, %+v", first, second)
	}
	if first.Uid != 77 || first.ModTime.UnixNano() != 1_234_567_891 || first.Size != int64(f.Size) {
		t.Errorf("%+v", first)
	}
	if p, d := got["pipe"], got["dev"]; p == nil || d == nil || p.Typeflag != tar.TypeFifo || d.Typeflag != tar.TypeChar || d.Devmajor != 4 || d.Devminor != 5 {
		t.Errorf("%+v, %+v", p, d)
	}
	if got["d/"] == nil || got["f0"] != nil {
		t.Errorf("members: %q", slices.Sorted(maps.Keys(got)))
	}
}

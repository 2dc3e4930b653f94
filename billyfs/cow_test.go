package billyfs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// logBytes is what has gone to the log so far.
func (r *rig) logBytes() uint64 {
	r.t.Helper()
	i, err := r.store.Info()
	if err != nil {
		r.t.Fatal(err)
	}
	return i.LogBytes
}

// TestFirstWriteCopiesNothing writes 4 KiB into files of the base of any size:
// the log grows by little more than that, and the rest of the file shows
// through.
func TestFirstWriteCopiesNothing(t *testing.T) {
	for _, size := range []int64{8 << 10, 1 << 20, 10 << 30} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			dir := t.TempDir()
			big := filepath.Join(dir, "big")
			if err := os.WriteFile(big, []byte("head"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(big, size); err != nil {
				t.Skip("no room for a sparse file: ", err)
			}
			r := newRig(t, dir, freshDir(storesDir(t)))
			a := r.path("big")
			before := r.logBytes()
			page := bytes.Repeat([]byte("page"), 1024)
			ch, err := r.WriteAt(root, a.Ino, page, size-5000)
			if err != nil {
				t.Fatal(err)
			}
			if grown := r.logBytes() - before; grown < 4096 || grown >= 16<<10 {
				t.Errorf("the log grew by %d bytes", grown)
			}
			if ch.After.Size != uint64(size) || ch.Before.Size != uint64(size) {
				t.Errorf("size %d, before %d", ch.After.Size, ch.Before.Size)
			}
			p := make([]byte, 5000)
			n, eof, err := r.ReadAt(a.Ino, p, size-5000)
			if err != nil || n != 5000 || !eof || !bytes.Equal(p[:4096], page) || strings.Trim(string(p[4096:]), "\x00") != "" {
				t.Errorf("read of the end: %d, %v, %v", n, eof, err)
			}
			if n, eof, err = r.ReadAt(a.Ino, p, 0); err != nil || eof || string(p[:4]) != "head" {
				t.Errorf("read of the start: %d, %v, %v", n, eof, err)
			}
		})
	}
}

// TestReadingWritesNothing looks at everything that there is.
func TestReadingWritesNothing(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	if _, err := r.WriteAt(root, r.path("d/f").Ino, []byte("x"), 5); err != nil {
		t.Fatal(err)
	}
	lsn := r.store.LastLSN()
	side := &treeSide{t: t, rig: r}
	var walk func(dir Ino)
	walk = func(dir Ino) {
		all, _ := side.list(dir)
		for name, typ := range all {
			a, err := r.Lookup(dir, name)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case isDot(name):
			case typ == TypeDir:
				walk(a.Ino)
			case typ == TypeRegular:
				r.content(a.Ino)
			case typ == TypeSymlink:
				if _, err := r.Readlink(a.Ino); err != nil {
					t.Error(err)
				}
			default:
				if _, _, err := r.ReadAt(a.Ino, make([]byte, 1), 0); KindOf(err) != Invalid {
					t.Errorf("read of a special file: %v", err)
				}
			}
		}
	}
	walk(r.Root())
	if now := r.store.LastLSN(); now != lsn {
		t.Errorf("reading moved the log from %d to %d", lsn, now)
	}
}

// TestShrinkThenGrowShowsZeros cuts a file of the base and makes it longer
// again, with and without a restart: what was cut off never comes back.
func TestShrinkThenGrowShowsZeros(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	ino := r.path("d/f").Ino
	was := r.content(ino)
	set := func(size uint64) {
		t.Helper()
		if _, err := r.SetAttr(root, ino, SetAttr{Size: &size}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.WriteAt(root, ino, []byte("delta"), 7000); err != nil {
		t.Fatal(err)
	}
	set(100)
	set(9500)
	want := was[:100] + strings.Repeat("\x00", 9400)
	if got := r.content(ino); got != want {
		t.Errorf("differs from byte %d on", differ(got, want))
	}
	if _, err := r.WriteAt(root, ino, []byte("again"), 9100); err != nil {
		t.Fatal(err)
	}
	want = want[:9100] + "again" + want[9105:]
	r.reopen(false)
	if got := r.content(ino); got != want {
		t.Errorf("after restart, differs from byte %d on", differ(got, want))
	}
}

func differ(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// TestLargeWriteIsSplit writes more than one batch can hold.
func TestLargeWriteIsSplit(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	a, _, err := r.Create(root, r.Root(), "large", CreateHow{})
	if err != nil {
		t.Fatal(err)
	}
	data := []byte(text("large", 2<<20+12345))
	ch, err := r.WriteAt(root, a.Ino, data, 17)
	if err != nil || ch.Before.Size != 0 || ch.After.Size != uint64(len(data))+17 {
		t.Fatalf("%+v, %v", ch, err)
	}
	if got, want := r.content(a.Ino), strings.Repeat("\x00", 17)+string(data); got != want {
		t.Errorf("differs from byte %d on", differ(got, want))
	}
	if got := r.path("large").Used; got != uint64(len(data)) {
		t.Errorf("used %d of %d", got, len(data))
	}
}

// TestUsedCountsWhatIsHeld follows the space of a file of the base through
// overlapping writes and a cut. The counts kept while writing are those that a
// new process counts.
func TestUsedCountsWhatIsHeld(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	ino := r.path("d/f").Ino // 9000 bytes, dense
	for _, w := range [][2]int64{{0, 4096}, {2048, 4096}, {8500, 3000}, {100000, 10}} {
		if _, err := r.WriteAt(root, ino, make([]byte, w[1]), w[0]); err != nil {
			t.Fatal(err)
		}
		kept := r.path("d/f").Used
		r.reopen(true)
		if counted := r.path("d/f").Used; counted != kept {
			t.Errorf("after %v: used %d was kept, %d is counted", w, kept, counted)
		}
	}
	if _, err := r.SetAttr(root, ino, SetAttr{Size: ptr(uint64(0))}); err != nil {
		t.Fatal(err)
	}
	if u := r.path("d/f").Used; u != 0 {
		t.Errorf("an empty file uses %d", u)
	}
}

// TestChangedBaseFileIsNotMixed changes a file of the base underneath a delta:
// what would be mixed cannot be read, what is the delta's alone can.
func TestChangedBaseFileIsNotMixed(t *testing.T) {
	dir := t.TempDir()
	populate(t, dir)
	r := newRig(t, dir, freshDir(storesDir(t)))
	r.close()
	clock := time.Now().UnixNano()
	r.opts = Options{Now: func() int64 { clock += int64(2 * time.Second); return clock }}
	r.reopenStore()
	ino := r.path("d/f").Ino
	if _, err := r.WriteAt(root, ino, []byte("mine"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "d", "f"), []byte(text("other", 8000)), 0o644); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 4)
	if n, _, err := r.ReadAt(ino, p, 0); err != nil || string(p[:n]) != "mine" {
		t.Errorf("own bytes: %q, %v", p[:n], err)
	}
	if _, _, err := r.ReadAt(ino, p, 2); KindOf(err) != Drifted {
		t.Errorf("bytes of a base that has changed: %v", err)
	}
	if _, err := r.SetAttr(root, ino, SetAttr{Size: ptr(uint64(4))}); err != nil {
		t.Errorf("cutting off what has drifted: %v", err)
	}
	if got := r.content(ino); got != "mine" {
		t.Errorf("content %q", got)
	}
}

package billyfs

import (
	"fmt"
	"path/filepath"
	"testing"
)

// TestTop: files come by what the delta holds of them, by the names that they have now.
func TestTop(t *testing.T) {
	r := newRig(t, newBase(t), filepath.Join(t.TempDir(), "s"))
	defer r.close()
	write := func(ino Ino, off int64, n int) {
		t.Helper()
		if _, err := r.WriteAt(root, ino, make([]byte, n), off); err != nil {
			t.Fatal(err)
		}
	}
	made, _, err := r.Create(root, r.Root(), "made", CreateHow{})
	if err != nil {
		t.Fatal(err)
	}
	write(made.Ino, 1<<30, 3000)
	write(r.path("f").Ino, 2, 100)
	write(r.path("d/f").Ino, 0, 200)
	write(r.path("d/f").Ino, 100, 150)
	if _, _, err := r.Rename(root, r.Root(), "d", r.Root(), "moved"); err != nil {
		t.Fatal(err)
	}
	gone, _, err := r.Create(root, r.Root(), "gone", CreateHow{})
	if err != nil {
		t.Fatal(err)
	}
	write(gone.Ino, 0, 50_000)
	if _, err := r.Remove(root, r.Root(), "gone"); err != nil {
		t.Fatal(err)
	}
	top, err := r.Top(10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range top {
		got = append(got, fmt.Sprint(e.Path, " ", e.Bytes))
	}
	if want := "[made 3000 moved/f 250 f 100]"; fmt.Sprint(got) != want || top[0].Size != 1<<30+3000 {
		t.Errorf("%v, want %s", got, want)
	}
	if top, err := r.Top(1); err != nil || len(top) != 1 || top[0].Path != "made" {
		t.Errorf("the first: %+v, %v", top, err)
	}
}

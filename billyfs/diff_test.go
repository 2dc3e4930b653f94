package billyfs

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// files returns what git knows of a directory: contents by path, with the mode.
func filesBelow(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		switch info, err := e.Info(); {
		case err != nil:
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			m[filepath.ToSlash(rel)] = "link " + target
			return err
		default:
			data, err := os.ReadFile(p)
			m[filepath.ToSlash(rel)] = fmt.Sprintf("%v %s", info.Mode()&0o100 != 0, data)
			return err
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// merged returns the same of a tree.
func mergedFiles(t *testing.T, tr *Tree) map[string]string {
	t.Helper()
	d := patcher{t: tr, news: map[string]Ino{}}
	if err := d.walk(d.after(), "", tr.Root(), d.news); err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for p, ino := range d.news {
		a, err := tr.Attr(ino)
		if err != nil {
			t.Fatal(err)
		}
		if a.Mode&TypeMask == TypeSymlink {
			target, err := tr.Readlink(ino)
			if err != nil {
				t.Fatal(err)
			}
			m[p] = "link " + target
			continue
		}
		data, err := readAll(tr, ino)
		if err != nil {
			t.Fatal(err)
		}
		m[p] = fmt.Sprintf("%v %s", a.Mode&0o100 != 0, data)
	}
	return m
}

// diffRig is a tree over a base of its own, for diffs.
type diffRig struct {
	*rig
	base string
	rng  *rand.Rand
}

func (r *diffRig) text(lines int) string {
	var b strings.Builder
	for range lines {
		fmt.Fprintf(&b, "line %d\n", r.rng.IntN(12))
	}
	s := b.String()
	if len(s) > 0 && r.rng.IntN(4) == 0 {
		s = s[:len(s)-1] // no newline at the end
	}
	return s
}

func newDiffRig(t *testing.T, seed uint64) *diffRig {
	t.Helper()
	r := &diffRig{base: t.TempDir(), rng: rand.New(rand.NewPCG(seed, 5))}
	for i := range 12 {
		p := filepath.Join(r.base, []string{"", "d", "d/e", "with space"}[i%4], fmt.Sprint("f", i))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		data := []byte(r.text(r.rng.IntN(30)))
		if i == 5 || i == 6 {
			data = append(data, 0, 1, 2, 0xff)
		}
		if err := os.WriteFile(p, data, fs.FileMode(0o644|r.rng.IntN(2)*0o111)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("f0", filepath.Join(r.base, "link")); err != nil {
		t.Fatal(err)
	}
	r.rig = newRig(t, r.base, filepath.Join(t.TempDir(), "s"))
	t.Cleanup(r.rig.close)
	return r
}

// apply checks that the diff, applied by git to a copy of the base, makes the merged tree.
func (r *diffRig) apply(t *testing.T, what string) string {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed")
	}
	var patch bytes.Buffer
	if err := r.Diff(&patch, nil); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(r.base)); err != nil {
		t.Fatal(err)
	}
	if patch.Len() > 0 {
		cmd := exec.Command(git, "apply", "--whitespace=nowarn", "-")
		cmd.Dir, cmd.Stdin = dir, bytes.NewReader(patch.Bytes())
		cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir), "GIT_CONFIG_GLOBAL=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: git apply: %v\n%s\n%s", what, err, out, patch.String())
		}
	}
	sameFiles(t, what, dir, r.Tree)
	if t.Failed() {
		t.Fatalf("%s: the patch:\n%s", what, patch.String())
	}
	return patch.String()
}

// step changes something.
func (r *diffRig) step(t *testing.T, n int) {
	t.Helper()
	all := slices.Sorted(maps.Keys(mergedFiles(t, r.Tree)))
	parent := func(p string) (Ino, string) {
		dir, name := filepath.Split(p)
		if dir == "" {
			return r.Root(), name
		}
		return r.path(strings.TrimSuffix(dir, "/")).Ino, name
	}
	check := func(err error) {
		t.Helper()
		if k := KindOf(err); k != 0 && k != Exist && k != NotExist && k != NotDir && k != IsDir && k != NotEmpty && k != Invalid {
			t.Fatalf("step %d: %v", n, err)
		}
	}
	if len(all) == 0 {
		all = []string{"new0"}
	}
	p := all[r.rng.IntN(len(all))]
	dir, name := parent(p)
	a, err := r.Lookup(dir, name)
	there := err == nil
	switch k := r.rng.IntN(12); {
	case k < 4 && there && a.Mode&TypeMask == TypeRegular:
		data := r.text(r.rng.IntN(8))
		if r.rng.IntN(6) == 0 {
			data += "\x00binary now"
		}
		_, err := r.WriteAt(root, a.Ino, []byte(data), r.rng.Int64N(int64(a.Size)+1))
		check(err)
	case k == 4 && there && a.Mode&TypeMask == TypeRegular:
		_, err := r.SetAttr(root, a.Ino, SetAttr{Size: ptr(uint64(r.rng.IntN(int(a.Size) + 1)))})
		check(err)
	case k == 5 && there && a.Mode&TypeMask == TypeRegular:
		_, err := r.SetAttr(root, a.Ino, SetAttr{Mode: ptr(a.Mode ^ 0o111)})
		check(err)
	case k == 6 && there:
		_, err := r.Remove(root, dir, name)
		check(err)
	case k == 7: // a file moves, maybe over another, or to another directory
		to, _ := parent(all[r.rng.IntN(len(all))])
		_, _, err := r.Rename(root, dir, name, to, fmt.Sprint("moved", r.rng.IntN(5)))
		check(err)
	case k == 8: // a directory moves
		_, _, err := r.Rename(root, r.Root(), []string{"d", "with space", "dd"}[r.rng.IntN(3)], r.Root(), []string{"dd", "d", "tab\there"}[r.rng.IntN(3)])
		check(err)
	case k == 9:
		_, _, err := r.Symlink(root, dir, fmt.Sprint("link", r.rng.IntN(3)), fmt.Sprint("to/", n), SetAttr{})
		check(err)
	default:
		made, _, err := r.Create(root, dir, fmt.Sprintf("new %d \"ü\"", r.rng.IntN(4)), CreateHow{})
		check(err)
		if err == nil {
			_, err = r.WriteAt(root, made.Ino, []byte(r.text(r.rng.IntN(6))), 0)
			check(err)
		}
	}
}

// TestDiffApplies: git takes the diff of random histories, and what it makes of the base is
// the merged tree: texts, binary files, modes, symlinks, odd names, renames of files and
// directories.
func TestDiffApplies(t *testing.T) {
	histories := 50
	if testing.Short() || raceEnabled {
		histories = 8
	}
	var all strings.Builder
	for seed := range uint64(histories) {
		r := newDiffRig(t, seed)
		for n := range 25 {
			r.step(t, n)
		}
		all.WriteString(r.apply(t, fmt.Sprintf("seed %d", seed)))
	}
	for _, what := range []string{
		"\nrename from", "similarity index 100%", "GIT binary patch", "\nold mode", "new file mode 120000", "new file mode 100644",
		"deleted file mode", `"b/`, `tab\there`, "\\ No newline at end of file", "+++ /dev/null", "--- /dev/null", "\t\n@@",
	} {
		if n := strings.Count(all.String(), what); n < histories/8 {
			t.Errorf("%q is %d times in the patches of %d histories", what, n, histories)
		}
	}
}

// TestDiffSays: renames are renames, what is ignored stays out, and what a patch cannot
// hold is named.
func TestDiffSays(t *testing.T) {
	r := newDiffRig(t, 1)
	if _, _, err := r.Rename(root, r.Root(), "d", r.Root(), "dd"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Mknod(root, r.Root(), "pipe", 0o010000, 0, 0, SetAttr{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Create(root, r.Root(), ".nfs0001", CreateHow{}); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.Diff(&b, func(p string) bool { return strings.HasPrefix(p, ".nfs") }); err != nil {
		t.Fatal(err)
	}
	s := b.String()
	for _, want := range []string{
		"rename from d/f1\nrename to dd/f1\n", "rename from d/e/f2\nrename to dd/e/f2\n", "similarity index 100%\n",
		"# not in this patch: pipe: special file\n",
	} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in\n%s", want, s)
		}
	}
	if strings.Contains(s, ".nfs") || strings.Contains(s, "@@") || strings.Contains(s, "deleted") {
		t.Errorf("more than renames:\n%s", s)
	}
}

package billyfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"deltafs/billyfs/rootfs"
	"deltafs/deltalog"
)

// writer opens a directory for commits.
func writer(t testing.TB, dir string) Writer {
	t.Helper()
	w, err := rootfs.OpenWritable(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// portrait is all that a commit has to bring to the base, by path. Times of access and of change are
// left out, and the size of directories.
func portrait(t tester, root string) map[string]string {
	t.Helper()
	all, groups := map[string]string{}, map[uint64][]string{}
	err := filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		s := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
		case unix.S_IFREG:
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			s += fmt.Sprintf(" %d %x", st.Nlink, data)
		case unix.S_IFLNK:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			s += " " + target
		default:
			s += fmt.Sprintf(" rdev %d,%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		}
		all[rel] = s + fmt.Sprintf(" at %d", st.Mtim.Nano())
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			groups[st.Ino] = append(groups[st.Ino], rel)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	for _, g := range groups {
		slices.Sort(g)
		for _, p := range g {
			all[p] += fmt.Sprint(" is ", g)
		}
	}
	return all
}

// portraitOf is that of the merged tree.
func portraitOf(t tester, tr *Tree) map[string]string {
	t.Helper()
	all, groups := map[string]string{}, map[Ino][]string{}
	var walk func(p string, ino Ino)
	walk = func(p string, ino Ino) {
		a, err := tr.Attr(ino)
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		s := fmt.Sprintf("%o %d:%d", a.Mode, a.UID, a.GID)
		switch a.Mode & TypeMask {
		case TypeDir:
			_, err := tr.ReadDir(ino, 0, func(e DirEntry) bool {
				if !isDot(e.Name) {
					walk(path.Join(p, e.Name), e.Ino)
				}
				return true
			})
			if err != nil {
				t.Fatalf("%s: %v", p, err)
			}
		case TypeRegular:
			data, err := readAll(tr, ino)
			if err != nil {
				t.Fatalf("%s: %v", p, err)
			}
			s += fmt.Sprintf(" %d %x", a.Nlink, data)
		case TypeSymlink:
			target, err := tr.Readlink(ino)
			if err != nil {
				t.Fatalf("%s: %v", p, err)
			}
			s += " " + target
		default:
			s += fmt.Sprintf(" rdev %d,%d", a.RdevMajor, a.RdevMinor)
		}
		all[p] = s + fmt.Sprintf(" at %d", a.Mtime)
		if a.Mode&TypeMask != TypeDir {
			groups[ino] = append(groups[ino], p)
		}
	}
	walk(".", tr.Root())
	for _, g := range groups {
		slices.Sort(g)
		for _, p := range g {
			all[p] += fmt.Sprint(" is ", g)
		}
	}
	return all
}

// compareTrees fails at what differs.
func compareTrees(t tester, what string, got, want map[string]string) {
	t.Helper()
	var diff []string
	for p := range maps.Keys(want) {
		if g, ok := got[p]; !ok {
			diff = append(diff, fmt.Sprintf("%s is missing: %.200s", p, want[p]))
		} else if g != want[p] {
			diff = append(diff, fmt.Sprintf("%s is\n    %.300s, want\n    %.300s", p, g, want[p]))
		}
	}
	for p := range got {
		if _, ok := want[p]; !ok {
			diff = append(diff, p+" is there: "+fmt.Sprintf("%.200s", got[p]))
		}
	}
	if diff != nil {
		slices.Sort(diff)
		t.Fatalf("%s:\n  %s", what, strings.Join(diff, "\n  "))
	}
}

// copyTree copies a directory with all that a portrait shows.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	links := map[uint64]string{}
	var dirs []func()
	err := filepath.WalkDir(from, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, p)
		dst := filepath.Join(to, rel)
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		if first, ok := links[st.Ino]; ok && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return os.Link(first, dst)
		}
		links[st.Ino] = dst
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			err = os.MkdirAll(dst, 0o700)
		case unix.S_IFREG:
			var data []byte
			if data, err = os.ReadFile(p); err == nil {
				err = os.WriteFile(dst, data, 0o600)
			}
		case unix.S_IFLNK:
			var target string
			if target, err = os.Readlink(p); err == nil {
				err = os.Symlink(target, dst)
			}
		default:
			err = unix.Mknod(dst, st.Mode, int(st.Rdev))
		}
		set := func() {
			_ = os.Lchown(dst, int(st.Uid), int(st.Gid))
			if st.Mode&unix.S_IFMT != unix.S_IFLNK {
				_ = unix.Chmod(dst, st.Mode&0o7777)
			}
			_ = unix.UtimesNanoAt(unix.AT_FDCWD, dst, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
		}
		if set(); st.Mode&unix.S_IFMT == unix.S_IFDIR {
			dirs = append(dirs, set)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(dirs)
	for _, set := range dirs {
		set()
	}
}

// openOver opens a tree over a base that commits may change.
func openOver(t testing.TB, base, dir string, segment int64) *rig {
	t.Helper()
	r := newRigSized(t, openRoot(t, base), dir, segment)
	r.opts.Immutable = false
	r.Tree.Close()
	r.open()
	return r
}

// killer ends a commit at its n-th step, as a crash would.
func killer(n int) func(string) error {
	return func(string) error {
		if n--; n == 0 {
			return errKilled
		}
		return nil
	}
}

// TestCommitHistories plays random histories with commits in between: of all and of some paths, some
// of them killed at a random step, after which another process goes on. The merged tree is what the model
// says, all the time; in the end the base is what the merged tree was.
func TestCommitHistories(t *testing.T) { commitHistories(t, 200) }

// TestCommitTakenAlong is histories in which what a commit of some paths has to take along went wrong: it was
// killed when it had made that, by a hidden name, and it was not needed any more when it went on; and a directory
// was moved below one that had been below it.
func TestCommitTakenAlong(t *testing.T) {
	for _, seed := range []string{"402300015", "1000604095"} {
		t.Run(seed, func(t *testing.T) {
			setFlag(t, "rapid.seed", seed)
			commitHistories(t, 1)
		})
	}
}

// TestCommitIntoItself commits a directory that has been moved into what was moved out of it, and not
// more by name: the other goes along, and goes first.
func TestCommitIntoItself(t *testing.T) {
	for name, c := range map[string]struct {
		ours  []step
		paths []string
	}{
		"by the new name":        {[]step{rename("d/sub", "s"), rename("d", "s/d")}, []string{"s/d"}},
		"by the old name":        {[]step{rename("d/sub", "s"), rename("d", "s/d")}, []string{"d"}},
		"into a new directory":   {[]step{rename("d/sub", "s"), mkdir("s/new"), rename("d", "s/new/d")}, []string{"d"}},
		"by way of two":          {[]step{mkdir("m"), rename("d/sub", "m/s"), rename("e", "m/s/e"), rename("d", "m/s/e/d")}, []string{"d"}},
		"and something below it": {[]step{rename("d/sub", "s"), rename("d", "s/d"), write("s/d/f", "ours")}, []string{"s/d/f"}},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			populate(t, base)
			r := openOver(t, base, t.TempDir()+"/s", smallSegment)
			defer r.close()
			for _, s := range c.ours {
				s(t, r)
			}
			want := portraitOf(t, r.Tree)
			w := writer(t, base)
			for _, paths := range [][]string{c.paths, nil} {
				done, err := r.Commit(CommitOptions{Base: w, Paths: paths})
				if err != nil || len(done.Conflicts)+len(done.Kept) > 0 {
					t.Fatalf("commit of %q: %v, %+v", paths, err, done)
				}
				compareTrees(t, "the merged tree after a commit", portraitOf(t, r.Tree), want)
			}
			compareTrees(t, "the base in the end", portrait(t, base), want)
		})
	}
}

func commitHistories(t *testing.T, n int) {
	plain, stores := t.TempDir(), storesDir(t)
	populate(t, plain)
	checks(t, n)
	rapid.Check(t, func(rt *rapid.T) {
		base := freshDir(stores)
		copyTree(t, plain, base)
		defer os.RemoveAll(base)
		r := openOver(t, base, freshDir(stores), smallSegment)
		m := &mem{}
		m.load(t, base)
		w := writer(t, base)
		h := newHistory(rt, r, m)
		h.who = []Caller{root, user}
		h.commit = func() { h.playCommit(w) }
		for range steps {
			h.play()
		}
		h.finishTrees()
		want := portraitOf(rt, r.Tree)
		done, err := r.Commit(CommitOptions{Base: w})
		if err != nil || len(done.Conflicts)+len(done.Kept) > 0 {
			rt.Fatalf("last commit: %v, %+v", err, done)
		}
		compareTrees(rt, "the base after a commit is not what the merged tree was before", portrait(rt, base), want)
		compareTrees(rt, "the merged tree after a commit is not what it was before", portraitOf(rt, r.Tree), want)
		h.checkClean()
		h.reopen(rapid.Bool().Draw(rt, "clean"))
		h.walk(&pair{tree: r.Root(), want: m.root()}, 0)
		compareTrees(rt, "the merged tree is another after a restart", portraitOf(rt, r.Tree), want)
		r.close()
		os.RemoveAll(r.dir)
		w.(io.Closer).Close()
		r.fs.(io.Closer).Close()
	})
}

// checkClean fails unless the delta is empty.
func (h *history) checkClean() {
	h.Helper()
	if err := h.tree.rig.Status(func(e StatusEntry) error { return fmt.Errorf("%c %s", e.Code, e.Path) }); err != nil {
		h.Fatalf("after a commit of everything there is %v", err)
	}
}

// playCommit commits all, or what is below some names.
func (h *history) playCommit(w Writer) {
	r := h.tree.rig
	o := CommitOptions{Base: w}
	for range rapid.IntRange(0, 3).Draw(h.T, "paths") {
		o.Paths = append(o.Paths, rapid.SampledFrom([]string{"a", "b", "c", "d", "d/sub", "d/f", "e", "f", "g", "l", "sub", "many", "e/f", "a/b"}).Draw(h.T, "path"))
	}
	if n := rapid.IntRange(0, 40).Draw(h.T, "kill at"); n > 0 {
		o.hook = killer(n)
	}
	before := portraitOf(h.T, r.Tree)
	done, err := r.Commit(o)
	if errors.Is(err, errKilled) {
		compareTrees(h.T, fmt.Sprintf("step %d: the merged tree is another while a commit is cut short", h.step), portraitOf(h.T, r.Tree), before)
		if rapid.Bool().Draw(h.T, "restart") {
			h.reopen(false)
		}
		compareTrees(h.T, fmt.Sprintf("step %d: the merged tree is another after a commit was cut short", h.step), portraitOf(h.T, r.Tree), before)
		if rapid.Bool().Draw(h.T, "resume") {
			done, err = r.Resume(CommitOptions{Base: w})
		} else {
			done, err = r.Commit(CommitOptions{Base: w})
		}
	}
	if err != nil || len(done.Conflicts)+len(done.Kept) > 0 {
		h.Fatalf("step %d: commit of %q: %v, %+v", h.step, o.Paths, err, done)
	}
	compareTrees(h.T, fmt.Sprintf("step %d: the merged tree is another after a commit of %q", h.step, o.Paths), portraitOf(h.T, r.Tree), before)
	err = filepath.WalkDir(r.fs.Root(), func(p string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(filepath.Base(p), ".deltafs-") {
			h.Errorf("step %d: a commit of %q has left %s", h.step, o.Paths, p)
		}
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
}

// TestCommitOverChangedBase changes the base underneath in twenty ways: each is a conflict, which names
// the path, and nothing of it is overwritten unless that is asked for.
func TestCommitOverChangedBase(t *testing.T) {
	at := func(base string, p string) string { return filepath.Join(base, filepath.FromSlash(p)) }
	put := func(p, s string) func(t *testing.T, base string) {
		return func(t *testing.T, base string) { must(t, os.WriteFile(at(base, p), []byte(s), 0o644)) }
	}
	theyRemove := func(p string) func(t *testing.T, base string) {
		return func(t *testing.T, base string) { must(t, os.RemoveAll(at(base, p))) }
	}
	all := func(fns ...func(*testing.T, string)) func(*testing.T, string) {
		return func(t *testing.T, base string) {
			for _, fn := range fns {
				fn(t, base)
			}
		}
	}
	for name, c := range map[string]struct {
		ours   step
		theirs func(t *testing.T, base string)
		path   string
	}{
		"content":                                 {write("d/f", "ours"), put("d/f", "theirs"), "d/f"},
		"content of the same length":              {write("d/f", "ours"), put("d/f", text("x/f", 9000)), "d/f"},
		"truncation":                              {write("d/f", "ours"), func(t *testing.T, b string) { must(t, os.Truncate(at(b, "d/f"), 10)) }, "d/f"},
		"growth":                                  {write("d/f", "ours"), func(t *testing.T, b string) { must(t, os.Truncate(at(b, "d/f"), 10000)) }, "d/f"},
		"a directory in place of a file":          {write("d/f", "ours"), all(theyRemove("d/f"), func(t *testing.T, b string) { must(t, os.Mkdir(at(b, "d/f"), 0o755)) }), "d/f"},
		"a symlink in place of a file":            {write("d/f", "ours"), all(theyRemove("d/f"), func(t *testing.T, b string) { must(t, os.Symlink("g", at(b, "d/f"))) }), "d/f"},
		"a file in place of a directory":          {create("d/sub/new"), all(theyRemove("d/sub"), put("d/sub", "file")), "d/sub/new"},
		"removal":                                 {write("d/f", "ours"), theyRemove("d/f"), "d/f"},
		"removal of a directory":                  {write("d/sub/g", "ours"), theyRemove("d/sub"), "d/sub/g"},
		"removal of the directory of what is new": {create("e/new"), theyRemove("e"), "e"},
		"another name":                            {write("d/f", "ours"), func(t *testing.T, b string) { must(t, os.Rename(at(b, "d/f"), at(b, "d/away"))) }, "d/f"},
		"another name of its directory":           {write("d/sub/g", "ours"), func(t *testing.T, b string) { must(t, os.Rename(at(b, "d/sub"), at(b, "d/away"))) }, "d/sub/g"},
		"permissions":                             {write("d/f", "ours"), func(t *testing.T, b string) { must(t, os.Chmod(at(b, "d/f"), 0o600)) }, "d/f"},
		"another file of the same content": {write("g", "ours"), func(t *testing.T, b string) {
			fi, err := os.Stat(at(b, "g"))
			must(t, err)
			must(t, os.Remove(at(b, "g")))
			must(t, os.WriteFile(at(b, "g"), nil, 0o644))
			must(t, os.Chtimes(at(b, "g"), fi.ModTime(), fi.ModTime()))
		}, "g"},
		"another name more":              {write("d/f", "ours"), func(t *testing.T, b string) { must(t, os.Link(at(b, "d/f"), at(b, "d/more"))) }, "d/f"},
		"content of what is removed":     {remove("d/f"), put("d/f", "theirs"), "d/f"},
		"content of what is renamed":     {rename("d/f", "d/ours"), put("d/f", "theirs"), "d/ours"},
		"content of what is replaced":    {rename("d/f", "g"), put("g", "theirs"), "g"},
		"a file where ours is new":       {create("d/new"), put("d/new", "theirs"), "d/new"},
		"something in a removed one":     {removeAll("d/sub"), put("d/sub/theirs", "theirs"), "d/sub"},
		"a symlink that leads elsewhere": {rename("l", "d/l2"), all(theyRemove("l"), func(t *testing.T, b string) { must(t, os.Symlink("elsewhere", at(b, "l"))) }), "d/l2"},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			populate(t, base)
			r := openOver(t, base, t.TempDir()+"/s", smallSegment)
			defer r.close()
			c.ours(t, r)
			c.theirs(t, base)
			before := portrait(t, base)
			w := writer(t, base)
			_, err := r.Commit(CommitOptions{Base: w})
			var conflict *ConflictError
			if !errors.As(err, &conflict) || KindOf(err) != Drifted {
				t.Fatalf("commit: %v", err)
			}
			if !slices.ContainsFunc(conflict.Conflicts, func(x Conflict) bool { return x.Path == c.path }) {
				t.Errorf("%s is not among the conflicts: %v", c.path, err)
			}
			compareTrees(t, "the base after a commit that was refused", portrait(t, base), before)

			// Others are committed, and what is in conflict stays in the delta.
			create("fresh")(t, r)
			done, err := r.Commit(CommitOptions{Base: w, OnConflict: ConflictDelta})
			must(t, err)
			if _, err := os.Stat(at(base, "fresh")); err != nil {
				t.Error(err)
			}
			now := portrait(t, base)
			for _, x := range done.Conflicts {
				if now[x.Path] != before[x.Path] && x.Reason != reasonFull { // what we have removed in it is gone
					t.Errorf("%s is in conflict (%s) and was changed", x.Path, x.Reason)
				}
			}

			// The base wins.
			_, err = r.Commit(CommitOptions{Base: w, OnConflict: ConflictBase})
			must(t, err)
			for p, s := range portrait(t, base) {
				if strings.Contains(s, fmt.Sprintf("%x", "theirs")) && before[p] != s && now[p] != s {
					t.Errorf("%s was changed: %s", p, s)
				}
			}
			must(t, r.Status(func(e StatusEntry) error {
				t.Errorf("%c %s (%s) is left", e.Code, e.Path, e.Conflict)
				return nil
			}))
		})
	}
}

// seq is several steps.
func seq(all ...step) step {
	return func(t *testing.T, r *rig) {
		for _, s := range all {
			s(t, r)
		}
	}
}

// TestCommitKilledAtEveryStep kills a commit at each of its steps, one after the other, and lets another
// process finish it: the merged tree is the same before, between and after, and in the end the base is it, too.
func TestCommitKilledAtEveryStep(t *testing.T) {
	plain, stores := t.TempDir(), storesDir(t)
	populate(t, plain)
	for i := 10; i < 30; i++ { // what no history changes would only take time
		must(t, os.Remove(filepath.Join(plain, "many", fmt.Sprintf("n%02d", i))))
	}
	// Circles and swaps of names, in each other and with new things in between; links, types, removals.
	crafted := seq(
		write("d/f", "ours"), write("f", "of three names"), create("new"), write("new", text("new", 3000)), mkdir("dir"),
		rename("new", "dir/new"), link("dir/new", "dir/again"), symlink("dir/link"), remove("g"), mkdir("g"), create("g/in"),
		rename("d/sub", "tmp"), rename("d", "tmp/d"), rename("tmp", "d"), // d/sub and d change places
		rename("e/h", "e/t"), rename("e/f", "e/h"), rename("e/t", "e/f"),
		remove("many/n00"), remove("many/n01"), create("many/n01"), rename("many/n02", "many/n03"), link("many/n04", "many/more"),
		set("many/n05", SetAttr{Mode: ptr(uint32(0o640)), Mtime: ptr(int64(77))}), set("e", SetAttr{Mode: ptr(uint32(0o711))}),
		remove("l"), rename("d/d/l", "l"),
	)
	t.Run("crafted", func(t *testing.T) {
		if n := killEverywhere(t, plain, stores, crafted); n < 50 {
			t.Fatalf("a commit has %d steps only", n)
		}
	})
	t.Run("found by a soak", func(t *testing.T) {
		for _, seed := range []uint64{2259} { // the last name of a file that is dead is not the one it was met by
			killEverywhere(t, plain, stores, func(t *testing.T, r *rig) { changeRandomly(t, r, seed, 12) })
		}
	})
	histories := 200
	if raceEnabled || testing.Short() {
		histories = 10
	}
	if n, err := strconv.Atoi(os.Getenv("DELTAFS_SOAK")); err == nil && n > 0 {
		histories *= n
	}
	first, _ := strconv.Atoi(os.Getenv("DELTAFS_FROM")) // a soak may go on where another has ended
	for part := range 2 {
		t.Run(fmt.Sprint("random-", part), func(t *testing.T) {
			t.Parallel()
			kills, seed := 0, 0
			defer func() {
				if t.Failed() {
					t.Logf("DELTAFS_FROM=%d", seed)
				}
			}()
			for seed = first + part; seed < first+histories; seed += 2 {
				kills += killEverywhere(t, plain, stores, func(t *testing.T, r *rig) { changeRandomly(t, r, uint64(seed), 12) })
				if t.Failed() {
					return
				}
			}
			t.Logf("%d histories from seed %d on, killed %d times", (histories+1-part)/2, first+part, kills)
		})
	}
}

// killEverywhere plays the same history again and again, and kills its commit one step later each time. It returns
// how many steps there are. In the last round a reader looks at everything after each.
func killEverywhere(t *testing.T, plain, stores string, history step) int {
	for n := 1; ; n++ {
		base := freshDir(stores)
		copyTree(t, plain, base)
		r := openOver(t, base, freshDir(stores), smallSegment)
		history(t, r)
		want := portraitOf(t, r.Tree)
		handles := map[string]Handle{}
		eachObject(t, r.Tree, func(p string, ino Ino) {
			h, err := r.Handle(ino)
			must(t, err)
			handles[p] = h
		})
		w := writer(t, base)
		_, err := r.Commit(CommitOptions{Base: w, hook: killer(n)})
		last := err == nil
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatalf("killed at step %d: %v", n, err)
		}
		if !last {
			compareTrees(t, fmt.Sprintf("killed at step %d, the same process", n), portraitOf(t, r.Tree), want)
			r.reopen(false)
			compareTrees(t, fmt.Sprintf("killed at step %d, another process", n), portraitOf(t, r.Tree), want)
			steps := 0
			_, err := r.Tree.Commit(CommitOptions{Base: w, hook: func(at string) error {
				if steps++; n%8 == 0 { // a reader that looks all the time
					compareTrees(t, fmt.Sprintf("killed at step %d, resumed, %d steps on, %s", n, steps, at), portraitOf(t, r.Tree), want)
				}
				return nil
			}})
			if err != nil {
				t.Fatalf("killed at step %d: %v", n, err)
			}
		}
		compareTrees(t, fmt.Sprintf("killed at step %d, the base", n), portrait(t, base), want)
		r.reopen(false)
		compareTrees(t, fmt.Sprintf("killed at step %d, in the end", n), portraitOf(t, r.Tree), want)
		for p, h := range handles {
			if ino, err := r.Resolve(h); err != nil || ino != r.path(p).Ino {
				t.Fatalf("killed at step %d: the handle of %s leads to %d, %v", n, p, ino, err)
			}
			if again, err := r.Handle(h.Ino); err != nil || again != h {
				t.Fatalf("killed at step %d: the handle of %s is another: %+v, was %+v, %v", n, p, again, h, err)
			}
		}
		r.close()
		w.(io.Closer).Close() // now: there are thousands
		r.fs.(io.Closer).Close()
		os.RemoveAll(base)
		os.RemoveAll(r.dir)
		if last {
			return n - 1
		}
	}
}

// changeRandomly makes n random changes, some of which fail: the same ones for a seed, whenever it is called on the
// same tree.
func changeRandomly(t *testing.T, r *rig, seed uint64, n int) {
	rng := rand.New(rand.NewPCG(seed, 5))
	names := []string{"a", "b", "f", "g", "sub", "d", "l"}
	for range n {
		var paths []string
		var dirs []Ino
		inos := map[string]Ino{}
		eachObject(t, r.Tree, func(p string, ino Ino) {
			if strings.HasPrefix(p, "many/n1") || strings.HasPrefix(p, "many/n2") {
				return
			}
			paths = append(paths, p)
			inos[p] = ino
		})
		slices.Sort(paths)
		for _, p := range paths {
			if a, err := r.Attr(inos[p]); err == nil && a.Mode&TypeMask == TypeDir {
				dirs = append(dirs, inos[p])
			}
		}
		some := func() string { return paths[rng.IntN(len(paths))] }
		dir := func() Ino { return dirs[rng.IntN(len(dirs))] }
		name := func() string { return names[rng.IntN(len(names))] }
		parent := func(p string) (Ino, string) {
			d, base := path.Split(p)
			return inos[strings.TrimSuffix(d, "/")], base
		}
		p := some()
		switch rng.IntN(12) {
		case 0:
			_, _, _ = r.Create(user, dir(), name(), CreateHow{Mode: Guarded, Attr: SetAttr{Size: ptr(uint64(rng.IntN(5000)))}})
		case 1:
			_, _, _ = r.Mkdir(user, dir(), name(), SetAttr{Mode: ptr(uint32(0o2775))})
		case 2, 3:
			_, _ = r.WriteAt(root, inos[p], []byte(text(p+"!", 1+rng.IntN(4000))), int64(rng.IntN(9000)))
		case 4:
			_, _ = r.SetAttr(root, inos[p], SetAttr{Size: ptr(uint64(rng.IntN(6000)))})
		case 5, 6, 7:
			d, base := parent(p)
			_, _, _ = r.Rename(root, d, base, dir(), name())
		case 8:
			_, _, _ = r.Link(root, inos[p], dir(), name())
		case 9:
			_, _, _ = r.Symlink(root, dir(), name(), "to/"+p, SetAttr{})
		case 10:
			if p != "" {
				removeAll(p)(t, r)
			}
		case 11:
			a, err := r.Attr(inos[p])
			must(t, err)
			if a.Mode&TypeMask == TypeSymlink {
				break
			}
			_, _ = r.SetAttr(root, inos[p], SetAttr{Mode: ptr(uint32(rng.IntN(0o10000))), UID: ptr(uint32(rng.IntN(3))), Mtime: ptr(rng.Int64N(1 << 60))})
		}
	}
}

// eachObject calls fn for all that can be reached.
func eachObject(t *testing.T, tr *Tree, fn func(p string, ino Ino)) {
	var walk func(p string, ino Ino)
	walk = func(p string, ino Ino) {
		fn(p, ino)
		if a, err := tr.Attr(ino); err != nil || a.Mode&TypeMask != TypeDir {
			must(t, err)
			return
		}
		_, err := tr.ReadDir(ino, 0, func(e DirEntry) bool {
			if !isDot(e.Name) {
				walk(strings.TrimPrefix(p+"/"+e.Name, "/"), e.Ino)
			}
			return true
		})
		must(t, err)
	}
	walk("", tr.Root())
}

// TestPinsAreBounded commits many small files to a store of little room: pins of the first are given up,
// those of what is in use and of the last stay, and every file is what it was.
func TestPinsAreBounded(t *testing.T) {
	base := t.TempDir()
	dir := t.TempDir() + "/s"
	s, err := deltalog.Create(dir, deltalog.Options{Manual: true, SegmentSize: 128 << 10, Limit: 2 << 20})
	must(t, err)
	r := &rig{t: t, fs: openRoot(t, base), dir: dir, store: s}
	r.open()
	defer r.close()
	w := writer(t, base)
	const n = 1600
	var inos []Ino
	for i := range n {
		name := fmt.Sprintf("f%04d", i)
		a, _, err := r.Create(root, RootIno, name, CreateHow{Mode: Guarded})
		must(t, err)
		inos = append(inos, a.Ino)
		if i%100 == 99 {
			if i > 1000 { // something is said of the first
				write("f0000", fmt.Sprint(i))(t, r)
			}
			must(t, s.Checkpoint())
			_, err := r.Commit(CommitOptions{Base: w})
			must(t, err)
			_, err = s.Clean(0.01, nil)
			must(t, err)
			if i > 900 {
				write("f0000", fmt.Sprint("again ", i))(t, r)
			}
		}
	}
	u, err := s.Usage()
	must(t, err)
	info, err := s.Info()
	must(t, err)
	if most := int(u.Limit / pinShare / pinCost); info.Pins > most || info.Pins < most/2 {
		t.Errorf("%d pins, at most %d", info.Pins, most)
	}
	kept := 0
	for i, ino := range inos {
		a := r.path(fmt.Sprintf("f%04d", i))
		if a.Ino == ino {
			kept++
		} else if _, err := r.Attr(ino); KindOf(err) != Stale {
			t.Fatalf("file %d has another number, and its old one: %v", i, err)
		}
	}
	if last := r.path(fmt.Sprintf("f%04d", n-1)); last.Ino != inos[n-1] || kept != info.Pins {
		t.Errorf("%d files have their numbers, with %d pins; the last has %d, was %d", kept, info.Pins, last.Ino, inos[n-1])
	}
	want := portraitOf(t, r.Tree)
	r.Tree.Close()
	r.open()
	compareTrees(t, "another process", portraitOf(t, r.Tree), want)
}

// moody is a base that does not set times.
type moody struct{ Writer }

func (moody) Chtimes(string, time.Time, time.Time) error { return syscall.EINVAL }

// TestCommitThatFailsHalfway writes a file in place and cannot finish it: that the base has changed is its own doing,
// so the file reads as before, and the next commit is not refused.
func TestCommitThatFailsHalfway(t *testing.T) {
	base := t.TempDir()
	populate(t, base)
	r := openOver(t, base, t.TempDir()+"/s", smallSegment)
	defer r.close()
	write("d/f", "ours")(t, r)
	want := portraitOf(t, r.Tree)
	w := writer(t, base)
	done, err := r.Commit(CommitOptions{Base: moody{w}, Paths: []string{"d/f"}})
	must(t, err)
	if len(done.Conflicts) != 1 || done.Conflicts[0].Path != "d/f" {
		t.Fatalf("conflicts: %v", done.Conflicts)
	}
	compareTrees(t, "after a commit that failed halfway", portraitOf(t, r.Tree), want)
	r.reopen(false)
	compareTrees(t, "another process", portraitOf(t, r.Tree), want)
	if done, err = r.Tree.Commit(CommitOptions{Base: w}); err != nil || len(done.Conflicts) > 0 {
		t.Fatalf("the next commit: %v, %v", err, done.Conflicts)
	}
	compareTrees(t, "the base", portrait(t, base), want)
}

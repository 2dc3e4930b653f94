package billyfs

import (
	"errors"
	"io/fs"
	"math"
	"strings"
	"testing"

	"deltafs/deltalog"
)

func failsAs(t *testing.T, what string, err error, want Kind) {
	t.Helper()
	if KindOf(err) != want {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// TestNamesAreChecked gives every call on names every name that is none.
func TestNamesAreChecked(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	lsn := r.store.LastLSN()
	d, f := r.path("d").Ino, r.path("f").Ino
	calls := map[string]func(string) error{
		"lookup":      func(s string) error { _, err := r.Lookup(d, s); return err },
		"create":      func(s string) error { _, _, err := r.Create(root, d, s, CreateHow{}); return err },
		"guarded":     func(s string) error { _, _, err := r.Create(root, d, s, CreateHow{Mode: Guarded}); return err },
		"mkdir":       func(s string) error { _, _, err := r.Mkdir(root, d, s, SetAttr{}); return err },
		"symlink":     func(s string) error { _, _, err := r.Symlink(root, d, s, "t", SetAttr{}); return err },
		"mknod":       func(s string) error { _, _, err := r.Mknod(root, d, s, TypeFIFO, 0, 0, SetAttr{}); return err },
		"link":        func(s string) error { _, _, err := r.Link(root, f, d, s); return err },
		"remove":      func(s string) error { _, err := r.Remove(root, d, s); return err },
		"rmdir":       func(s string) error { _, err := r.Rmdir(root, d, s); return err },
		"rename from": func(s string) error { _, _, err := r.Rename(root, d, s, d, "x"); return err },
		"rename to":   func(s string) error { _, _, err := r.Rename(root, d, "f", d, s); return err },
	}
	dots := map[string][2]Kind{ // of "." and ".."
		"lookup": {0, 0}, "create": {IsDir, IsDir}, "guarded": {Exist, Exist}, "mkdir": {Exist, Exist},
		"symlink": {Exist, Exist}, "mknod": {Exist, Exist}, "link": {Exist, Exist}, "remove": {IsDir, IsDir},
		"rmdir": {Invalid, NotEmpty}, "rename from": {Invalid, Invalid}, "rename to": {Invalid, Invalid},
	}
	for what, call := range calls {
		for _, s := range []string{"", "a/b", "/", "a\x00"} {
			failsAs(t, what+" of "+s, call(s), Invalid)
		}
		failsAs(t, what+" of a long name", call(strings.Repeat("n", MaxName+1)), NameTooLong)
		failsAs(t, what+" of .", call("."), dots[what][0])
		failsAs(t, what+" of ..", call(".."), dots[what][1])
	}
	if r.store.LastLSN() != lsn {
		t.Error("a refused name has written something")
	}
	if _, _, err := r.Create(root, d, strings.Repeat("é", 127)+"x", CreateHow{}); err != nil {
		t.Errorf("name of %d bytes: %v", MaxName, err)
	}
}

func TestCreateModes(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	top := r.Root()
	f := r.path("f")
	was := r.content(f.Ino)
	a, ch, err := r.Create(user, top, "f", CreateHow{Attr: SetAttr{Mode: ptr(uint32(0)), UID: ptr(uint32(5))}})
	if err != nil || a != f || ch.Before != ch.After || r.content(f.Ino) != was {
		t.Errorf("unchecked over a file changed it: %+v, %v", a, err)
	}
	_, _, err = r.Create(user, top, "f", CreateHow{Mode: Guarded})
	failsAs(t, "guarded over a file", err, Exist)
	_, _, err = r.Create(user, top, "f", CreateHow{Mode: Exclusive, Verifier: 1})
	failsAs(t, "exclusive over another's file", err, Exist)
	_, _, err = r.Create(user, top, "d", CreateHow{})
	failsAs(t, "unchecked over a directory", err, IsDir)
	_, _, err = r.Create(user, top, "l", CreateHow{})
	failsAs(t, "unchecked over a symlink", err, Exist)
	if a, _, err = r.Create(user, top, "f", CreateHow{Attr: SetAttr{Size: ptr(uint64(3))}}); err != nil || a.Size != 3 || a.Mtime == f.Mtime {
		t.Errorf("unchecked with a size: %+v, %v", a, err)
	}
	_, _, err = r.Create(user, top, "huge", CreateHow{Attr: SetAttr{Size: ptr(uint64(1 << 63))}})
	failsAs(t, "size of 2^63", err, TooBig)
}

// TestExclusiveCreateCanBeRepeated as long as nobody has used the file, over
// a restart too.
func TestExclusiveCreateCanBeRepeated(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	how := CreateHow{Mode: Exclusive, Verifier: 77}
	first, _, err := r.Create(user, r.Root(), "x", how)
	if err != nil {
		t.Fatal(err)
	}
	r.reopen(false)
	again, _, err := r.Create(user, r.Root(), "x", how)
	if err != nil || again.Ino != first.Ino {
		t.Errorf("repeated: %+v, %v", again, err)
	}
	_, _, err = r.Create(user, r.Root(), "x", CreateHow{Mode: Exclusive, Verifier: 78})
	failsAs(t, "another verifier", err, Exist)
	if _, err := r.SetAttr(user, first.Ino, SetAttr{Mode: ptr(uint32(0o640))}); err != nil {
		t.Fatal(err)
	}
	_, _, err = r.Create(user, r.Root(), "x", how)
	failsAs(t, "after the first SetAttr", err, Exist)
}

func TestSizeLimits(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	ino := r.path("f").Ino
	for _, size := range []uint64{1 << 63, math.MaxUint64} {
		_, err := r.SetAttr(root, ino, SetAttr{Size: &size})
		failsAs(t, "size beyond the limit", err, TooBig)
	}
	if ch, err := r.SetAttr(root, ino, SetAttr{Size: ptr(uint64(math.MaxInt64))}); err != nil || ch.After.Size != math.MaxInt64 {
		t.Errorf("size at the limit: %v", err)
	}
	if n, eof, err := r.ReadAt(ino, make([]byte, 10), math.MaxInt64-3); n != 3 || !eof || err != nil {
		t.Errorf("read at the limit: %d, %v, %v", n, eof, err)
	}
	_, err := r.WriteAt(root, ino, []byte("ab"), math.MaxInt64-1)
	failsAs(t, "write beyond the limit", err, TooBig)
	_, err = r.WriteAt(root, ino, []byte("ab"), -1)
	failsAs(t, "write before the start", err, Invalid)
	if ch, err := r.WriteAt(root, ino, []byte("ab"), math.MaxInt64-2); err != nil || ch.After.Size != math.MaxInt64 {
		t.Errorf("write at the limit: %v", err)
	}
}

func TestSymlinkAndLinkLimits(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	top := r.Root()
	_, _, err := r.Symlink(root, top, "s", "", SetAttr{})
	failsAs(t, "empty target", err, NotExist)
	_, _, err = r.Symlink(root, top, "s", "a\x00b", SetAttr{})
	failsAs(t, "NUL in a target", err, Invalid)
	_, _, err = r.Symlink(root, top, "s", strings.Repeat("t", MaxTarget+1), SetAttr{})
	failsAs(t, "long target", err, NameTooLong)
	if a, _, err := r.Symlink(root, top, "s", strings.Repeat("t", MaxTarget), SetAttr{}); err != nil || a.Size != MaxTarget {
		t.Errorf("longest target: %v", err)
	}
	_, _, err = r.Mknod(root, top, "n", TypeRegular, 0, 0, SetAttr{})
	failsAs(t, "mknod of a regular file", err, Invalid)
	_, _, err = r.Link(root, r.path("d").Ino, top, "dd")
	failsAs(t, "link to a directory", err, NotPermitted)
	_, _, err = r.Link(root, r.path("f").Ino, top, "d")
	failsAs(t, "link over a name", err, Exist)

	// The record of a file with all the links that it can have.
	f := r.path("f").Ino
	if _, err := r.SetAttr(root, f, SetAttr{Mode: ptr(uint32(0o600))}); err != nil {
		t.Fatal(err)
	}
	set := r.lock(f)
	u := r.begin("test", root, set)
	e, err := u.edit(f)
	if err != nil {
		t.Fatal(err)
	}
	e.rec.Nlink = MaxLinks
	if _, err := u.commit(); err != nil {
		t.Fatal(err)
	}
	set.unlock()
	_, _, err = r.Link(root, f, top, "more")
	failsAs(t, "one link too many", err, TooManyLinks)
}

// TestSetIDBits follows setuid and setgid through the calls that take them off.
func TestSetIDBits(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	for _, c := range []struct {
		what       string
		mode, want uint32
		call       func(ino Ino) error
	}{
		{"write by root", 0o6755, 0o6755, func(i Ino) error { _, err := r.WriteAt(root, i, []byte("x"), 0); return err }},
		{"write by a user", 0o6755, 0o755, func(i Ino) error { _, err := r.WriteAt(user, i, []byte("x"), 0); return err }},
		{"write, setgid without group execution", 0o6745, 0o2745, func(i Ino) error { _, err := r.WriteAt(user, i, []byte("x"), 0); return err }},
		{"truncate by a user", 0o6755, 0o755, func(i Ino) error { _, err := r.SetAttr(user, i, SetAttr{Size: ptr(uint64(0))}); return err }},
		{"truncate by root", 0o6755, 0o6755, func(i Ino) error { _, err := r.SetAttr(root, i, SetAttr{Size: ptr(uint64(0))}); return err }},
		{"chown by root", 0o6755, 0o755, func(i Ino) error { _, err := r.SetAttr(root, i, SetAttr{UID: ptr(uint32(1))}); return err }},
		{"chgrp by a user", 0o4755, 0o755, func(i Ino) error { _, err := r.SetAttr(user, i, SetAttr{GID: ptr(uint32(1))}); return err }},
		{"chmod", 0o755, 0o7777, func(i Ino) error { _, err := r.SetAttr(user, i, SetAttr{Mode: ptr(uint32(0o107777))}); return err }},
		{"empty write", 0o6755, 0o6755, func(i Ino) error { _, err := r.WriteAt(user, i, nil, 0); return err }},
	} {
		a, _, err := r.Create(root, r.Root(), c.what, CreateHow{Attr: SetAttr{Mode: &c.mode}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.call(a.Ino); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		if got := r.path(c.what).Mode & allPerms; got != c.want {
			t.Errorf("%s: mode %o, want %o", c.what, got, c.want)
		}
	}
}

func TestOwnersOfNewObjects(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	shared, _, err := r.Mkdir(root, r.Root(), "shared", SetAttr{Mode: ptr(uint32(0o2775)), GID: ptr(uint32(50))})
	if err != nil || shared.GID != 50 {
		t.Fatal(shared, err)
	}
	f, _, err := r.Create(user, shared.Ino, "f", CreateHow{Attr: SetAttr{Mode: ptr(uint32(0o2755)), UID: ptr(uint32(0))}})
	if err != nil || f.UID != 1000 || f.GID != 50 || f.Mode&allPerms != 0o755 {
		t.Errorf("file in a setgid directory: %+v, %v", f, err)
	}
	d, _, err := r.Mkdir(user, shared.Ino, "d", SetAttr{Mode: ptr(uint32(0o755))})
	if err != nil || d.GID != 50 || d.Mode&allPerms != 0o2755 || d.Nlink != 2 {
		t.Errorf("directory in a setgid directory: %+v, %v", d, err)
	}
	if a := r.path("shared"); a.Nlink != 3 {
		t.Errorf("nlink %d", a.Nlink)
	}
}

// TestGuardAndTimes checks the guard of SetAttr, and that ctime moves also when
// the clock stands still or goes back.
func TestGuardAndTimes(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	r.Tree.now = func() int64 { return 1000 }
	a := r.path("f")
	_, err := r.SetAttr(root, a.Ino, SetAttr{Mode: ptr(uint32(0)), Guard: ptr(a.Ctime + 1)})
	failsAs(t, "guard that does not match", err, NotSync)
	ch, err := r.SetAttr(root, a.Ino, SetAttr{AtimeNow: true, Guard: &a.Ctime})
	if err != nil || ch.Before != a || ch.After.Ctime != a.Ctime+1 || ch.After.Mtime != a.Mtime || ch.After.Atime != ch.After.Ctime {
		t.Errorf("%+v, %v", ch, err)
	}
	if ch, err = r.SetAttr(root, a.Ino, SetAttr{}); err != nil || ch.Before != ch.After {
		t.Errorf("setting nothing: %+v, %v", ch, err)
	}
	last := r.path("f")
	for range 3 {
		if _, err := r.WriteAt(root, a.Ino, []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
		now := r.path("f")
		if now.Ctime <= last.Ctime || now.Mtime != now.Ctime {
			t.Errorf("times %d, %d after %d", now.Mtime, now.Ctime, last.Ctime)
		}
		last = now
	}
}

// TestRemovedNamesOfTheBase removes one object in all the ways that it can be
// reached, and makes new ones in its place.
func TestRemovedNamesOfTheBase(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	f := r.path("f")
	if f.Nlink != 3 || r.path("d/hard").Ino != f.Ino {
		t.Skip("this system's base shows no hard links")
	}
	for i, n := range [][2]string{{"", "f"}, {"d", "hard"}, {"e", "f"}} {
		if a, err := r.Attr(f.Ino); err != nil || a.Nlink != uint32(3-i) {
			t.Errorf("before removing %q: nlink %d, %v", n, a.Nlink, err)
		}
		if _, err := r.Remove(root, r.path(n[0]).Ino, n[1]); err != nil {
			t.Fatal(err)
		}
	}
	_, err := r.Attr(f.Ino)
	failsAs(t, "attributes after the last name", err, Stale)
	_, err = r.WriteAt(root, f.Ino, []byte("x"), 0)
	failsAs(t, "write after the last name", err, Stale)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
	a, _, err := r.Create(root, r.Root(), "f", CreateHow{Mode: Guarded})
	if err != nil || a.Ino == f.Ino || r.content(a.Ino) != "" {
		t.Errorf("new file in its place: %+v, %v", a, err)
	}
	if _, err := r.Remove(root, r.Root(), "f"); err != nil {
		t.Fatal(err)
	}
	r.reopen(false)
	_, err = r.Lookup(r.Root(), "f")
	failsAs(t, "the base's file again", err, NotExist)
}

// TestRenameOfBaseDirectoryCostsNothing moves a directory of the base with all
// that is below it: one small batch, and everything keeps its number.
func TestRenameOfBaseDirectoryCostsNothing(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	deep, many := r.path("d/sub/deep/f"), r.path("many")
	before := r.logBytes()
	from, to, err := r.Rename(root, r.Root(), "d", many.Ino, "moved")
	if err != nil {
		t.Fatal(err)
	}
	if grown := r.logBytes() - before; grown > 4096 {
		t.Errorf("the log grew by %d bytes", grown)
	}
	if from.After.Nlink != from.Before.Nlink-1 || to.After.Nlink != to.Before.Nlink+1 {
		t.Errorf("nlinks %+v, %+v", from, to)
	}
	r.reopen(false)
	if a := r.path("many/moved/sub/deep/f"); a != deep {
		t.Errorf("%+v, was %+v", a, deep)
	}
	if up, err := r.Lookup(r.path("many/moved").Ino, ".."); err != nil || up.Ino != many.Ino {
		t.Errorf("..: %+v, %v", up, err)
	}
	checkInvariants(t, r.Tree)
}

func TestStoreErrorsHaveKinds(t *testing.T) {
	r := newRig(t, newBase(t), freshDir(storesDir(t)))
	ino := r.path("f").Ino
	lsn := r.store.LastLSN()
	if _, err := r.WriteAt(Caller{Tag: make([]byte, 65)}, ino, []byte("x"), 0); KindOf(err) != Invalid {
		t.Errorf("tag of 65 bytes: %v", err)
	}
	before := r.path("f")
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := r.WriteAt(root, ino, []byte("x"), 0)
	failsAs(t, "write into a closed store", err, KindIO)
	if lsn2 := r.store.LastLSN(); lsn2 < lsn {
		t.Errorf("LSN %d, was %d", lsn2, lsn)
	}
	if now, err := r.Attr(ino); err != nil || now != before {
		t.Errorf("after a change that failed: %+v, %v", now, err)
	}
	for cause, want := range map[error]Kind{
		deltalog.ErrNoSpace: NoSpace, deltalog.ErrBusy: Busy, deltalog.ErrReadOnly: ReadOnly, deltalog.ErrPoisoned: KindIO,
		deltalog.ErrTooBig: TooBig, deltalog.ErrDamaged: KindIO,
	} {
		failsAs(t, cause.Error(), fail("test", ino, storeKind(&deltalog.Error{Op: "append", Err: cause}), cause), want)
	}
}

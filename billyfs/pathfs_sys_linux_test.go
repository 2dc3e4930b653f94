package billyfs

import (
	"path/filepath"
	"syscall"
	"testing"
)

// Sys is what package os would give: programs that know a Stat_t, go-nfs among
// them, find links, owner and number in it.
func TestPathSys(t *testing.T) {
	f := newPathFS(t)
	root := NewFS(f.t, Caller{})
	must(t, root.Mknod("dev", TypeChar|0o600, 300, 70000))
	must(t, root.Link("base", "link"))
	for name, nlink := range map[string]uint64{"dev": 1, "base": 2, "d": 3} {
		fi, err := root.Stat(name)
		must(t, err)
		s, ok := fi.Sys().(*syscall.Stat_t)
		if !ok {
			t.Fatalf("%T", fi.Sys())
		}
		a, _ := AttrOf(fi)
		if s.Ino != uint64(a.Ino) || uint64(s.Nlink) != nlink || s.Mode != a.Mode || s.Mtim.Nano() != a.Mtime || s.Ctim.Nano() != a.Ctime {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// A merged tree can be the base of another: nothing that the base tells is
// lost on the way.
func TestPathAsBase(t *testing.T) {
	f := newPathFS(t)
	root := NewFS(f.t, Caller{})
	must(t, root.Mknod("dev", TypeChar|0o600, 300, 70000))
	must(t, root.Link("base", "link"))
	put(t, root, "base", "changed below")
	r := newRigOver(t, root, filepath.Join(t.TempDir(), "second"))
	t.Cleanup(r.close)
	upper := NewFS(r.Tree, Caller{})
	put(t, upper, "d/in/deep", "changed above")
	if got := get(t, upper, "link"); got != "changed below" {
		t.Errorf("%q", got)
	}
	if got := get(t, root, "d/in/deep"); got != "deep" {
		t.Errorf("the lower tree changed: %q", got)
	}
	fi, err := upper.Stat("dev")
	must(t, err)
	if a, _ := AttrOf(fi); a.RdevMajor != 300 || a.RdevMinor != 70000 || a.Mode != TypeChar|0o600 {
		t.Errorf("%+v", a)
	}
	fi, err = upper.Stat("base")
	must(t, err)
	if a, _ := AttrOf(fi); a.Nlink != 2 {
		t.Errorf("nlink %d", a.Nlink)
	}
}

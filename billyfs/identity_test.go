package billyfs

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-billy/v5/util"

	"deltafs/deltalog"
)

// TestSipHash checks against the vectors of the paper: key 00..0f, messages of
// the bytes 00, 01, 02, ...
func TestSipHash(t *testing.T) {
	var key [16]byte
	for i := range key {
		key[i] = byte(i)
	}
	k := hashKey{binary.LittleEndian.Uint64(key[:]), binary.LittleEndian.Uint64(key[8:])}
	want := map[int]uint64{
		0: 0x726fdb47dd0e0e31, 1: 0x74f839c593dc67fd, 7: 0xab0200f58b01d137,
		8: 0x93f5f5799a932462, 15: 0xa129ca6149be45e5,
	}
	for n, sum := range want {
		m := make([]byte, n)
		for i := range m {
			m[i] = byte(i)
		}
		if got := k.sip(m); got != sum {
			t.Errorf("%d bytes: %#x, want %#x", n, got, sum)
		}
	}
}

// TestIdentityIsFixed pins the numbers: stores of earlier versions rely on them.
func TestIdentityIsFixed(t *testing.T) {
	d := newIdentity(testKey)
	got := fmt.Sprintf("%x %x %x %x %x", d.plain(RootIno, "name"), d.shared(RootIno, 42),
		d.genPlain(RootIno, "name", TypeRegular), d.genShared(99, 42, TypeRegular), cookieOf(testKey, "name"))
	const want = "7fac818351a870 1fd0a0c0aabecae8 daa36ea7 5cdd9d33 712df24a26b9396"
	if got != want {
		t.Errorf("numbers have changed: %s, want %s", got, want)
	}
}

func TestIdentityRange(t *testing.T) {
	d := newIdentity(testKey)
	d.mask = badBits
	for i := range 1000 {
		n := d.plain(Ino(i), "x")
		if n < firstIno || n&deltalog.Born != 0 {
			t.Fatalf("number %#x", n)
		}
	}
}

// badBits keeps only bits that a number must not have alone.
const badBits = 1<<63 | 15

func TestIdentityDependsOnAll(t *testing.T) {
	d, other := newIdentity(testKey), newIdentity([32]byte{9})
	seen := map[Ino]string{}
	for s, n := range map[string]Ino{
		"a": d.plain(1, "a"), "b": d.plain(1, "b"), "other parent": d.plain(2, "a"),
		"other key": other.plain(1, "a"), "shared": d.shared(1, 1), "other mount": d.shared(2, 1),
		"other inode": d.shared(1, 2),
	} {
		if seen[n] != "" {
			t.Errorf("%s and %s have one number", s, seen[n])
		}
		seen[n] = s
	}
	if d.genPlain(1, "a", TypeRegular) == d.genPlain(1, "a", TypeDir) {
		t.Error("type does not count")
	}
}

// TestCollisionIsStale makes numbers of 4 bits: of the names that share one,
// one is shown, and none is ever mistaken for another.
func TestCollisionIsStale(t *testing.T) {
	mem := memfs.New()
	const files = 40
	for i := range files {
		must(t, util.WriteFile(mem, fmt.Sprint(i), []byte(fmt.Sprint(i)), 0o644))
	}
	open := func() *base {
		b := openTestBase(t, mem, baseOptions{})
		b.id.mask = 15
		return b
	}
	b := open()
	var handles []Handle
	shown := 0
	for i := range files {
		ino, err := b.Lookup(RootIno, fmt.Sprint(i))
		if err != nil {
			wantKind(t, err, Stale)
			continue
		}
		shown++
		if s, err := content(b, ino); err != nil || s != fmt.Sprint(i) {
			t.Fatalf("%d shows %q, %v", i, s, err)
		}
		gen, err := b.gen(ino)
		must(t, err)
		handles = append(handles, Handle{Ino: ino, Gen: gen, Parent: RootIno})
		if i == 0 {
			continue
		}
		// A handle of the first is never one of this.
		if _, err := b.find(Handle{Ino: ino, Gen: handles[0].Gen, Parent: RootIno}); err == nil && handles[0].Ino != ino {
			t.Fatalf("a foreign generation was taken for %d", i)
		}
	}
	if shown == 0 || shown > 16 {
		t.Fatalf("%d of %d are shown", shown, files)
	}
	if list, err := b.ReadDir(RootIno); err != nil || len(list) != files {
		t.Errorf("%d names are listed, %v", len(list), err)
	}
	for i, h := range handles {
		// Each in a new process, in which nothing of the number is known yet.
		b := open()
		ino, err := b.find(h)
		if err != nil {
			wantKind(t, err, Stale)
			continue
		}
		o := b.known(ino)
		if o.gen != h.Gen {
			t.Errorf("handle %d reached %q", i, o.name)
		}
	}
}

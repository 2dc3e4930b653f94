package simdisk

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"syscall"
	"testing"

	"deltafs/deltalog/disk"
	"deltafs/deltalog/disk/disktest"
)

func TestDisk(t *testing.T) {
	disktest.Run(t, func(*testing.T) disk.FS { return New() })
}

func TestImage(t *testing.T) { // what a crash leaves is a disk like any other
	disktest.Run(t, func(*testing.T) disk.FS { return New().CrashAt(0, KeepAll) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, f disk.File, off int64, data ...byte) {
	t.Helper()
	if _, err := f.WriteAt(data, off); err != nil {
		t.Fatal(err)
	}
}

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

// get returns the content of a file, and whether it exists.
func get(t *testing.T, d *Disk, name string) ([]byte, bool) {
	t.Helper()
	f, err := d.Open(name, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false
	}
	must(t, err)
	n, err := f.Size()
	must(t, err)
	p, err := io.ReadAll(io.NewSectionReader(f, 0, n))
	must(t, err)
	return p, true
}

// durable returns a disk with a synced file "a" of n bytes 'o', and the file.
func durable(t *testing.T, n int) (*Disk, disk.File) {
	t.Helper()
	d := New()
	f, err := d.Create("a")
	must(t, err)
	put(t, f, 0, fill('o', n)...)
	must(t, f.Sync())
	must(t, d.SyncDir("."))
	return d, f
}

func end(d *Disk) int { return len(d.Trace()) }

func TestSyncedSurvives(t *testing.T) {
	d, _ := durable(t, 3000)
	for seed := range uint64(50) {
		if p, _ := get(t, d.CrashAt(end(d), seed), "a"); !bytes.Equal(p, fill('o', 3000)) {
			t.Fatalf("seed %d: the crash changed synced bytes", seed)
		}
	}
}

func TestUnsyncedIsLostOrKeptBySector(t *testing.T) {
	d, f := durable(t, 8*SectorSize)
	put(t, f, 100, fill('n', 6*SectorSize)...)
	want, _ := get(t, d, "a")
	if p, _ := get(t, d.CrashAt(end(d), LoseAll), "a"); !bytes.Equal(p, fill('o', 8*SectorSize)) {
		t.Error("LoseAll keeps something")
	}
	if p, _ := get(t, d.CrashAt(end(d), KeepAll), "a"); !bytes.Equal(p, want) {
		t.Error("KeepAll loses something")
	}
	torn := map[string]bool{}
	for seed := range uint64(400) {
		p, _ := get(t, d.CrashAt(end(d), seed), "a")
		pattern := make([]byte, 8)
		for s := range pattern {
			sec := p[s*SectorSize : (s+1)*SectorSize]
			switch {
			case bytes.Equal(sec, fill('o', SectorSize)):
				pattern[s] = 'o'
			case bytes.Equal(sec, want[s*SectorSize:(s+1)*SectorSize]):
				pattern[s] = 'n'
			default:
				t.Fatalf("seed %d: sector %d is neither old nor new", seed, s)
			}
		}
		torn[string(pattern)] = true
	}
	if len(torn) < 60 {
		t.Errorf("only %d ways to tear 7 sectors", len(torn))
	}
}

func TestSectorsHaveStatesBetween(t *testing.T) {
	d, f := durable(t, SectorSize)
	for i := range byte(4) {
		put(t, f, int64(i), '1'+i)
	}
	seen := map[string]bool{}
	for seed := range uint64(300) {
		p, _ := get(t, d.CrashAt(end(d), seed), "a")
		seen[string(p[:4])] = true
	}
	for _, want := range []string{"oooo", "1ooo", "12oo", "123o", "1234"} {
		if !seen[want] {
			t.Errorf("no crash leaves %q", want)
		}
		delete(seen, want)
	}
	if len(seen) > 0 {
		t.Errorf("crashes leave what never was: %v", seen)
	}
}

func TestLengthsAreLostOrKept(t *testing.T) {
	d, f := durable(t, 10)
	must(t, f.Allocate(5000))
	put(t, f, 4500, 'x')
	sizes := map[int]bool{}
	for seed := range uint64(100) {
		p, _ := get(t, d.CrashAt(end(d), seed), "a")
		sizes[len(p)] = true
		if len(p) == 5000 && (p[10] != 0 || p[4500] != 0 && p[4500] != 'x') {
			t.Fatalf("seed %d: what was never written is not zero", seed)
		}
	}
	if !sizes[10] || !sizes[5000] || len(sizes) != 2 {
		t.Errorf("sizes after crashes: %v, want 10 and 5000", sizes)
	}
	must(t, f.Sync())
	if p, _ := get(t, d.CrashAt(end(d), LoseAll), "a"); len(p) != 5000 || p[4500] != 'x' {
		t.Error("a synced length is lost")
	}
}

func TestCutBytesStayAwayOrComeBackWhole(t *testing.T) {
	d, f := durable(t, 2000)
	must(t, f.Allocate(100))
	must(t, f.Allocate(2000))
	must(t, f.Sync())
	if p, _ := get(t, d.CrashAt(end(d), LoseAll), "a"); !bytes.Equal(p[100:], make([]byte, 1900)) {
		t.Error("cut bytes are back after a sync")
	}
}

func TestNamesNeedSyncDir(t *testing.T) {
	d := New()
	must(t, d.Mkdir("sub"))
	f, err := d.Create("sub/a")
	must(t, err)
	must(t, f.Sync())
	if _, ok := get(t, d.CrashAt(end(d), LoseAll), "sub/a"); ok {
		t.Error("syncing a file makes its name durable")
	}
	must(t, d.SyncDir("sub"))
	if _, ok := get(t, d.CrashAt(end(d), LoseAll), "sub/a"); ok {
		t.Error("a file survives without its directory")
	}
	must(t, d.SyncDir("."))
	if _, ok := get(t, d.CrashAt(end(d), LoseAll), "sub/a"); !ok {
		t.Error("a synced name is lost")
	}
}

func TestRenameIsAtomic(t *testing.T) {
	d, _ := durable(t, 10)
	g, err := d.Create("tmp")
	must(t, err)
	put(t, g, 0, 'n')
	must(t, g.Sync())
	must(t, d.Rename("tmp", "a"))
	seen := map[string]bool{}
	for seed := range uint64(100) {
		img := d.CrashAt(end(d), seed)
		p, ok := get(t, img, "a")
		_, tmp := get(t, img, "tmp")
		if !ok || string(p) == "n" && tmp {
			t.Fatalf("seed %d: a is there: %v %q, tmp: %v", seed, ok, p, tmp)
		}
		seen[string(p)] = true
	}
	if len(seen) != 2 {
		t.Errorf("contents after crashes: %v", seen)
	}
	must(t, d.SyncDir("."))
	if p, _ := get(t, d.CrashAt(end(d), LoseAll), "a"); string(p) != "n" {
		t.Error("a synced rename is lost")
	}
}

// Operations on names that have nothing to do with each other need not survive
// in order; those that build on each other do.
func TestNamesReorder(t *testing.T) {
	d := New()
	for _, n := range []string{"x", "y"} {
		_, err := d.Create(n)
		must(t, err)
	}
	must(t, d.Rename("x", "z"))
	seen := map[string]bool{}
	for seed := range uint64(300) {
		l, err := d.CrashAt(end(d), seed).List(".")
		must(t, err)
		seen[string(bytes.Join(split(l), nil))] = true
	}
	for _, want := range []string{"", "x", "y", "xy", "z", "yz"} {
		if !seen[want] {
			t.Errorf("no crash leaves %q", want)
		}
		delete(seen, want)
	}
	if len(seen) > 0 {
		t.Errorf("crashes leave %v", seen)
	}
}

func split(l []string) (out [][]byte) {
	for _, s := range l {
		out = append(out, []byte(s))
	}
	return out
}

func TestMovedFileIsSyncedByEitherDirectory(t *testing.T) {
	d, _ := durable(t, 10)
	must(t, d.Mkdir("sub"))
	must(t, d.SyncDir("."))
	_, err := d.Create("sub/n")
	must(t, err)
	must(t, d.Rename("sub/n", "n"))
	must(t, d.SyncDir("."))
	img := d.CrashAt(end(d), LoseAll)
	if _, ok := get(t, img, "n"); !ok {
		t.Error("the new name is lost")
	}
	if _, ok := get(t, d.CrashAt(end(d), KeepAll), "sub/n"); ok {
		t.Error("the old name is back")
	}
}

func TestRemovedFileComesBack(t *testing.T) {
	d, _ := durable(t, 10)
	must(t, d.Remove("a"))
	if p, ok := get(t, d.CrashAt(end(d), LoseAll), "a"); !ok || len(p) != 10 {
		t.Error("a removal that was not synced is durable")
	}
	must(t, d.SyncDir("."))
	if _, ok := get(t, d.CrashAt(end(d), LoseAll), "a"); ok {
		t.Error("a synced removal is lost")
	}
}

func TestFailedSyncLosesWhatItHeld(t *testing.T) {
	d, f := durable(t, 2*SectorSize)
	put(t, f, 0, fill('n', SectorSize)...)
	d.Inject(Fault{Kinds: []Kind{Sync}, At: 1})
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("sync: %v", err)
	}
	put(t, f, SectorSize, fill('m', SectorSize)...)
	must(t, f.Sync())
	if d.Heal() != 1 {
		t.Error("not one failure")
	}
	want := append(fill('n', SectorSize), fill('m', SectorSize)...)
	if p, _ := get(t, d, "a"); !bytes.Equal(p, want) {
		t.Error("readers do not see what the failed sync held")
	}
	if p, _ := get(t, d.CrashAt(end(d), KeepAll), "a"); p[0] != 'o' || p[SectorSize] != 'm' {
		t.Errorf("after the crash %c%c, want om", p[0], p[SectorSize])
	}
}

func TestDeadProcessLosesNothing(t *testing.T) {
	d, f := durable(t, SectorSize)
	put(t, f, 0, 'n')
	d.Inject(Fault{At: 1, Forever: true, Dead: true})
	if f.Sync() == nil {
		t.Error("a dead process syncs")
	}
	d.Heal()
	if p, _ := get(t, d.CrashAt(end(d), KeepAll), "a"); p[0] != 'n' {
		t.Error("what a dead process wrote is lost")
	}
	must(t, f.Sync())
	if p, _ := get(t, d.CrashAt(end(d), LoseAll), "a"); p[0] != 'n' {
		t.Error("what a dead process wrote cannot be synced")
	}
}

func TestFaults(t *testing.T) {
	d, f := durable(t, 10)
	d.Inject(Fault{Kinds: []Kind{Write}, At: 2, Err: disk.ErrNoSpace, Short: true})
	put(t, f, 0, fill('a', 2000)...)
	if n, err := f.WriteAt(fill('b', 1500), 100); n != SectorSize-100 || !errors.Is(err, disk.ErrNoSpace) {
		t.Errorf("short write: %d, %v", n, err)
	}
	if p, _ := get(t, d, "a"); p[99] != 'a' || p[100] != 'b' || p[511] != 'b' || p[512] != 'a' {
		t.Errorf("a short write leaves %q", p)
	}
	put(t, f, 0, 'c')
	d.Inject(Fault{At: 1, Forever: true})
	for range 3 {
		if _, err := f.WriteAt([]byte("x"), 0); err == nil {
			t.Error("a write succeeds on a dead disk")
		}
		if _, err := d.Create("b"); err == nil {
			t.Error("a create succeeds on a dead disk")
		}
	}
	if n := d.Heal(); n != 6 {
		t.Errorf("%d failures, want 6", n)
	}
	if p, _ := get(t, d, "a"); p[0] != 'c' {
		t.Error("a failed write took effect")
	}
}

func TestImagesAreApart(t *testing.T) {
	d, f := durable(t, 5000)
	r := d.Replay()
	for _, ok := r.Next(); ok; _, ok = r.Next() {
	}
	one, two := r.Crash(KeepAll), r.Crash(KeepAll)
	if one.Sum() != two.Sum() || one.Sum() != d.Sum() {
		t.Error("equal images have different sums")
	}
	put(t, f, 0, 'x')
	g, err := one.Open("a", true)
	must(t, err)
	put(t, g, 4096, 'y')
	for name, img := range map[string]*Disk{"live": d, "one": one, "two": two} {
		p, _ := get(t, img, "a")
		if (p[0] == 'x') != (name == "live") || (p[4096] == 'y') != (name == "one") {
			t.Errorf("%s sees another's write", name)
		}
	}
	if one.Sum() == two.Sum() || d.Sum() == two.Sum() {
		t.Error("different images have one sum")
	}
	// An image has a trace of its own, and crashes like any disk.
	if p, _ := get(t, one.CrashAt(end(one), LoseAll), "a"); p[4096] != 'o' {
		t.Error("what an image began with is not durable")
	}
}

func TestSameSeedSameImage(t *testing.T) {
	d, f := durable(t, 20*SectorSize)
	put(t, f, 1000, fill('n', 9*SectorSize)...)
	for _, n := range []string{"b", "c", "e"} {
		g, err := d.Create(n)
		must(t, err)
		put(t, g, 0, fill('g', 2000)...)
	}
	sums := map[uint64]bool{}
	for seed := range uint64(200) {
		a, b := d.CrashAt(end(d), seed).Sum(), d.CrashAt(end(d), seed).Sum()
		if a != b {
			t.Fatalf("seed %d gives two images", seed)
		}
		sums[a] = true
	}
	if len(sums) < 100 {
		t.Errorf("200 seeds give only %d images", len(sums))
	}
}

func TestMark(t *testing.T) {
	d, _ := durable(t, 1)
	d.Mark("here")
	tr := d.Trace()
	if op := tr[len(tr)-1]; op.Kind != Mark || op.Value != "here" {
		t.Errorf("last operation is %v", op)
	}
	var text []string
	for _, op := range tr {
		text = append(text, op.String())
	}
	want := []string{"create a", "write a @0 +1", "sync a", "syncdir .", "mark here"}
	for i := range want {
		if text[i] != want[i] {
			t.Errorf("operation %d is %q, want %q", i, text[i], want[i])
		}
	}
}

func BenchmarkCrash(b *testing.B) {
	d := New()
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		f, _ := d.Create(name)
		f.WriteAt(fill('x', 64<<10), 0)
		f.Sync()
	}
	f, _ := d.Open("h", true)
	f.WriteAt(fill('y', 20<<10), 512)
	r := d.Replay()
	for _, ok := r.Next(); ok; _, ok = r.Next() {
	}
	for i := 0; b.Loop(); i++ {
		r.Crash(uint64(i)).Sum()
	}
}

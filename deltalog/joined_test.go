package deltalog

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// frames counts the DATA frames of cold segments, those that are compressed, and
// the bytes of their data.
func (r *cleanRig) coldData() (frames, packed int, length int64) {
	r.Helper()
	for _, ref := range r.segs.coldRefs() {
		if h := r.cleaner.headOf(ref.id); h != nil {
			ref.end = uint32(h.synced)
		}
		seg, err := r.segs.acquire(ref.id)
		if err != nil {
			r.Fatal(err)
		}
		err = scanCold(seg.f, &seg.hdr, segHeaderSize, int64(ref.end), func(f *frame, _ loc) error {
			if f.typ == frameData {
				frames, length = frames+1, length+int64(f.length)
				if f.flags&flagCompressed != 0 {
					packed++
				}
			}
			return nil
		})
		r.segs.release(seg)
		if err != nil {
			r.Fatal(err)
		}
	}
	return frames, packed, length
}

// blocksOf writes n blocks of 1,000 bytes of a file, last one first.
func (r *cleanRig) blocksOf(ino Ino, n int, p func(i int) []byte) {
	r.Helper()
	for i := n - 1; i >= 0; i-- {
		if err := r.write(ino, i*1000, p(i)); err != nil {
			r.Fatal(err)
		}
	}
}

// TestJoin: what lies side by side in a file, and was written in pieces, is fewer
// pieces once it was moved, and the index with it; a hole stays one.
func TestJoin(t *testing.T) {
	r := newCleanRig(t, Options{Manual: true})
	ino := r.NewIno()
	r.blocksOf(ino, 30, func(i int) []byte { return pattern(i, 1000) })
	if err := r.write(ino, 40_000, pattern(99, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := filler(r.Store, 77); err != nil {
		t.Fatal(err)
	}
	if err := cleanHot(r.Store); err != nil {
		t.Fatal(err)
	}
	var es []extent
	if err := r.x.extents(MainLayer, ino, 0, 1<<20, func(e extent) bool { es = append(es, e); return true }); err != nil {
		t.Fatal(err)
	}
	// An eighth of a segment of 64 KiB is the most for one frame.
	if len(es) < 5 || len(es) > 6 {
		t.Errorf("%d extents of 31 pieces: %v", len(es), es)
	}
	r.check()
	r.reopen(false)
	r.check()
	r.reopen(true)
	r.check()
	r.fsck()
}

// TestCutToRoom: what is moved fills cold segments to their ends, and is cut in two for it.
func TestCutToRoom(t *testing.T) {
	r := newCleanRig(t, Options{Manual: true})
	ino := r.NewIno()
	for i := range 16 { // of which a segment of 64 KiB takes two, and most of a third
		if err := r.write(ino, i*30_000, pattern(i, 22<<10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(filler(r.Store, 77), cleanHot(r.Store)); err != nil {
		t.Fatal(err)
	}
	sealed := 0
	for _, ref := range r.segs.coldRefs() {
		if r.cleaner.headOf(ref.id) == nil {
			sealed++
			if left := r.segs.size - int64(ref.end); left > heatBlock {
				t.Errorf("%d bytes of cold segment %d are empty", left, ref.id)
			}
		}
	}
	if sealed < 4 {
		t.Errorf("%d cold segments are full", sealed)
	}
	r.check()
	if err := r.write(ino, 30_000*7+15_000, pattern(50, 4096)); err != nil { // over where one was cut
		t.Fatal(err)
	}
	r.reopen(false)
	r.reopen(true)
	r.fsck()
	r.check()
}

// TestCompress: with Compress, data that shrinks takes less space once it was moved,
// what is reported of it too, and what does not shrink is left as it is.
func TestCompress(t *testing.T) {
	o := Options{Manual: true, Cleaner: CleanerOptions{Compress: true}}
	r := newCleanRig(t, o)
	text, noise := r.NewIno(), r.NewIno()
	rng := rand.New(rand.NewPCG(3, 3))
	r.blocksOf(text, 100, func(i int) []byte { return bytes.Repeat([]byte{byte(i), 'x', 'y', 'z'}, 250) })
	r.blocksOf(noise, 60, func(int) []byte {
		p := make([]byte, 1000)
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		return p
	})
	before, err := r.Usage()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(filler(r.Store, 77), cleanHot(r.Store)); err != nil {
		t.Fatal(err)
	}
	frames, packed, length := r.coldData()
	if packed < 5 || frames-packed < 5 || length < 150_000 {
		t.Errorf("%d frames, %d compressed, %d bytes", frames, packed, length)
	}
	after, err := r.Usage()
	if err != nil || after.Used+90_000 > before.Used+50_000 { // which filler has added
		t.Errorf("used %d, before %d, %v", after.Used, before.Used, err)
	}
	for range 2 { // what is compressed is cleaned again
		if _, err := r.Clean(0.001, nil); err != nil {
			t.Fatal(err)
		}
		r.check()
		r.reopen(false)
		now, err := r.Usage()
		if err != nil || now.Used > after.Used+8000 {
			t.Errorf("used %d, was %d before the store was opened again, %v", now.Used, after.Used, err)
		}
	}
	got := make([]byte, 10)
	if err := r.ReadAt(MainLayer, text, got, 50_001, noLower); err != nil || !bytes.Equal(got, r.files[text][50_001:50_011]) {
		t.Errorf("a part of what is compressed: %q, %v", got, err)
	}
	r.reopen(true)
	r.check()
	r.fsck()
}

// TestCompressLarge: what was written in one piece that is longer than what is compressed
// at once is compressed in pieces.
func TestCompressLarge(t *testing.T) {
	r := newCleanRig(t, Options{Manual: true, SegmentSize: 4 * minSegment, Cleaner: CleanerOptions{Compress: true}})
	ino := r.NewIno()
	if err := r.write(ino, 0, bytes.Repeat([]byte("0123456789"), 20_000)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(filler(r.Store, 77), filler(r.Store, 77), cleanHot(r.Store)); err != nil {
		t.Fatal(err)
	}
	if _, packed, length := r.coldData(); packed < 4 || length < 200_000 {
		t.Errorf("%d compressed frames, %d bytes", packed, length)
	}
	r.check()
	r.reopen(true)
	r.check()
	r.fsck()
}

// TestHeld: who finds no room is held while it is cleaned for, and told to try
// again when that takes long; then there is room.
func TestHeld(t *testing.T) {
	r := newCleanRig(t, Options{Manual: true, Limit: 8 * minSegment})
	ino := r.NewIno()
	rng := rand.New(rand.NewPCG(5, 5))
	for i := 0; i < 1000 || !r.segs.full(1, reservedSegments); i++ {
		if err := r.write(ino, rng.IntN(20)*8000, pattern(i, 8000)); err != nil {
			t.Fatalf("overwrites alone: %v", err)
		}
		if err := r.Checkpoint(); err != nil { // what is all dead is freed
			t.Fatal(err)
		}
	}
	if more, err := r.reclaim(reservedSegments, time.Now().Add(-1)); more || !errors.Is(err, ErrBusy) {
		t.Errorf("when time is over: %v, %v", more, err)
	}
	if more, err := r.reclaim(reservedSegments, time.Now().Add(time.Hour)); !more || err != nil {
		t.Errorf("when there is time: %v, %v", more, err)
	}
	r.check()
}

// TestFewOpenFiles: with more segments than may stay open, what is being read stays open.
func TestFewOpenFiles(t *testing.T) {
	r := newCleanRig(t, Options{Manual: true})
	r.segs.idleMax = 1
	for i := range 40 {
		if err := r.write(r.NewIno(), 0, pattern(i, 20_000)); err != nil {
			t.Fatal(err)
		}
		if err := r.Sync(r.LastLSN()); err != nil { // what is not is held
			t.Fatal(err)
		}
		r.check()
	}
	if r.segs.open > 4 {
		t.Errorf("%d files are open", r.segs.open)
	}
}

// TestSalvageOfOneSegment: a store whose only segment is cut short opens read-only, and
// what lies before the cut can be saved.
func TestSalvageOfOneSegment(t *testing.T) {
	r := newCleanRig(t, Options{Manual: true})
	first, second := r.NewIno(), r.NewIno()
	if err := errors.Join(r.write(first, 0, pattern(1, 5000)), r.write(second, 0, pattern(2, 5000)), r.Close()); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(r.dir, segName(1)), segHeaderSize+8000); err != nil {
		t.Fatal(err)
	}
	for _, index := range []bool{true, false} {
		if !index {
			if err := removeBolt(r.dir); err != nil {
				t.Fatal(err)
			}
		}
		to := filepath.Join(t.TempDir(), "new")
		s, err := Open(r.dir, Options{ReadOnly: true})
		if err != nil {
			t.Fatalf("index %v: %v", index, err)
		}
		if info, err := s.Info(); err != nil || info.ReadOnly == "" {
			t.Errorf("index %v: read-only %q, %v", index, info.ReadOnly, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Salvage(r.dir, to); err != nil {
			t.Fatalf("index %v: salvage: %v", index, err)
		}
		saved, err := Open(to, Options{Manual: true})
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5000)
		if err := saved.ReadAt(MainLayer, first, got, 0, noLower); err != nil || !bytes.Equal(got, r.files[first]) {
			t.Errorf("index %v: what lies before the cut is lost: %v", index, err)
		}
		if err := saved.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBarren: that there was nothing to free for data is no reason to refuse what removes,
// nor is it once something has died.
func TestBarren(t *testing.T) {
	r := newCleanRig(t, Options{Manual: true})
	ino := r.NewIno()
	if err := r.write(ino, 0, pattern(1, 5000)); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if r.barren.holds(r.Store, reservedSegments, now) {
		t.Error("nobody has looked yet")
	}
	r.barren.note(r.Store, reservedSegments)
	if !r.barren.holds(r.Store, reservedSegments, now) {
		t.Error("who comes next looks again")
	}
	if r.barren.holds(r.Store, reservedSegments-1, now) {
		t.Error("a change without data is refused because data found no room")
	}
	if r.barren.holds(r.Store, reservedSegments, now.Add(2*time.Second)) {
		t.Error("it holds for long")
	}
	r.drop(ino)
	if r.barren.holds(r.Store, reservedSegments, now) {
		t.Error("something has died since")
	}
}

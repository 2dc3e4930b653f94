package deltalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"
)

// frozenLayer changes a layer that a snapshot has frozen, and one that is gone:
// neither is possible, and nothing of the batch happens.
func frozenLayer() error {
	s, dir, err := manualStore()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer s.Close()
	ino := s.NewIno()
	put := func(l LayerID, mtime int64) error {
		var b Batch
		b.Inode(l, ino, &Inode{Mode: TypeRegular, Mtime: mtime})
		_, err := s.Append(&b)
		return err
	}
	if err := put(MainLayer, 1); err != nil {
		return err
	}
	if _, _, err := s.Snapshot(MainLayer, "kept"); err != nil {
		return err
	}
	if err := put(MainLayer, 2); !errors.Is(err, ErrFrozen) {
		return fmt.Errorf("a change of a frozen layer: %w", orNone(err))
	}
	if err := put(40, 2); !errors.Is(err, ErrNoLayer) {
		return fmt.Errorf("a change of a layer that there is not: %w", orNone(err))
	}
	if r, _, err := s.Inode(MainLayer, ino); err != nil || r.Mtime != 1 {
		return fmt.Errorf("the snapshot has %+v, %w", r, orNone(err))
	}
	return nil
}

// newNumber drops a fork and makes another: nothing of the one shows in the other, though
// it is not deleted yet.
func newNumber() error {
	s, dir, err := manualStore()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer s.Close()
	kept, _, err := s.Snapshot(MainLayer, "kept")
	if err != nil {
		return err
	}
	one, _, err := s.Fork(MainLayer, "one", 2)
	if err != nil {
		return err
	}
	ino := s.NewIno()
	var b Batch
	b.Inode(one.ID, ino, &Inode{Mode: TypeRegular, Mtime: 1})
	if _, err := s.Append(&b); err != nil {
		return err
	}
	if _, err := s.Drop(one.ID); err != nil {
		return err
	}
	two, _, err := s.Fork(MainLayer, "two", 3)
	if err != nil {
		return err
	}
	if r, ok, err := s.Inode(two.ID, ino); ok || err != nil {
		return fmt.Errorf("layer %d over %d shows what layer %d had: %+v, %w", two.ID, kept.ID, one.ID, r, orNone(err))
	}
	return nil
}

func TestNewNumber(t *testing.T) {
	if err := newNumber(); err != nil {
		t.Error(err)
	}
}

func TestFrozenLayer(t *testing.T) {
	if err := frozenLayer(); err != nil {
		t.Error(err)
	}
}

// TestLayerNames: names are given once, and what cannot be is refused without
// harm.
func TestLayerNames(t *testing.T) {
	s := mustCreate(t, t.TempDir()+"/s", testOptions())
	defer s.Close()
	main, _, err := s.Snapshot(MainLayer, "kept")
	if err != nil {
		t.Fatal(err)
	}
	before := s.Layers()
	for what, c := range map[string]struct {
		want error
		call func() error
	}{
		"a snapshot's name again":    {ErrExists, func() error { _, _, err := s.Snapshot(main.ID, "kept"); return err }},
		"a line's name":              {ErrExists, func() error { _, _, err := s.Snapshot(main.ID, "main"); return err }},
		"a snapshot of a snapshot":   {ErrFrozen, func() error { _, _, err := s.Snapshot(MainLayer, "again"); return err }},
		"a snapshot of nothing":      {ErrNoLayer, func() error { _, _, err := s.Snapshot(9, "again"); return err }},
		"a fork with a taken name":   {ErrExists, func() error { _, _, err := s.Fork(MainLayer, "main", 1); return err }},
		"a fork of nothing":          {ErrNoLayer, func() error { _, _, err := s.Fork(9, "f", 1); return err }},
		"going back to nothing":      {ErrNoLayer, func() error { _, _, err := s.Rollback(main.ID, 9, "x"); return err }},
		"going back of a snapshot":   {ErrFrozen, func() error { _, _, err := s.Rollback(MainLayer, MainLayer, "x"); return err }},
		"a name that is too long":    {ErrTooBig, func() error { _, _, err := s.Snapshot(main.ID, string(bytes.Repeat([]byte("x"), 256))); return err }},
		"dropping the only line":     {ErrLastLine, func() error { _, err := s.Drop(main.ID); return err }},
		"dropping what there is not": {ErrNoLayer, func() error { _, err := s.Drop(9); return err }},
	} {
		if err := c.call(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	if after := s.Layers(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("layers are %v, were %v", after, before)
	}
}

// TestLayerDepth: layers cannot be stacked without end, and what is dropped makes
// room.
func TestLayerDepth(t *testing.T) {
	s := mustCreate(t, t.TempDir()+"/s", testOptions())
	defer s.Close()
	line := MainLayer
	var err error
	n := 0
	for ; err == nil; n++ {
		var l Layer
		if l, _, err = s.Snapshot(line, fmt.Sprint("s", n)); err == nil {
			line = l.ID
		}
	}
	if !errors.Is(err, ErrDepth) || n < 10 {
		t.Fatalf("after %d snapshots: %v", n, err)
	}
	for _, name := range []string{"s3", "s4", "s5"} {
		l, _ := s.LayerNamed(name)
		if _, err := s.Drop(l.ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Settle(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Snapshot(line, "one more"); err != nil {
		t.Errorf("after three were dropped: %v", err)
	}
}

// TestDropGivesSpaceBack: what only a dropped snapshot or line holds is dead, by
// itself, and no more than that.
func TestDropGivesSpaceBack(t *testing.T) {
	o := testOptions()
	o.Manual, o.SegmentSize = false, 0
	s := mustCreate(t, t.TempDir()+"/s", o)
	defer s.Close()
	ino := s.NewIno()
	fill := func(l LayerID, v byte) {
		mustAppend(t, s, func(b *Batch) {
			b.Inode(l, ino, &Inode{Mode: TypeRegular, Size: 1 << 20})
			b.Data(l, ino, 0, bytes.Repeat([]byte{v}, 1<<20))
		})
	}
	fill(MainLayer, 1)
	main, _, err := s.Snapshot(MainLayer, "kept")
	if err != nil {
		t.Fatal(err)
	}
	fork, _, err := s.Fork(MainLayer, "fork", 2)
	if err != nil {
		t.Fatal(err)
	}
	fill(main.ID, 2)
	fill(fork.ID, 3)
	live := func() int64 {
		info, err := s.Info()
		if err != nil {
			t.Fatal(err)
		}
		return int64(info.LiveBytes)
	}
	if n := live(); n < 3<<20 {
		t.Errorf("%d bytes live in three layers", n)
	}
	if _, err := s.Drop(fork.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Snapshot(main.ID, ""); err != nil { // so that it can become one with the other
		t.Fatal(err)
	}
	if _, err := s.Drop(MainLayer); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); live() > 1<<20+10_000 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if n := live(); n < 1<<20 || n > 1<<20+10_000 {
		t.Errorf("%d bytes are live, all that is left is 1 MiB", n)
	}
	line, _ := s.LayerNamed("main")
	got := make([]byte, 1<<20)
	if err := s.ReadAt(line.ID, ino, got, 0, nil); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{2}, 1<<20)) {
		t.Errorf("main has something else now: %v", err)
	}
}

// BenchmarkLayers times snapshot, fork and rollback, each with its sync, of a
// store with 100,000 inodes and DELTAFS_BENCH_MIB (64) MiB of data.
func BenchmarkLayers(b *testing.B) {
	s, line := layeredStore(b)
	defer s.Close()
	for _, op := range []string{"snapshot", "fork", "rollback"} {
		b.Run(op, func(b *testing.B) {
			base, _, err := s.Snapshot(line, op+"-base")
			if err != nil {
				b.Fatal(err)
			}
			line = base.ID
			for i := 0; b.Loop(); i++ {
				frozen, _ := s.LayerNamed(op + "-base")
				name := fmt.Sprint(op, i)
				var lsn LSN
				var l Layer
				switch op {
				case "snapshot":
					l, lsn, err = s.Snapshot(line, name)
				case "fork":
					_, lsn, err = s.Fork(frozen.ID, name, 7)
				case "rollback":
					l, lsn, err = s.Rollback(line, frozen.ID, name)
				}
				if err = errors.Join(err, s.Sync(lsn)); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if op != "fork" {
					line = l.ID
				}
				made, _ := s.LayerNamed(name)
				if _, err := s.Drop(made.ID); err != nil {
					b.Fatal(err)
				}
				if err := s.Settle(context.Background(), nil); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func layeredStore(b *testing.B) (*Store, LayerID) {
	b.Helper()
	mib := 64
	fmt.Sscan(os.Getenv("DELTAFS_BENCH_MIB"), &mib)
	s, err := Create(b.TempDir()+"/s", Options{Manual: true})
	if err != nil {
		b.Fatal(err)
	}
	const inodes = 100_000
	data := bytes.Repeat([]byte("data"), mib<<20/inodes/4)
	for i := range inodes {
		var batch Batch
		ino := s.NewIno()
		batch.Inode(MainLayer, ino, &Inode{Mode: TypeRegular, Size: uint64(len(data))})
		batch.Data(MainLayer, ino, 0, data)
		batch.Entry(MainLayer, 1, uint64(i), fmt.Sprint("file", i), Entry{Ino: ino, Type: TypeRegular})
		if _, err := s.Append(&batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Checkpoint(); err != nil {
		b.Fatal(err)
	}
	return s, MainLayer
}

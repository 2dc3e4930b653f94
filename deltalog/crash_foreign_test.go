package deltalog

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"deltafs/deltalog/simdisk"
)

// foreignBytes checks that bytes of a file's earlier life as another segment
// never count as part of the log, even where LSNs and chain would fit: a disk
// that loses a write leaves them there.
func foreignBytes() error {
	w := &life{rng: rand.New(rand.NewPCG(1, 1)), d: simdisk.New()}
	w.kv = newCrashKV(w.d, nil)
	s, err := Create(lifeDir, w.options())
	if err != nil {
		return err
	}
	var b Batch
	b.Data(MainLayer, 5, 0, w.randomData())
	if _, err := s.Append(&b); err != nil {
		return err
	}
	f, err := w.d.Open(segName(s.head.seg.id), false)
	if err != nil {
		return err
	}
	head := make([]byte, segHeaderSize)
	if _, err := f.ReadAt(head, 0); err != nil {
		return err
	}
	h, err := decodeSegHeader(head, 0)
	if err != nil {
		return err
	}
	count := func() (n int) {
		scanSegment(f, &h, lifeSegment, func(*logBatch) error { n++; return nil })
		return n
	}
	own := count()
	h.salt++
	if foreign := count(); own < 1 || foreign > 0 {
		return fmt.Errorf("%d batches validate with the salt they were written with, %d with another", own, foreign)
	}
	if last, _, err := lookAhead(f, &h, segHeaderSize, lifeSegment, 1); err != nil || last > 0 {
		return fmt.Errorf("a look ahead with another salt finds a frame that ends at %d: %w", last, orNone(err))
	}
	return s.Close()
}

func TestForeignBytes(t *testing.T) {
	if err := foreignBytes(); err != nil {
		t.Fatal(err)
	}
}

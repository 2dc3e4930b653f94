package deltalog

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const exampleSalt, exampleChain = 0x1badcafe, 0x01020304

func exampleBatch() ([]byte, uint32) {
	var b Batch
	ino := Born | 1
	b.Data(1, ino, 5, []byte("hi"))
	b.Entry(1, 1, 7, "a", Entry{Ino: ino, Type: TypeRegular})
	b.Tag([]byte("t"))
	return finished(&b, exampleSalt, exampleChain, 2, 1, ino+1)
}

// finished returns all bytes of a batch for the log, and the chained CRC behind them.
func finished(b *Batch, salt, chain uint32, lsn, synced LSN, next Ino) ([]byte, uint32) {
	chain = b.finish(salt, chain, lsn, synced, next)
	return bytes.Join(b.parts(), nil), chain
}

// The example in the package comment is what the encoder writes.
func TestExampleOfTheFormat(t *testing.T) {
	got, _ := exampleBatch()
	src, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(src), "(TestExampleOfTheFormat compares.)")
	if !ok {
		t.Fatal("doc.go has no example")
	}
	text, _, _ = strings.Cut(text, "# Records")
	var want []byte
	for line := range strings.Lines(text) {
		digits, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "//\t")
		if !ok {
			continue
		}
		digits, _, _ = strings.Cut(digits, "  ")
		p, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		if err != nil {
			t.Fatalf("example line %q: %v", line, err)
		}
		want = append(want, p...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the encoder writes\n%sand the example says\n%s", dumpExample(got), hex.Dump(want))
	}
}

// dumpExample prints bytes as doc.go has them.
func dumpExample(p []byte) string {
	var b strings.Builder
	for i := 0; i < len(p); i += 16 {
		fmt.Fprintf(&b, "//\t% x\n", p[i:min(i+16, len(p))])
	}
	return b.String()
}

func scanBytes(p []byte, salt, chain uint32, lsn LSN) (*logBatch, error) {
	sc := &scanner{r: bytes.NewReader(p), id: 1, salt: salt, chain: chain, lsn: lsn, end: int64(len(p))}
	return sc.batch()
}

func TestBatchReadsBack(t *testing.T) {
	p, chain := exampleBatch()
	b, err := scanBytes(p, exampleSalt, exampleChain, 2)
	if err != nil {
		t.Fatal(err)
	}
	if b.lsn != 2 || b.next != Born|2 || b.commit.synced != 1 || string(b.commit.tag) != "t" || b.commit.chain != chain || len(b.frames) != 2 {
		t.Errorf("batch is %+v", b)
	}
	d := b.frames[0]
	if d.typ != frameData || d.ino != Born|1 || d.offset != 5 || string(d.payload) != "hi" {
		t.Errorf("first frame is %+v", d)
	}
	name, e, err := decodeEntryFrame(&b.frames[1])
	if err != nil || name != "a" || e != (Entry{Ino: Born | 1, Type: TypeRegular}) || b.frames[1].offset != 7 {
		t.Errorf("second frame is %q %+v, %v", name, e, err)
	}
}

// Every single bit of a batch counts, and so do salt, LSN and chain.
func TestBatchRefusesAnyChange(t *testing.T) {
	p, _ := exampleBatch()
	for bit := range 8 * len(p) {
		q := bytes.Clone(p)
		q[bit/8] ^= 1 << (bit % 8)
		b, err := scanBytes(q, exampleSalt, exampleChain, 2)
		if err == nil && !bytes.Equal(padless(b, q), padless(b, p)) {
			t.Fatalf("a flip of bit %d of byte %d is not noticed", bit%8, bit/8)
		}
	}
	for what, try := range map[string]func() error{
		"salt":  func() error { _, err := scanBytes(p, exampleSalt+1, exampleChain, 2); return err },
		"chain": func() error { _, err := scanBytes(p, exampleSalt, exampleChain+1, 2); return err },
		"LSN":   func() error { _, err := scanBytes(p, exampleSalt, exampleChain, 3); return err },
		"end":   func() error { _, err := scanBytes(p[:len(p)-8], exampleSalt, exampleChain, 2); return err },
	} {
		if err := try(); !errors.Is(err, errFrame) {
			t.Errorf("another %s: %v", what, err)
		}
	}
}

// padless returns the bytes of a batch that mean something: all but padding.
func padless(b *logBatch, p []byte) []byte {
	var out []byte
	for i, at := range b.locs {
		out = append(out, p[at.off:][:frameHeaderSize+b.frames[i].size]...)
	}
	return append(out, p[b.at.off:][:frameHeaderSize+commitFixed+len(b.commit.tag)]...)
}

func TestRecordsReadBack(t *testing.T) {
	r := Inode{
		Mode: TypeSymlink | 0o7777, Flags: InodeBase, Nlink: 3, UID: 4, GID: 5, RdevMajor: 6, RdevMinor: 7,
		Size: 8, LowerLen: 9, Atime: -10, Mtime: 11, Ctime: 12, Parent: Born | 13, Verifier: 14,
		Base: Fingerprint{Ino: 15, Size: 16, Mtime: -17, Ctime: 18}, Target: "target",
	}
	if got, err := decodeInode(appendInode(nil, &r)); err != nil || got != r {
		t.Errorf("inode: %+v, %v", got, err)
	}
	for _, e := range []Entry{{Ino: 1, Type: TypeSocket}, {Whiteout: true}} {
		if got, err := decodeEntryValue(appendEntryValue(nil, e)); err != nil || got != e {
			t.Errorf("entry: %+v, %v", got, err)
		}
	}
	o := Origin{Parent: 1, Name: strings.Repeat("n", MaxName), Pinned: true}
	if got, err := decodeOrigin(appendOrigin(nil, o)); err != nil || got != o {
		t.Errorf("origin: %+v, %v", got, err)
	}
	l := Layer{ID: 2, Parent: 1, View: 3, Created: 4, Name: "main"}
	if got, err := decodeLayer(2, appendLayer(nil, l)); err != nil || got != l {
		t.Errorf("layer: %+v, %v", got, err)
	}
	es := []sealEntry{{sealKey{1, 2}, 3}, {sealKey{1, 3}, 1}, {sealKey{2, 1}, 9}}
	if got, err := decodeSeal(appendSeal(nil, es)); err != nil || !reflect.DeepEqual(got, es) {
		t.Errorf("seal: %+v, %v", got, err)
	}
}

func TestBatchLimits(t *testing.T) {
	s := mustCreate(t, t.TempDir(), testOptions())
	for what, fill := range map[string]func(b *Batch){
		"long name":      func(b *Batch) { b.Entry(1, 1, 0, strings.Repeat("n", MaxName+1), Entry{}) },
		"no name":        func(b *Batch) { b.EntryGone(1, 1, 0, "") },
		"long target":    func(b *Batch) { b.Inode(1, 1, &Inode{Target: strings.Repeat("t", MaxTarget+1)}) },
		"long tag":       func(b *Batch) { b.Tag(make([]byte, MaxTag+1)) },
		"much data":      func(b *Batch) { b.Data(1, 1, 0, make([]byte, MaxData+1)) },
		"negative":       func(b *Batch) { b.Data(1, 1, -1, []byte("x")) },
		"over the end":   func(b *Batch) { b.Data(1, 1, 1<<63-1, []byte("x")) },
		"than a segment": func(b *Batch) { b.Data(1, 1, 0, make([]byte, minSegment)) },
	} {
		var b Batch
		b.Truncate(1, 1, 0)
		fill(&b)
		before := s.LastLSN()
		if _, err := s.Append(&b); !errors.Is(err, ErrTooBig) {
			t.Errorf("%s: %v", what, err)
		}
		if s.LastLSN() != before {
			t.Errorf("%s: something was appended", what)
		}
	}
	var b Batch
	if lsn, err := s.Append(&b); err != nil || lsn != s.LastLSN() {
		t.Errorf("empty batch: %d, %v", lsn, err)
	}
}

// TestDataNoCopy: data that is written from where it is makes the same log, frame by frame, whatever stands around it.
func TestDataNoCopy(t *testing.T) {
	for _, n := range []int{worthHolding, worthHolding + 1, 100_003, MaxData} {
		for around := range 4 {
			fill := func(write func(*Batch, LayerID, Ino, int64, []byte)) *Batch {
				b := new(Batch)
				for range 2 { // the second time is after a Reset, for another salt
					b.Reset()
					if around&1 != 0 {
						b.Inode(1, 7, &Inode{Size: 5})
						b.Entry(1, 1, 7, "name", Entry{Ino: 7})
					}
					write(b, 1, 7, 3, pattern(n, n))
					if around&2 != 0 {
						b.Truncate(1, 7, uint64(n))
						write(b, 1, 8, 0, pattern(1, worthHolding)) // there is room for one alone
						b.Inode(1, 7, &Inode{Size: 9, Target: "odd"})
					}
					b.sum(3)
				}
				b.Tag([]byte("tag"))
				return b
			}
			copied := fill((*Batch).Data)
			for _, sums := range []func([]byte) []byte{
				func([]byte) []byte { return nil },
				sumsOf,
				func(p []byte) []byte { return sumsOf(p)[4:] }, // too few: not used
			} {
				held := fill(func(b *Batch, l LayerID, ino Ino, off int64, p []byte) { b.DataNoCopy(l, ino, off, p, sums(p)) })
				if held.held == nil || cap(held.buf) >= n+worthHolding {
					t.Fatalf("%d bytes: %d are held, there is room for %d", n, len(held.held), cap(held.buf))
				}
				if copied.space() != held.space() {
					t.Errorf("%d bytes: %d in the log, and %d not copied", n, copied.space(), held.space())
				}
				want, wantChain := finished(copied, 11, 5, 2, 1, 9)
				got, chain := finished(held, 11, 5, 2, 1, 9)
				if !bytes.Equal(got, want) || chain != wantChain || len(got) != held.space() {
					t.Errorf("%d bytes, around %d: not what is copied", n, around)
				}
				for i := range held.starts {
					var a, b frame
					copied.frameAt(i, &a)
					held.frameAt(i, &b)
					if b.typ != frameData && !bytes.Equal(a.payload, b.payload) {
						t.Errorf("frame %d: payload %x, want %x", i, b.payload, a.payload)
					}
					a.payload, b.payload = nil, nil
					if !reflect.DeepEqual(a, b) {
						t.Errorf("frame %d: %+v, want %+v", i, b, a)
					}
				}
			}
		}
	}
}

// sumsOf returns the sums of p, as they come by its blocks.
func sumsOf(p []byte) (sums []byte) {
	for block := range slices.Chunk(p, SumBlock) {
		sums = AppendSum(sums, block)
	}
	return sums
}

// A batch can be appended again after its segment changed: its checksums follow.
func TestBatchForAnotherSalt(t *testing.T) {
	var b Batch
	b.Data(1, 1, 0, pattern(1, 50000))
	b.Truncate(1, 1, 7)
	b.sum(5)
	first, _ := finished(&b, 9, 1, 2, 0, 0)
	if _, err := scanBytes(first, 9, 1, 2); err != nil {
		t.Error(err)
	}
	again, _ := finished(&b, 11, 3, 4, 0, 0)
	if _, err := scanBytes(again, 11, 3, 4); err != nil {
		t.Error(err)
	}
}

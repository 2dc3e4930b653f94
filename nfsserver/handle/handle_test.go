package handle

import (
	"bytes"
	"errors"
	"testing"

	"deltafs/billyfs"
)

func newCodec() *Codec { return New([16]byte{1, 2, 3}, 7, [32]byte{9}) }

// cases sit on the boundaries of what a handle holds.
func cases() []billyfs.Handle {
	var full, short [MaxAncestors]byte
	for i := range full {
		full[i] = 0xab
	}
	copy(short[:], full[:MaxAncestors-1])
	return []billyfs.Handle{
		{Ino: 1, Gen: 1},
		{Ino: 1<<63 | 42, Gen: 1<<32 - 1},
		{Ino: 1<<63 - 1, Gen: 0, Parent: 1, Depth: 1},
		{Ino: 77, Gen: 3, Parent: 99, Depth: MaxAncestors, Ancestors: full},
		{Ino: 77, Gen: 3, Parent: 99, Depth: MaxAncestors - 1, Ancestors: short},
	}
}

func TestRoundTrip(t *testing.T) {
	c := newCodec()
	for _, h := range cases() {
		b := c.Append(nil, &h)
		if len(b) != Size || len(b)%4 != 0 || len(b) > 64 {
			t.Fatalf("handle of %d bytes", len(b))
		}
		got, err := c.Parse(b)
		if err != nil {
			t.Fatalf("%+v: %v", h, err)
		}
		if got != h {
			t.Errorf("got %+v, want %+v", got, h)
		}
		if !bytes.Equal(c.Append(nil, &got), b) {
			t.Errorf("%+v has two handles", h)
		}
	}
}

func TestForeignAndForged(t *testing.T) {
	c := newCodec()
	good := c.Append(nil, &billyfs.Handle{Ino: 1<<63 | 5, Gen: 2})
	others := map[string]*Codec{
		"another store": New([16]byte{1, 2, 4}, 7, [32]byte{9}),
		"another view":  New([16]byte{1, 2, 3}, 8, [32]byte{9}),
		"another key":   New([16]byte{1, 2, 3}, 7, [32]byte{10}),
	}
	for name, o := range others {
		if _, err := o.Parse(good); !errors.Is(err, ErrBad) {
			t.Errorf("%s: accepted: %v", name, err)
		}
	}
	for i := range good { // each single bit matters
		for bit := range 8 {
			b := bytes.Clone(good)
			b[i] ^= 1 << bit
			if _, err := c.Parse(b); !errors.Is(err, ErrBad) {
				t.Fatalf("byte %d bit %d flipped: accepted", i, bit)
			}
		}
	}
	for n := range 3 * Size {
		if n != Size {
			if _, err := c.Parse(make([]byte, n)); !errors.Is(err, ErrBad) {
				t.Fatalf("%d zero bytes accepted", n)
			}
		}
	}
}

func TestFSID(t *testing.T) {
	a := newCodec().FSID()
	if a == 0 || a != newCodec().FSID() {
		t.Error("not stable, or zero")
	}
	if a == New([16]byte{1, 2, 3}, 8, [32]byte{9}).FSID() || a == New([16]byte{2, 2, 3}, 7, [32]byte{9}).FSID() {
		t.Error("two file systems share a number")
	}
}

// What parses marshals back to the same bytes, whatever the body: the fuzzer
// gets past the MAC by having its input signed.
func FuzzParse(f *testing.F) {
	c := newCodec()
	for _, h := range cases() {
		f.Add(c.Append(nil, &h))
	}
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, Size))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == Size {
			b = bytes.Clone(b)
			copy(b[storeAt:], c.store[:])
			copy(b[viewAt:], []byte{7, 0, 0, 0, 0, 0, 0, 0})
			c.mac(b[macAt:], b[:macAt])
		}
		h, err := c.Parse(b)
		if err != nil {
			if !errors.Is(err, ErrBad) {
				t.Fatal(err)
			}
			return
		}
		if out := c.Append(nil, &h); !bytes.Equal(out, b) {
			t.Fatalf("%x parses to %+v, which is %x", b, h, out)
		}
	})
}

// raced says that the race detector is on, with which pools drop what they are
// given, so that there is garbage.
var raced bool

// Making and checking a handle leaves no garbage.
func TestNoAllocations(t *testing.T) {
	if raced {
		t.Skip("pools leave garbage with the race detector")
	}
	c := newCodec()
	h := cases()[3]
	b := make([]byte, 0, Size)
	n := testing.AllocsPerRun(1000, func() {
		b = c.Append(b[:0], &h)
		if got, err := c.Parse(b); err != nil || got != h {
			t.Fatal(got, err)
		}
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkHandle is what each call of a client pays, and each entry of a listing.
func BenchmarkHandle(b *testing.B) {
	c := newCodec()
	h := cases()[3]
	made := c.Append(nil, &h)
	b.Run("append", func(b *testing.B) {
		buf := make([]byte, 0, Size)
		for b.Loop() {
			buf = c.Append(buf[:0], &h)
		}
	})
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			if _, err := c.Parse(made); err != nil {
				b.Fatal(err)
			}
		}
	})
}

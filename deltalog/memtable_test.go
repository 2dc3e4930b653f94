package deltalog

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestMemtableOrder: keys of the memtable have the order of their bytes, whatever their length, also of those that begin alike.
func TestMemtableOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 0, 1, 0x7f, 0x80, 0xff}), 0, entryKeySize+3)
		a, b := key.Draw(t, "a"), key.Draw(t, "b")
		if n := rapid.IntRange(0, len(a)).Draw(t, "alike"); rapid.Bool().Draw(t, "begin alike") {
			b = append(bytes.Clone(a[:n]), b...)
		}
		if got, want := lessEntry(entryOf(a, nil), entryOf(b, nil)), bytes.Compare(a, b) < 0; got != want {
			t.Fatalf("%x before %x: %v", a, b, got)
		}
	})
}

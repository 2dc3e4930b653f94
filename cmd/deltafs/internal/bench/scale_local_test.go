package bench

import (
	"testing"
)

// TestScaleLocal: what PrepareScale has made can be measured, without a server, and what is read is verified.
func TestScaleLocal(t *testing.T) {
	base, own := t.TempDir(), t.TempDir()
	if err := PrepareScale(base, perDir, 10); err != nil {
		t.Fatal(err)
	}
	ps, err := ScaleLocal(t.Context(), base, own, perDir, 10, 100)
	if err != nil {
		t.Fatal(err)
	}
	sizes := []int{perDir, 10, 100}
	if len(ps) != len(sizes) {
		t.Fatalf("%v", ps)
	}
	for i, p := range ps {
		if p.Size != sizes[i] || p.Cost <= 0 {
			t.Errorf("%+v", p)
		}
	}
}

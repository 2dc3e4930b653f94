package deltalog

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// fileModel says for each byte of a file, in units of modelUnit, which frame it
// comes from.
type fileModel map[uint64]extent

const modelUnit = 512

func (m fileModel) data(e extent) {
	for o := e.off; o < e.end(); o += modelUnit {
		if m[o].lsn <= e.lsn {
			m[o] = e
		}
	}
}

func (m fileModel) cut(length uint64, lsn LSN) {
	for o, e := range m {
		if o >= length && e.lsn <= lsn {
			delete(m, o)
		}
	}
}

// checkExtents fails unless es, ascending, are what the model says.
func checkExtents(t interface{ Fatalf(string, ...any) }, m fileModel, es []extent) {
	seen := 0
	pos := uint64(0)
	for _, e := range es {
		if e.length == 0 || e.off < pos {
			t.Fatalf("extent %+v is empty or overlaps what ends at %d", e, pos)
		}
		pos = e.end()
		for o := e.off; o < e.end(); o += modelUnit {
			if !m[o].sameFrame(e) || m[o].length == 0 {
				t.Fatalf("byte %d comes from %+v, want %+v", o, e, m[o])
			}
			seen++
		}
	}
	if seen != len(m) {
		t.Fatalf("extents show %d units, want %d", seen, len(m))
	}
}

func TestInsertAndCutKeepTheNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var es []extent
		m := fileModel{}
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			lsn := LSN(rapid.IntRange(1, 20).Draw(t, "lsn"))
			off := uint64(rapid.IntRange(0, 40).Draw(t, "off")) * modelUnit
			if rapid.IntRange(0, 5).Draw(t, "kind") == 0 {
				es = cut(nil, es, off, lsn)
				m.cut(off, lsn)
			} else {
				n := uint32(rapid.IntRange(1, 12).Draw(t, "len")) * modelUnit
				e := extent{off: off, length: n, frameOff: uint32(8 * i), seg: 1, lsn: lsn}
				es = insert(nil, es, e)
				m.data(e)
			}
			checkExtents(t, m, es)
			if len(es) > 0 {
				if err := checkChunk(0, encodeChunk(es)); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func TestPackKeepsAllInOrderAndSmall(t *testing.T) {
	for _, n := range []int{1, chunkExtents - 1, chunkExtents, chunkExtents + 1, 2 * chunkExtents, 1000} {
		for _, grown := range []bool{false, true} {
			es := make([]extent, n)
			for i := range es {
				es[i] = extent{off: uint64(i), length: 1}
			}
			var all []extent
			for _, c := range pack(es, grown) {
				if len(c) == 0 || len(encodeChunk(c))+trailerSize > chunkMax {
					t.Errorf("%d extents, grown %v: a chunk of %d", n, grown, len(c))
				}
				all = append(all, c...)
			}
			for i, e := range all {
				if e != es[i] || len(all) != n {
					t.Fatalf("%d extents, grown %v: lost or out of order", n, grown)
				}
			}
		}
	}
}

func TestCheckChunkRefuses(t *testing.T) {
	ok := extent{off: 100, length: 50, seg: 1, lsn: 1}
	for name, es := range map[string][]extent{
		"empty extent":     {{off: 100}},
		"before the start": {{off: 10, length: 10}},
		"overlap":          {ok, {off: 149, length: 1}},
		"out of order":     {{off: 200, length: 1}, ok},
		"over the region":  {{off: regionSize - 1, length: 2}},
		"other region":     {{off: regionSize, length: 2}},
		"wraps around":     {{off: 1<<64 - 1, length: 2}},
	} {
		if err := checkChunk(50, encodeChunk(es)); !errors.Is(err, errIndexBad) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := checkChunk(50, encodeChunk([]extent{ok})); err != nil {
		t.Error(err)
	}
	if err := checkChunk(50, []byte{1, 2, 3}); !errors.Is(err, errIndexBad) {
		t.Errorf("odd size: %v", err)
	}
}

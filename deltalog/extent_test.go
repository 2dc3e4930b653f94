package deltalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
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

func TestChunkIsPackedAndUnpacked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.Uint64Range(0, maxFile).Draw(t, "start")
		var es []extent
		for pos := start; len(es) < rapid.IntRange(0, 120).Draw(t, "extents"); {
			e := extent{
				off:      pos + rapid.SampledFrom([]uint64{0, 0, 1, 4096, 1 << 40}).Draw(t, "gap"),
				length:   rapid.Uint32().Draw(t, "length"),
				frameOff: rapid.Uint32().Draw(t, "frame"),
				seg:      rapid.Uint64().Draw(t, "segment"),
				lsn:      LSN(rapid.Uint64().Draw(t, "lsn")),
			}
			es = append(es, e)
			pos = e.end()
		}
		newest := LSN(rapid.Uint64().Draw(t, "newest"))
		v := encodeChunk(es)
		got, err := unpackChunk(nil, start, packChunk(nil, start, v, newest), newest)
		if err != nil || string(got) != string(v) {
			t.Fatalf("%+v is unpacked as %x, %v", es, got, err)
		}
	})
}

// A block of 4 KiB that was overwritten at random costs a third of its 32 bytes.
func TestPackedChunkIsSmall(t *testing.T) {
	var es []extent
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range uint64(chunkExtents) {
		es = append(es, extent{
			off: i << 12, length: 4 << 10, frameOff: rng.Uint32N(8<<20) &^ 7,
			seg: 1000 + rng.Uint64N(150), lsn: LSN(50_000_000 + rng.Uint64N(1_000_000)),
		})
	}
	v := packChunk(nil, 0, encodeChunk(es), 51_000_000)
	if most := len(es) * extentSize * 2 / 5; len(v) > most {
		t.Errorf("%d bytes, more than %d", len(v), most)
	}
}

func TestUnpackRefuses(t *testing.T) {
	good := packChunk(nil, 0, encodeChunk([]extent{{off: 1, length: 1 << 30, frameOff: 8, seg: 300, lsn: 9}}), 9)
	for n := 1; n < len(good); n++ {
		if v, err := unpackChunk(nil, 0, good[:n], 9); !errors.Is(err, errIndexBad) {
			t.Errorf("%d bytes of %d: %x, %v", n, len(good), v, err)
		}
	}
	for what, v := range map[string][]byte{
		"a length of 33 bits":  {0, 0x80, 0x80, 0x80, 0x80, 0x10, 2, 1, 0},
		"a number of 65 bits":  {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2, 1, 2, 1, 0},
		"more than a chunk is": bytes.Repeat([]byte{0, 1, 2, 1, 0}, chunkMax/extentSize+2),
	} {
		if v, err := unpackChunk(nil, 0, v, 9); !errors.Is(err, errIndexBad) {
			t.Errorf("%s: %x, %v", what, v, err)
		}
	}
}

// Databases of the first version hold chunks as they are in memory.
func TestIndexOfUnpackedChunks(t *testing.T) {
	key, val := keyOfExtent(1, 2, 0), encodeChunk([]extent{{off: 5, length: 5, seg: 1, lsn: 1}, {off: 10, length: 1, seg: 2, lsn: 9}})
	stored := binary.LittleEndian.AppendUint64(bytes.Clone(val), 9)
	stored = binary.LittleEndian.AppendUint32(stored, pairCRC(tableExtent, key, val, 9, 0))
	stored = binary.LittleEndian.AppendUint32(stored, 0)
	if v, lsn, err := openStored(nil, tableExtent, key, stored); err != nil || lsn != 9 || string(v) != string(val) {
		t.Errorf("%x, LSN %d, %v", v, lsn, err)
	}
	stored[len(stored)-4] = packed // no other form has this checksum
	if v, _, err := openStored(nil, tableExtent, key, stored); !errors.Is(err, errIndexBad) {
		t.Errorf("%x, %v", v, err)
	}
}

package nfsserver

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"deltafs/billyfs"
	"deltafs/nfsserver/rpc"
	"deltafs/nfsserver/wire"
)

// summedFS notes with what sums files are written.
type summedFS struct {
	FS
	sums chan []byte
}

func (f *summedFS) WriteSummed(c billyfs.Caller, ino billyfs.Ino, p, sums []byte, off int64) (billyfs.Change, error) {
	f.sums <- slices.Clone(sums)
	return f.FS.WriteSummed(c, ino, p, sums, off)
}

// TestSums: the data of a large WRITE are summed while they arrive, however they come, and can be read
// back, verified by those sums. Of what may be less, or not what is written, there are none.
func TestSums(t *testing.T) {
	const seed = 3
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	dsk, all := newDisk(t, ""), make(chan []byte, 1)
	dsk.as = func(fs FS) FS { return &summedFS{fs, all} }
	r := serveDisks(t, Options{Access: Access{TrustLoopback: true}}, map[string]*disk{"/": dsk})
	c := r.dial()
	var made wire.MakeRes
	c.nfs(wire.ProcCreate, &wire.CreateArgs{Where: at(mustHandle(t, r.s), "new")}, &made)
	for _, k := range []struct {
		n     int  // bytes of data
		count int  // as the call says
		sums  bool // there are any
		odd   bool // the record comes in fragments
	}{
		{smallData, smallData, false, false},
		{smallData + 1, smallData + 1, true, false},
		{5 * billyfs.SumBlock, 5 * billyfs.SumBlock, true, false},
		{128 << 10, 128 << 10, true, false},
		{128 << 10, 128 << 10, true, true},
		{1<<20 - 1, 1<<20 - 1, true, false},
		{1 << 20, 1 << 20, true, false},
		{1 << 20, 1 << 20, true, true},
		{1 << 20, 1<<20 - 1, false, false}, // a part of the data is not to be written
		{1 << 20, 2 << 20, true, false},    // more than there are: those that are there
		{1<<20 + 4, 1<<20 + 4, true, true}, // more than a batch: not one sum of it would do
	} {
		data := make([]byte, k.n)
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		rec := c.record(wire.ProgNFS, 3, wire.ProcWrite, &wire.WriteArgs{File: made.Object.Handle, Offset: 7, Count: uint32(k.count), Data: data})
		framed := framed(rec)
		if k.odd {
			framed = nil
			for part := range slices.Chunk(rec, 50_001) {
				framed = append(binary.BigEndian.AppendUint32(framed, uint32(len(part))), part...)
			}
			framed = append(framed, 0x80, 0, 0, 0)
		}
		if _, err := c.conn.Write(framed); err != nil {
			t.Fatal(err)
		}
		sums := <-all
		var w wire.WriteRes
		b, err := c.receive(c.xid)
		if err != nil {
			t.Fatal(err)
		}
		decode(c, b, &w)
		n := min(k.n, k.count)
		if w.Status != wire.OK || int(w.Count) != n {
			t.Fatalf("WRITE of %d bytes, count %d: %v, %d", k.n, k.count, w.Status, w.Count)
		}
		var want []byte
		if k.sums {
			for block := range slices.Chunk(data, billyfs.SumBlock) {
				want = billyfs.AppendSum(want, block)
			}
		}
		if !bytes.Equal(sums, want) {
			t.Errorf("WRITE of %d bytes, count %d: sums %x, want %x", k.n, k.count, sums, want)
		}
		for off := 0; off < n; off += 100_000 {
			var res wire.ReadRes
			c.nfs(wire.ProcRead, &wire.RangeArgs{File: made.Object.Handle, Offset: uint64(7 + off), Count: 100_000}, &res)
			if want := data[off:min(off+100_000, n)]; res.Status != wire.OK || !bytes.HasPrefix(res.Data, want) {
				t.Fatalf("READ of what was written with %d bytes, at %d: %v, or not that", k.n, off, res.Status)
			}
		}
	}
}

// TestSumsOfBadRecords: what only looks like a WRITE is no reason to read behind it.
func TestSumsOfBadRecords(t *testing.T) {
	r := newRig(t)
	c := r.dial()
	var made wire.MakeRes
	c.nfs(wire.ProcCreate, &wire.CreateArgs{Where: at(mustHandle(t, r.s), "new")}, &made)
	good := c.record(wire.ProgNFS, 3, wire.ProcWrite, &wire.WriteArgs{File: made.Object.Handle, Count: 200 << 10, Data: make([]byte, 200<<10)})
	start, n := wire.PeekData(good)
	if n != 200<<10 || len(good) != start+n {
		t.Fatalf("data of %d bytes at %d of %d", n, start, len(good))
	}
	for _, size := range []uint32{200<<10 - 1, 200<<10 + 1, 1 << 20, 3 << 20, 1<<30 + 1, 1<<32 - 1} {
		rec := slices.Clone(good)
		c.xid++
		binary.BigEndian.PutUint32(rec, c.xid)
		binary.BigEndian.PutUint32(rec[start-4:], size)
		if err := rpc.WriteRecord(c.conn, rec); err != nil {
			t.Fatal(err)
		}
		b, err := c.receive(c.xid)
		if size <= 200<<10 {
			var w wire.WriteRes
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			decode(c, b, &w)
			if w.Status != wire.OK || w.Count != size {
				t.Errorf("%d bytes: %v, %d written", size, w.Status, w.Count)
			}
		} else if e, ok := err.(*wire.ReplyError); !ok || e.Stat != wire.GarbageArgs {
			t.Errorf("%d bytes: %v, want GARBAGE_ARGS", size, err)
		}
	}
}

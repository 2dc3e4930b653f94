package deltalog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"
)

// indexWorld is a history of frames, an index that follows it through
// checkpoints, crashes and reopens, and plain maps that say what it must show.
type indexWorld struct {
	t    *testing.T
	rng  *rand.Rand
	db   *kvMem
	x    *index
	log  []logged
	open int // changes since the last reopen, for messages

	inodes  map[string]Inode
	entries map[string]Entry
	origins map[string]Origin
	files   map[string]fileModel
}

// logged is a frame and where it lies in the pretended log.
type logged struct {
	f  frame
	at loc
}

const worldPerSegment = 40

func newIndexWorld(t *testing.T, seed uint64) *indexWorld {
	w := &indexWorld{t: t, rng: rand.New(rand.NewPCG(seed, 7)), db: newKVMem(),
		inodes: map[string]Inode{}, entries: map[string]Entry{},
		origins: map[string]Origin{}, files: map[string]fileModel{}}
	w.reopen()
	return w
}

// pos is where frame i of the log lies.
func (w *indexWorld) pos(i int) logPos {
	return logPos{seg: uint64(1 + i/worldPerSegment), off: uint32(segHeaderSize + 4096*(i%worldPerSegment))}
}

// reopen opens the index that the database holds and replays the rest.
func (w *indexWorld) reopen() {
	w.t.Helper()
	x, err := openIndex(w.db, StoreID{1})
	if err != nil {
		w.t.Fatal(err)
	}
	x.txBytes = 2000
	_, pos, ok := x.position()
	from := 0
	if ok {
		from = int(pos.seg-1)*worldPerSegment + int(pos.off-segHeaderSize)/4096
	}
	for _, l := range w.log[from:] {
		w.apply(x, l)
	}
	w.x = x
}

func (w *indexWorld) apply(x *index, l logged) {
	w.t.Helper()
	if err := x.apply(&l.f, l.at); err != nil {
		w.t.Fatal(err)
	}
}

// add makes the frame the next of the log.
func (w *indexWorld) add(f frame) {
	w.t.Helper()
	pos := w.pos(len(w.log))
	f.lsn = LSN(1 + len(w.log)/3) // three frames a batch
	l := logged{f, loc{pos.seg, pos.off, uint32(frameHeaderSize + len(f.payload))}}
	w.log = append(w.log, l)
	w.apply(w.x, l)
	w.model(l)
}

// model makes the change in the maps.
func (w *indexWorld) model(l logged) {
	f, k := l.f, string(keyOfIno(l.f.layer, l.f.ino))
	if w.files[k] == nil {
		w.files[k] = fileModel{}
	}
	switch f.typ {
	case frameInode:
		w.inodes[k], _ = decodeInode(f.payload)
	case frameEntry, frameEntryGone:
		ek := string(keyOfEntry(f.layer, f.ino, f.offset, f.payload[:f.length]))
		delete(w.entries, ek)
		if f.typ == frameEntry {
			_, w.entries[ek], _ = decodeEntryFrame(&f)
		}
	case frameOrigin:
		w.origins[k], _ = decodeOrigin(f.payload)
	case frameData:
		w.files[k].data(extent{off: f.offset, length: f.length, frameOff: l.at.off, seg: l.at.seg, lsn: f.lsn})
	case frameTruncate:
		w.files[k].cut(f.offset, f.lsn)
	case frameDrop:
		delete(w.inodes, k)
		w.files[k] = fileModel{}
	}
}

func (w *indexWorld) randomFrame() frame {
	r := w.rng
	f := frame{layer: LayerID(1 + r.IntN(8)/7), ino: Ino(1 + r.IntN(3))}
	if r.IntN(2) == 0 {
		f.ino |= Born
	}
	switch p := r.IntN(20); {
	case p < 3:
		f.typ = frameInode
		f.payload = appendInode(nil, &Inode{Size: r.Uint64(), Target: "target"[:r.IntN(6)]})
	case p < 6:
		f.typ = frameEntry
		name := fmt.Sprint("name", r.IntN(9))
		f.offset, f.length = uint64(len(name)+r.IntN(2)), uint32(len(name))
		f.payload = appendEntryValue([]byte(name), Entry{Ino: Ino(r.Uint64()), Type: TypeDir, Whiteout: r.IntN(2) == 0})
		if r.IntN(3) == 0 {
			f.typ, f.payload = frameEntryGone, f.payload[:f.length]
		}
	case p < 7:
		f.typ, f.layer = frameOrigin, noLayer
		f.payload = appendOrigin(nil, Origin{Parent: Ino(r.IntN(9)), Name: "origin"})
	case p < 8:
		f.typ, f.offset = frameTruncate, w.randomUnit()
	case p < 9 && r.IntN(4) == 0:
		f.typ = frameDrop
	default:
		f.typ, f.offset = frameData, w.randomUnit()
		f.length = uint32(1+r.IntN(6)) * modelUnit
	}
	return f
}

// randomUnit is an offset in one of two neighbouring regions, mostly near what
// divides them.
func (w *indexWorld) randomUnit() uint64 {
	u := uint64(w.rng.IntN(300)) * modelUnit
	if w.rng.IntN(2) == 0 {
		u += regionSize - 100*modelUnit
	}
	return u
}

// checkpoint runs one; fail says at which transaction it dies, 0 for not at all.
func (w *indexWorld) checkpoint(fail int) {
	w.t.Helper()
	w.x.freeze(LSN(len(w.log)/3), w.pos(len(w.log)))
	if w.rng.IntN(2) == 0 {
		w.add(w.randomFrame())
	}
	w.db.failAt(fail)
	err := w.x.flush()
	w.db.commit = nil
	if err == nil {
		return
	}
	if again := w.x.flush(); again != err {
		w.t.Fatalf("a flush after the failed one: %v", again)
	}
	w.check() // goes on without its database
	w.reopen()
}

// check compares all that the index shows with the maps, and with an index that
// is made from the log alone.
func (w *indexWorld) check() {
	w.t.Helper()
	w.checkRecords()
	w.checkFiles()
	w.checkUpTo()
	rebuilt := newIndex(emptyKV{}, StoreID{1})
	for _, l := range w.log {
		w.apply(rebuilt, l)
	}
	want, err := rebuilt.digest()
	got, err2 := w.x.digest()
	if err != nil || err2 != nil || got != want {
		w.t.Fatalf("digest %x (%v), rebuilt %x (%v)", got, err2, want, err)
	}
	wantLive, err := rebuilt.recount()
	gotLive, err2 := w.x.recount()
	if err != nil || err2 != nil || !maps.Equal(gotLive, wantLive) {
		w.t.Fatalf("live bytes %v (%v), rebuilt %v (%v)", gotLive, err2, wantLive, err)
	}
	if kept := w.x.live(); !maps.Equal(gotLive, kept) {
		w.t.Fatalf("recounted %v, kept %v", gotLive, kept)
	}
}

func (w *indexWorld) checkRecords() {
	w.t.Helper()
	inodes, entries, origins := map[string]Inode{}, map[string]Entry{}, map[string]Origin{}
	for l := LayerID(1); l <= 2; l++ {
		err1 := w.x.eachInode(l, func(i Ino, r Inode) bool { inodes[string(keyOfIno(l, i))] = r; return true })
		err2 := w.x.eachOrigin(func(i Ino, o Origin) bool { origins[string(keyOfIno(noLayer, i))] = o; return true })
		err3 := w.x.eachEntry(l, func(dir Ino, e DirEntry) bool {
			k := string(keyOfEntry(l, dir, e.Cookie, []byte(e.Name)))
			if _, ok := entries[k]; ok {
				w.t.Fatalf("%q is listed twice", e.Name)
			}
			entries[k] = e.Entry
			return true
		})
		if err1 != nil || err2 != nil || err3 != nil {
			w.t.Fatal(err1, err2, err3)
		}
	}
	if !maps.Equal(inodes, w.inodes) || !maps.Equal(entries, w.entries) || !maps.Equal(origins, w.origins) {
		w.t.Fatalf("listed\n%v\n%v\n%v\nwant\n%v\n%v\n%v", inodes, entries, origins, w.inodes, w.entries, w.origins)
	}
	for k, want := range w.entries {
		key := []byte(k)
		e, ok, err := w.x.entry(keyLayer(key), keyIno(key), keyTail(key), keyName(key))
		if e != want || !ok || err != nil {
			w.t.Fatalf("entry %q: %v %v %v", k, e, ok, err)
		}
	}
	for k := range w.files {
		l, ino := keyLayer([]byte(k)), keyIno([]byte(k))
		r, ok, err := w.x.inode(l, ino)
		if want, there := w.inodes[k]; err != nil || ok != there || r != want {
			w.t.Fatalf("inode %d %x: %v %v %v", l, ino, r, ok, err)
		}
		o, ok, err := w.x.origin(ino)
		if want, there := w.origins[string(keyOfIno(noLayer, ino))]; err != nil || ok != there || o != want {
			w.t.Fatalf("origin %d %x: %v %v %v", l, ino, o, ok, err)
		}
	}
}

func (w *indexWorld) checkFiles() {
	w.t.Helper()
	for k, m := range w.files {
		l, ino := keyLayer([]byte(k)), keyIno([]byte(k))
		off, n := uint64(0), uint64(1)<<40
		if w.rng.IntN(2) == 0 {
			off, n = w.randomUnit(), w.randomUnit()
		}
		want := fileModel{}
		for o, e := range m {
			if o >= off && o < off+n {
				want[o] = e
			}
		}
		var es []extent
		err := w.x.extents(l, ino, int64(off), int64(n), func(e extent) bool { es = append(es, e); return true })
		if err != nil {
			w.t.Fatal(err)
		}
		checkExtents(w.t, want, es)
		for range 40 { // some of them in the same chunks, which are kept
			at := w.randomUnit()
			to := at + uint64(1+w.rng.IntN(3))*modelUnit
			want := fileModel{}
			for o := at; o < to; o += modelUnit {
				if e, ok := m[o]; ok {
					want[o] = e
				}
			}
			es = es[:0]
			if err := w.x.extents(l, ino, int64(at), int64(to-at), func(e extent) bool { es = append(es, e); return true }); err != nil {
				w.t.Fatal(err)
			}
			checkExtents(w.t, want, es)
		}
	}
}

// checkKept compares the chunks that are kept with those of the database, and returns how many there are.
func (w *indexWorld) checkKept() (n int) {
	w.t.Helper()
	for i := range w.x.kept.shards {
		s := &w.x.kept.shards[i]
		if s.flushed != w.x.flushed.Load() || w.x.frozen != nil {
			continue
		}
		for _, set := range s.sets {
			for i, k := range set.chunks {
				if k == nil {
					continue
				}
				n++
				region := regionOf(k.start)
				if set.tags[i] == 0 || region+uint64(set.from[i]) != k.start || region+uint64(set.to[i]) != k.upTo || k.upTo > region+regionSize {
					w.t.Fatalf("the chunk at %d, up to %d, is kept as one from %d to %d", k.start, k.upTo, set.from[i], set.to[i])
				}
				c := memTx{w.db.now()}.cursor(tableExtent)
				key, stored := c.seek(k.key(nil))
				if !bytes.Equal(key, k.key(nil)) || !bytes.Equal(stored[:len(stored)-trailerSize], k.packed) {
					w.t.Fatalf("the chunk at %d that is kept is not that of the database", k.start)
				}
				if key, _ = c.next(); key != nil && sameIno(key, k.key(nil)) && keyTail(key) < k.upTo {
					w.t.Fatalf("behind the chunk at %d one begins at %d, before %d", k.start, keyTail(key), k.upTo)
				}
			}
		}
	}
	return n
}

// checkUpTo fails if a chunk begins where one of the memtable says that none does.
func (w *indexWorld) checkUpTo() {
	w.t.Helper()
	var keys [][]byte
	if err := w.x.each(tableExtent, []byte{}, nil, func(p pair) bool { keys = append(keys, p.key); return true }); err != nil {
		w.t.Fatal(err)
	}
	w.x.mem.ascend(tableExtent, nil, func(it item) bool {
		for _, k := range keys {
			if sameIno(k, it.key) && keyTail(k) > keyTail(it.key) && keyTail(k) < it.upTo {
				w.t.Fatalf("the chunk at %d says that there is none up to %d; one is at %d", keyTail(it.key), it.upTo, keyTail(k))
			}
		}
		return true
	})
}

func TestIndexFollowsRandomHistories(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 15
	}
	kept := 0
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			w := newIndexWorld(t, seed)
			for range 12 {
				for range w.rng.IntN(120) {
					w.add(w.randomFrame())
				}
				switch w.rng.IntN(6) {
				case 0, 1:
					w.checkpoint(0)
				case 2:
					w.checkpoint(1 + w.rng.IntN(4))
				case 3:
					w.reopen()
				}
				w.check()
				kept += w.checkKept()
			}
			w.checkpoint(0)
			w.reopen()
			w.check()
		})
	}
	if kept == 0 {
		t.Error("no chunk was kept")
	}
}

// TestChunksAreKept: what was looked for in the database is not looked for there again, until a checkpoint is done.
func TestChunksAreKept(t *testing.T) {
	const space = 8 << 10
	w := newIndexWorld(t, 1)
	for i := range 2000 {
		w.add(frame{typ: frameData, layer: 1, ino: 5, offset: uint64(i) * space, length: modelUnit})
	}
	w.checkpoint(0)
	c := &countedKV{kv: w.x.db}
	w.x.db = c
	look := func(when string, want int) {
		t.Helper()
		c.views = 0
		for i := range 2000 {
			found := 0
			if err := w.x.extents(1, 5, int64(i)*space, space, func(extent) bool { found++; return true }); err != nil || found != 1 {
				t.Fatalf("%s: %d extents at %d, %v", when, found, i, err)
			}
		}
		if c.views > want {
			t.Errorf("%s: %d looks into the database, of %d", when, c.views, want)
		}
	}
	chunks := 0
	if err := w.x.each(tableExtent, []byte{}, nil, func(pair) bool { chunks++; return true }); err != nil {
		t.Fatal(err)
	}
	look("first", 2*chunks) // a chunk may lie in two granules
	look("again", 0)
	w.add(frame{typ: frameData, layer: 1, ino: 5, offset: 0, length: modelUnit})
	w.checkpoint(0)
	look("after a checkpoint", 2*chunks)
	if c.views == 0 {
		t.Error("after a checkpoint nothing was looked for in the database")
	}
	w.checkKept()
}

// TestChunksThatAreKeptAreBounded: in number and bytes; and what is found is what was kept.
func TestChunksThatAreKeptAreBounded(t *testing.T) {
	var c chunkCache
	rng := rand.New(rand.NewPCG(1, 1))
	made := func(layer LayerID, ino Ino, start uint64) *keptChunk {
		packed := make([]byte, 100+int(uint64(ino)*7919+start/regionSize)%600)
		return &keptChunk{layer: layer, ino: ino, start: start, upTo: start + regionSize/64, lsn: LSN(ino), packed: packed}
	}
	for _, flushed := range []uint64{1, 2} {
		for range 300_000 {
			k := made(LayerID(1+rng.IntN(2)), Ino(1+rng.IntN(3)), uint64(rng.IntN(1<<15))*(regionSize/64))
			at := k.start + rng.Uint64N(regionSize/64)
			c.put(flushed, k, at)
			if got := c.get(flushed, k.layer, k.ino, at, at+1); got != k {
				t.Fatalf("kept %v, found %v", k, got)
			}
		}
		found := 0
		for range 100_000 {
			k := made(LayerID(1+rng.IntN(2)), Ino(1+rng.IntN(3)), uint64(rng.IntN(1<<15))*(regionSize/64))
			if got := c.get(flushed, k.layer, k.ino, k.start, k.upTo); got != nil {
				found++
				if got.layer != k.layer || got.ino != k.ino || got.start != k.start || len(got.packed) != len(k.packed) {
					t.Fatalf("looked for %v, found %v", k, got)
				}
			}
			if c.get(flushed-1, k.layer, k.ino, k.start, k.upTo) != nil || c.get(flushed, k.layer, k.ino, k.start, k.upTo+1) != nil {
				t.Fatal("found what is too old, or not all of it")
			}
		}
		all := 0
		for i := range c.shards {
			s, sum := &c.shards[i], 0
			for _, set := range s.sets {
				for _, k := range set.chunks {
					if k != nil {
						sum += k.size()
					}
				}
			}
			if sum != s.bytes || sum > shardBytes {
				t.Errorf("shard %d has %d bytes, and says %d", i, sum, s.bytes)
			}
			all += sum
		}
		if all < chunkBytes/2 || found == 0 {
			t.Errorf("%d bytes are kept, %d chunks found", all, found)
		}
	}
	old := made(1, 1, 0)
	c.put(1, old, 0)
	if c.get(2, 1, 1, 0, 1) == old || c.get(1, 1, 1, 0, 1) == old {
		t.Error("what is too old is kept")
	}
}

// countedKV counts the looks into a database.
type countedKV struct {
	kv
	views int
}

func (c *countedKV) view(fn func(kvTx) error) error {
	c.views++
	return c.kv.view(fn)
}

// TestLookAmongRecentExtents: where a file was written to since the checkpoint, neither to look for its extents nor to
// write there again goes down into the database.
func TestLookAmongRecentExtents(t *testing.T) {
	w := newIndexWorld(t, 1)
	for i := range 200 {
		w.add(frame{typ: frameData, layer: 1, ino: 5, offset: uint64(i) * 8 * modelUnit, length: modelUnit})
	}
	w.checkpoint(0)
	c := &countedKV{kv: w.x.db}
	w.x.db = c
	at := uint64(100 * 8 * modelUnit)
	add := func() { w.add(frame{typ: frameData, layer: 1, ino: 5, offset: at, length: modelUnit}) }
	if add(); c.views != 1 {
		t.Errorf("the first write behind the checkpoint looks %d times into the database", c.views)
	}
	c.views = 0
	add()
	found := 0
	if err := w.x.extents(1, 5, int64(at), modelUnit, func(extent) bool { found++; return true }); err != nil || found != 1 {
		t.Errorf("%d extents, %v", found, err)
	}
	if c.views != 0 {
		t.Errorf("%d looks into the database", c.views)
	}
	w.check()
}

func TestIndexChunksStaySmallInTheDatabase(t *testing.T) {
	w := newIndexWorld(t, 1)
	for i := range 3000 { // backwards, so that every write splits old chunks
		w.add(frame{typ: frameData, layer: 1, ino: 5, offset: uint64(3000-i) * modelUnit, length: modelUnit})
	}
	w.checkpoint(0)
	w.check()
	chunks := 0
	c := memTx{w.db.now()}.cursor(tableExtent)
	for k, v := c.seek(nil); k != nil; k, v = c.next() {
		if len(v) > chunkMax {
			t.Errorf("chunk at %d has %d bytes", binary.BigEndian.Uint64(k[12:]), len(v))
		}
		chunks++
	}
	if least := 3000 / chunkExtents; chunks < least || chunks > 4*least {
		t.Errorf("3000 extents are in %d chunks", chunks)
	}
}

// TestReadBehindChunksThatAreGone writes a region in no order, so that it has many chunks,
// and then anew, in sequence, so that it has few: what lies in them is found behind where
// the many were, whichever level of the index they are gone from.
func TestReadBehindChunksThatAreGone(t *testing.T) {
	const block, piece = 4 << 10, 128 << 10
	for _, at := range []string{"never", "with the many", "between", "in the end"} {
		s := mustCreate(t, t.TempDir(), Options{Manual: true})
		checkpoint := func(when string) {
			if when == at {
				if err := s.Checkpoint(); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(regionSize / block) {
			mustAppend(t, s, func(b *Batch) { b.Data(MainLayer, 9, int64(i)*block, pattern(i, block)) })
		}
		checkpoint("with the many")
		mustAppend(t, s, func(b *Batch) { b.Truncate(MainLayer, 9, 0) })
		checkpoint("between")
		for i := range regionSize/piece - 4 {
			mustAppend(t, s, func(b *Batch) { b.Data(MainLayer, 9, int64(i)*piece, pattern(i, piece)) })
		}
		checkpoint("in the end")
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range regionSize/piece - 4 {
				mustRead(t, s, 9, int64(i)*piece, pattern(i, piece))
			}
		}()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatalf("checkpoint %s: reading does not end", at)
		}
	}
}

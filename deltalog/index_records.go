package deltalog

import (
	"bytes"
	"math"
)

// What the store asks of the index, as records.

// decoded turns the error of a decoder into one that says where it happened.
func decoded[T any](t table, rec T, err error) (T, error) {
	if err != nil {
		return rec, indexBad("%s: %v", t, err)
	}
	return rec, nil
}

// inode returns the record of an inode, and whether there is one, as a layer
// shows it over those below.
func (x *index) inode(l LayerID, ino Ino) (Inode, bool, error) {
	if !x.inos.may(ino) {
		return Inode{}, false, nil
	}
	for i, l := range x.chain(l) {
		rec, ok, err := x.ownInode(l, ino)
		switch {
		case err != nil || rec.Flags&inodeGone != 0:
			return Inode{}, false, err
		case ok:
			if i > 0 {
				rec.Below = math.MaxUint64
			}
			return rec, true, nil
		}
	}
	return Inode{}, false, nil
}

// entry returns what a directory holds for a name, and whether it holds anything.
func (x *index) entry(l LayerID, dir Ino, cookie uint64, name string) (Entry, bool, error) {
	for _, l := range x.chain(l) {
		e, ok, err := x.ownEntry(l, dir, cookie, name)
		if err != nil || ok {
			return e, ok && !e.gone, err
		}
	}
	return Entry{}, false, nil
}

// ownEntry is what a layer says, whatever those below say.
func (x *index) ownEntry(l LayerID, dir Ino, cookie uint64, name string) (Entry, bool, error) {
	v, _, err := x.lookup(tableEntry, keyOfEntry(l, dir, cookie, []byte(name)))
	if err != nil || v == nil {
		return Entry{}, false, err
	}
	e, err := decodeEntryValue(valueRecord(v))
	e, err = decoded(tableEntry, e, err)
	return e, err == nil, err
}

// origin returns where in the base an object lies, and whether that is recorded.
func (x *index) origin(ino Ino) (Origin, bool, error) {
	if !x.inos.may(ino) {
		return Origin{}, false, nil
	}
	v, _, err := x.lookup(tableOrigin, keyOfIno(noLayer, ino))
	if err != nil || v == nil {
		return Origin{}, false, err
	}
	o, err := decodeOrigin(valueRecord(v))
	o, err = decoded(tableOrigin, o, err)
	return o, err == nil, err
}

// layers returns all layers, by id.
func (x *index) layers() ([]Layer, error) {
	var ls []Layer
	err := eachRecord(x, tableLayer, []byte{}, nil, func(k, rec []byte) (Layer, error) {
		return decodeLayer(keyLayer(k), rec)
	}, func(_ []byte, l Layer) bool {
		ls = append(ls, l)
		return true
	})
	return ls, err
}

// eachRecord calls fn for the metadata records in [from, to) until it returns
// false.
func eachRecord[T any](x *index, t table, from, to []byte, decode func(k, rec []byte) (T, error), fn func(k []byte, rec T) bool) error {
	return eachDecoded(t, func(each func(pair) bool) error { return x.each(t, from, to, each) }, decode, fn)
}

// eachOver is eachRecord for what a layer shows over those below. The bounds are
// without the layer.
func eachOver[T any](x *index, t table, l LayerID, from, to []byte, decode func(k, rec []byte) (T, error), fn func(k []byte, rec T) bool) error {
	return eachDecoded(t, func(each func(pair) bool) error { return x.over(t, x.chain(l), from, to, each) }, decode, fn)
}

// eachDecoded decodes what walk yields.
func eachDecoded[T any](t table, walk func(func(pair) bool) error, decode func(k, rec []byte) (T, error), fn func(k []byte, rec T) bool) error {
	var bad error
	err := walk(func(p pair) bool {
		rec, err := decode(p.key, valueRecord(p.val))
		if rec, err = decoded(t, rec, err); err != nil {
			bad = err
			return false
		}
		return fn(p.key, rec)
	})
	if err == nil {
		err = bad
	}
	return err
}

// entries calls fn for each entry and whiteout of dir whose cookie is at least
// from, in order of cookie and name, until fn returns false.
func (x *index) entries(l LayerID, dir Ino, from uint64, fn func(DirEntry) bool) error {
	lo, hi := keyOfEntry(0, dir, from, nil)[layerKeySize:], prefixEnd(keyOfIno(0, dir)[layerKeySize:])
	return eachOver(x, tableEntry, l, lo, hi, decodeEntryPair, func(k []byte, e Entry) bool {
		return e.gone || fn(DirEntry{Name: keyName(k), Cookie: keyTail(k), Entry: e})
	})
}

func decodeEntryPair(_, rec []byte) (Entry, error)   { return decodeEntryValue(rec) }
func decodeInodePair(_, rec []byte) (Inode, error)   { return decodeInode(rec) }
func decodeOriginPair(_, rec []byte) (Origin, error) { return decodeOrigin(rec) }

// eachInode and eachEntry walk all records that a layer shows in the order of
// their keys until fn returns false, eachOrigin those of all layers.
func (x *index) eachInode(l LayerID, fn func(Ino, Inode) bool) error {
	return eachOver(x, tableInode, l, nil, nil, decodeInodePair, func(k []byte, r Inode) bool {
		if keyLayer(k) != l {
			r.Below = math.MaxUint64
		}
		return r.Flags&inodeGone != 0 || fn(keyIno(k), r)
	})
}

func (x *index) eachEntry(l LayerID, fn func(dir Ino, e DirEntry) bool) error {
	return eachOver(x, tableEntry, l, nil, nil, decodeEntryPair, func(k []byte, e Entry) bool {
		return e.gone || fn(keyIno(k), DirEntry{Name: keyName(k), Cookie: keyTail(k), Entry: e})
	})
}

func (x *index) eachOrigin(fn func(Ino, Origin) bool) error {
	return eachRecord(x, tableOrigin, []byte{}, nil, decodeOriginPair, func(k []byte, o Origin) bool {
		return fn(keyIno(k), o)
	})
}

// extents calls fn for the extents of a file in [off, off+n), ascending and
// clipped to that range, until fn returns false. A file that changes meanwhile
// may show the old extents in one part and the new ones in another, never two
// for one byte.
func (x *index) extents(l LayerID, ino Ino, off, n int64, fn func(extent) bool) error {
	a := arounds.Get().(*around)
	defer arounds.Put(a)
	a.part = true
	return x.extentsBy(a, l, ino, off, n, fn)
}

// toWrite is extents for somebody who is about to write there.
func (x *index) toWrite(l LayerID, ino Ino, off, n int64, fn func(extent) bool) error {
	a := arounds.Get().(*around)
	a.part = false
	err := x.extentsBy(a, l, ino, off, n, fn)
	if a = x.last.Swap(a); a != nil {
		arounds.Put(a)
	}
	return err
}

func (x *index) extentsBy(a *around, l LayerID, ino Ino, off, n int64, fn func(extent) bool) error {
	if off < 0 || n <= 0 {
		return nil
	}
	from, to := uint64(off), uint64(off)+uint64(min(n, math.MaxInt64-off))
	for from < to {
		es, upTo, err := x.extentPage(a, l, ino, from, to)
		if err != nil {
			return err
		}
		for _, e := range es {
			if !fn(e) {
				return nil
			}
		}
		from = upTo
	}
	return nil
}

// extentPage returns the extents in [from, upTo), as of one moment, where upTo
// is to or as far as a page reaches. They are good until a is used again.
func (x *index) extentPage(a *around, l LayerID, ino Ino, from, to uint64) (es []extent, upTo uint64, err error) {
	ps, next, err := a.chunks(x, l, ino, from, to, pageFirst)
	if err != nil {
		return nil, 0, err
	}
	if upTo = to; next != nil {
		upTo = min(to, keyTail(next))
	}
	es = a.es[:0]
	for _, p := range ps {
		for i := range chunkLen(p.val) {
			if chunkEnd(p.val, i) <= from {
				continue
			}
			e := chunkAt(p.val, i)
			if e.off >= upTo {
				break
			}
			if e, ok := e.clip(from, upTo); ok {
				es = append(es, e)
			}
		}
	}
	a.es = es
	return es, upTo, nil
}

// digest returns a hash of all that the index holds, but not where in the log
// it is: a record that was moved is in two places for a while, and of file data only
// which ranges there are, since what is joined gets another LSN. Two indexes of one log
// at one LSN have the same, however their extents are packed.
func (x *index) digest() (uint64, error) {
	var sum uint64
	for t := range tables {
		if t == tableExtent {
			continue
		}
		err := x.each(t, []byte{}, nil, func(p pair) bool {
			sum += pairDigest(t, p.key, valueRecord(p.val), p.lsn)
			return true
		})
		if err != nil {
			return 0, err
		}
	}
	extents, err := x.digestExtents()
	return sum + extents, err
}

// digestExtents joins what was cut before it hashes.
func (x *index) digestExtents() (sum uint64, err error) {
	var run []extent // one at most
	var file []byte
	flush := func() {
		for _, e := range run {
			sum += pairDigest(tableExtent, file, appendExtent(nil, e), 0)
		}
		run = run[:0]
	}
	err = x.each(tableExtent, []byte{}, nil, func(p pair) bool {
		if file == nil || !bytes.Equal(file, p.key[:inoKeySize]) {
			flush()
			file = p.key[:inoKeySize]
		}
		for i := range chunkLen(p.val) {
			e := chunkAt(p.val, i)
			e.seg, e.frameOff, e.lsn = 0, 0, 0
			if run = push(run, e); len(run) == 2 {
				run = run[:1]
				flush()
				run = append(run, e)
			}
		}
		return true
	})
	flush()
	return sum, err
}

// pairDigest is FNV-1a, stirred so that sums of it do not cancel out.
func pairDigest(t table, key, val []byte, lsn LSN) uint64 {
	h := uint64(14695981039346656037) ^ uint64(t)<<56 ^ uint64(lsn)
	for _, p := range [...][]byte{key, val} {
		for _, b := range p {
			h = (h ^ uint64(b)) * 1099511628211
		}
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return h ^ h>>33
}

package deltalog

import (
	"encoding/binary"
	"hash/crc32"
	"maps"
	"slices"
)

// checkpoint is the record that says what the database holds.
type checkpoint struct {
	lsn    LSN    // everything up to here
	pos    logPos // of the next batch
	maxIno Ino    // highest born number seen
	valid  bool   // a checkpoint was ever finished: lsn and pos mean something
	// pending: a later checkpoint was begun and not finished. The database holds
	// some newer records too, and the live counters are not in step with them.
	pending bool
	// closed: the log ended at pos when the store was closed, and nobody has opened it to
	// write since. So nothing of this log is behind pos.
	closed bool
}

// bucketSums are the count and sum of the pairs of each bucket. A sum is the
// sum of the pairs' checksums, so that lost, doubled and outdated pages show.
type bucketSums [tables]struct{ count, sum uint64 }

func (s *bucketSums) add(t table, crc uint32) {
	s[t].count++
	s[t].sum += uint64(crc)
}

func (s *bucketSums) sub(t table, crc uint32) {
	s[t].count--
	s[t].sum -= uint64(crc)
}

const (
	metaVersion    = 1
	checkpointKey  = "checkpoint"
	liveKey        = "live"
	sumKeyPrefix   = "sum:"
	checkpointSize = 56
	pendingFlag    = 1
	validFlag      = 2
	closedFlag     = 4
)

func (c checkpoint) encode(id StoreID) []byte {
	var flags uint32
	if c.pending {
		flags |= pendingFlag
	}
	if c.valid {
		flags |= validFlag
	}
	if c.closed {
		flags |= closedFlag
	}
	v := binary.LittleEndian.AppendUint32(nil, metaVersion)
	v = binary.LittleEndian.AppendUint32(v, flags)
	v = binary.LittleEndian.AppendUint64(v, uint64(c.lsn))
	v = binary.LittleEndian.AppendUint64(v, c.pos.seg)
	v = binary.LittleEndian.AppendUint32(v, c.pos.off)
	v = binary.LittleEndian.AppendUint32(v, 0)
	v = binary.LittleEndian.AppendUint64(v, uint64(c.maxIno))
	return append(v, id[:]...)
}

func decodeCheckpoint(v []byte, id StoreID) (checkpoint, error) {
	if len(v) != checkpointSize {
		return checkpoint{}, indexBad("checkpoint record of %d bytes", len(v))
	}
	if n := binary.LittleEndian.Uint32(v); n != metaVersion {
		return checkpoint{}, indexBad("index version %d", n)
	}
	if StoreID(v[40:56]) != id {
		return checkpoint{}, indexBad("it belongs to another store")
	}
	flags := binary.LittleEndian.Uint32(v[4:])
	return checkpoint{
		lsn:     LSN(binary.LittleEndian.Uint64(v[8:])),
		pos:     logPos{seg: binary.LittleEndian.Uint64(v[16:]), off: binary.LittleEndian.Uint32(v[24:])},
		maxIno:  Ino(binary.LittleEndian.Uint64(v[32:])),
		pending: flags&pendingFlag != 0,
		valid:   flags&validFlag != 0,
		closed:  flags&closedFlag != 0,
	}, nil
}

func (b liveBytes) encode() []byte {
	v := make([]byte, 0, 16*len(b))
	for _, seg := range slices.Sorted(maps.Keys(b)) {
		v = binary.LittleEndian.AppendUint64(v, seg)
		v = binary.LittleEndian.AppendUint64(v, uint64(b[seg]))
	}
	return v
}

func decodeLive(v []byte) (liveBytes, error) {
	if len(v)%16 != 0 {
		return nil, indexBad("live counters of %d bytes", len(v))
	}
	b := liveBytes{}
	for ; len(v) > 0; v = v[16:] {
		b.add(binary.LittleEndian.Uint64(v), int64(binary.LittleEndian.Uint64(v[8:])))
	}
	return b, nil
}

// putMeta writes a record of the bucket meta: its bytes and a checksum.
func putMeta(tx kvTx, key string, v []byte) error {
	v = binary.LittleEndian.AppendUint32(v, metaCRC(key, v))
	return tx.put(tableMeta, []byte(key), binary.LittleEndian.AppendUint32(v, 0))
}

// getMeta returns such a record, nil if there is none.
func getMeta(tx kvTx, key string) ([]byte, error) {
	v := tx.get(tableMeta, []byte(key))
	if v == nil {
		return nil, nil
	}
	n := len(v) - 8
	if n < 0 || binary.LittleEndian.Uint32(v[n:]) != metaCRC(key, v[:n]) || binary.LittleEndian.Uint32(v[n+4:]) != 0 {
		return nil, indexBad("checksum of %q is wrong", key)
	}
	return v[:n], nil
}

func metaCRC(key string, v []byte) uint32 {
	c := crc32.Update(0, castagnoli, []byte{byte(tableMeta)})
	c = crc32.Update(c, castagnoli, []byte(key))
	return crc32.Update(c, castagnoli, v)
}

func (s *bucketSums) put(tx kvTx) error {
	for t := range tables {
		v := binary.LittleEndian.AppendUint64(nil, s[t].count)
		v = binary.LittleEndian.AppendUint64(v, s[t].sum)
		if err := putMeta(tx, sumKeyPrefix+t.String(), v); err != nil {
			return err
		}
	}
	return nil
}

// readSums reads the sums; those of a database never flushed to are zero.
func readSums(tx kvTx) (s bucketSums, err error) {
	for t := range tables {
		v, err := getMeta(tx, sumKeyPrefix+t.String())
		if err != nil {
			return s, err
		}
		if v == nil {
			continue
		}
		if len(v) != 16 {
			return s, indexBad("sum of %d bytes", len(v))
		}
		s[t].count = binary.LittleEndian.Uint64(v)
		s[t].sum = binary.LittleEndian.Uint64(v[8:])
	}
	return s, nil
}

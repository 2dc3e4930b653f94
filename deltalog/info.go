package deltalog

import "maps"

// Info is a summary of a store.
type Info struct {
	ID          StoreID
	Version     int
	Created     int64 // nanoseconds since 1970 UTC
	Labels      map[string]string
	SegmentSize int64
	Segments    int    // part of the log
	Spares      int    // preallocated, not part of the log
	LogBytes    uint64 // bytes ever appended, with headers and padding: frames and segment headers
	LiveBytes   uint64
	DiskBytes   uint64 // segments, spares and index
	LastLSN     LSN
	SyncedLSN   LSN
	Checkpoint  LSN
	ReadOnly    string // why the store is read-only; empty if it is not
	Inodes      int    // records, of all layers
	Pins        int    // names of the base whose number is kept: see BaseLayer
}

// Info returns the summary.
func (s *Store) Info() (Info, error) {
	log, spares, files := s.segs.counts()
	i := Info{
		ID: s.sb.id, Version: s.sb.version, Created: s.sb.created.UnixNano(), Labels: maps.Clone(s.sb.labels),
		SegmentSize: s.segs.size, Segments: log, Spares: spares, LogBytes: s.logBytes(),
		LastLSN: s.LastLSN(), SyncedLSN: s.SyncedLSN(),
	}
	i.Checkpoint, _, _ = s.x.position()
	if err := s.usable(); err != nil {
		i.ReadOnly = err.Error()
	}
	i.LiveBytes = uint64(s.x.liveTotal())
	size, err := s.x.size()
	if err != nil {
		return i, s.fault("info", err)
	}
	i.DiskBytes = uint64(files)*uint64(s.segs.size) + uint64(size)
	err = s.x.each(tableInode, prefixEnd(keyOfLayer(noLayer)), nil, func(pair) bool { i.Inodes++; return true })
	if err == nil {
		err = s.x.eachPrefix(tableEntry, keyOfLayer(noLayer), func(pair) bool { i.Pins++; return true })
	}
	return i, s.fault("info", err)
}

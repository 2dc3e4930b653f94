package deltalog

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"deltafs/deltalog/disk"
)

// DumpItem is one line of a dump: one of its fields is set.
type DumpItem struct {
	Store   *DumpStore   `json:"store,omitempty"`
	Segment *DumpSegment `json:"segment,omitempty"`
	Frame   *DumpFrame   `json:"frame,omitempty"`
	Broken  *DumpBroken  `json:"broken,omitempty"`
}

// DumpStore is the superblock.
type DumpStore struct {
	Dir         string            `json:"dir"`
	ID          string            `json:"id"`
	Version     int               `json:"version"`
	SegmentSize int64             `json:"segment_size"`
	Created     time.Time         `json:"created"`
	Labels      map[string]string `json:"labels,omitempty"`
	InUse       string            `json:"in_use,omitempty"` // by whom: what follows may be in motion
}

// DumpSegment is the file of a segment, and its header if it has a valid one.
type DumpSegment struct {
	File    string    `json:"file"`
	ID      uint64    `json:"id"`
	State   string    `json:"state"` // "log", "cold", "spare", "orphan", "damaged"
	Err     string    `json:"error,omitempty"`
	Prev    uint64    `json:"prev,omitempty"`
	PrevEnd uint64    `json:"prev_end,omitempty"`
	First   LSN       `json:"first_lsn,omitempty"`
	NextIno Ino       `json:"next_ino,omitempty"`
	Salt    uint32    `json:"salt,omitempty"`
	Chain   uint32    `json:"chain,omitempty"`
	Before  uint64    `json:"log_bytes_before,omitempty"`
	Created time.Time `json:"created,omitzero"`
}

// DumpFrame is a frame of a valid batch. Fields are set as the type has them;
// see doc.go.
type DumpFrame struct {
	Segment uint64  `json:"segment"`
	Offset  uint32  `json:"at"`
	Size    uint32  `json:"size"` // header, payload, padding
	Type    string  `json:"type"`
	LSN     LSN     `json:"lsn"`
	Layer   LayerID `json:"layer,omitempty"`
	Ino     Ino     `json:"ino,omitempty"`
	Name    string  `json:"name,omitempty"`
	Cookie  uint64  `json:"cookie,omitempty"`
	File    *uint64 `json:"offset,omitempty"` // DATA: file offset; TRUNCATE: new length
	Length  uint32  `json:"length,omitempty"` // bytes of file data
	Packed  uint32  `json:"packed,omitempty"` // DATA: bytes that they are compressed to
	Saved   uint64  `json:"saved,omitempty"`  // SEAL: bytes that compression has saved in the segment
	Inode   *Inode  `json:"inode,omitempty"`
	Entry   *Entry  `json:"entry,omitempty"`
	Origin  *Origin `json:"origin,omitempty"`
	View    *Layer  `json:"layer_record,omitempty"`
	Oldest  uint64  `json:"oldest,omitempty"` // TRIM
	Listed  int     `json:"listed,omitempty"` // SEAL: inodes in it; COLD: segments
	Synced  *LSN    `json:"synced,omitempty"` // COMMIT
	Frames  uint32  `json:"frames,omitempty"` // COMMIT: frames of the batch before it
	Tag     string  `json:"tag,omitempty"`    // COMMIT: in hexadecimal
	Err     string  `json:"error,omitempty"`  // valid by its checksums, and yet makes no sense
}

// DumpBroken is a range that does not validate.
type DumpBroken struct {
	Segment uint64 `json:"segment"`
	From    int64  `json:"from"`
	To      int64  `json:"to"`
	Err     string `json:"error"`
	Tail    bool   `json:"torn_tail,omitempty"` // at the end of the log
}

// Dump calls fn for what the log of the store in dir holds, in order: the
// superblock, each segment, its frames and what is broken in it; spares and
// other files last. It reads only. A store that is in use is dumped as well;
// its newest batches may then show as a torn tail. An error of fn ends the dump
// and is returned.
func Dump(dir string, fn func(DumpItem) error) error {
	if err := dump(dir, disk.OS(dir), fn); err != nil {
		return storeError("dump", dir, err)
	}
	return nil
}

func dump(dir string, d disk.FS, fn func(DumpItem) error) error {
	sb, err := readSuper(d)
	if err != nil {
		return err
	}
	st := DumpStore{Dir: dir, ID: hex.EncodeToString(sb.id[:]), Version: sb.version, SegmentSize: sb.segment,
		Created: sb.created, Labels: sb.labels}
	lock, err := lockStore(dir, false)
	switch {
	case errors.Is(err, ErrInUse):
		st.InUse = err.Error()
	case err != nil && !errors.Is(err, fs.ErrPermission):
		return err
	}
	defer lock.unlock()
	if err := fn(DumpItem{Store: &st}); err != nil {
		return err
	}
	return dumpLog(d, sb, fn)
}

func dumpLog(d disk.FS, sb *superblock, fn func(DumpItem) error) error {
	v, err := surveyLog(d, sb.id, sb.segment)
	if err != nil {
		return err
	}
	ch, err := v.chain(sb.segment)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	if ch == nil {
		ch = &chain{}
	}
	w := logWalk{fs: d, size: sb.segment}
	if n := len(ch.hdrs); n > 0 {
		w.head = ch.hdrs[n-1].id
	}
	w.batch = func(_ *segHeader, b *logBatch) error { return dumpBatch(b, fn) }
	w.bad = func(r badRange) error {
		return fn(DumpItem{Broken: &DumpBroken{r.seg, r.from, r.to, r.cause.Error(), r.tail}})
	}
	if err := dumpCold(&w, v, ch, fn); err != nil {
		return err
	}
	for i := range ch.hdrs {
		f := foundSegment{id: ch.hdrs[i].id, hdr: ch.hdrs[i]}
		if err := fn(DumpItem{Segment: dumpSegment(f, "log")}); err != nil {
			return err
		}
		if err := w.segment(&ch.hdrs[i], ch.ends[i]); err != nil {
			return err
		}
	}
	for _, f := range v.segs {
		if ch.index(f.id) >= 0 {
			continue
		}
		state := "orphan"
		if errors.Is(f.err, errUnbegun) {
			state, f.err = "spare", nil
		} else if f.err != nil {
			state = "damaged"
		}
		if err := fn(DumpItem{Segment: dumpSegment(f, state)}); err != nil {
			return err
		}
	}
	return nil
}

// dumpCold dumps the cold segments: they hold what is older than the rest.
func dumpCold(w *logWalk, v *logSurvey, ch *chain, fn func(DumpItem) error) error {
	refs, _, err := lastCold(w.fs, ch, w.size)
	if err != nil {
		return err
	}
	for _, f := range v.cold {
		end, state := w.size, "orphan"
		for _, r := range refs {
			if r.id == f.id {
				end, state = int64(r.end), "cold"
			}
		}
		if err := fn(DumpItem{Segment: dumpSegment(f, state)}); err != nil || state == "orphan" {
			if err != nil {
				return err
			}
			continue
		}
		err := w.cold(&f.hdr, end, func(fr *frame, at loc) error { return fn(DumpItem{Frame: dumpFrame(fr, at)}) })
		if err != nil {
			return err
		}
	}
	return nil
}

func dumpSegment(f foundSegment, state string) *DumpSegment {
	h := &f.hdr
	s := &DumpSegment{File: segName(f.id), ID: f.id, State: state, Prev: h.prev, PrevEnd: h.prevEnd,
		First: h.first, NextIno: h.next, Salt: h.salt, Chain: h.chain, Before: h.before}
	if f.err != nil {
		s.Err = f.err.Error()
	}
	if h.created != 0 {
		s.Created = time.Unix(0, h.created).UTC()
	}
	return s
}

func dumpBatch(b *logBatch, fn func(DumpItem) error) error {
	for i := range b.frames {
		if err := fn(DumpItem{Frame: dumpFrame(&b.frames[i], b.locs[i])}); err != nil {
			return err
		}
	}
	synced := b.commit.synced
	return fn(DumpItem{Frame: &DumpFrame{
		Segment: b.at.seg, Offset: b.at.off, Size: b.at.size, Type: frameCommit.String(), LSN: b.lsn,
		Synced: &synced, Frames: b.commit.frames, Tag: hex.EncodeToString(b.commit.tag),
	}})
}

func dumpFrame(f *frame, at loc) *DumpFrame {
	d := &DumpFrame{Segment: at.seg, Offset: at.off, Size: at.size, Type: f.typ.String(), LSN: f.lsn, Layer: f.layer, Ino: f.ino}
	var err error
	switch f.typ {
	case frameInode:
		d.Inode = new(Inode)
		*d.Inode, err = decodeInode(f.payload)
	case frameEntry:
		d.Entry, d.Cookie = new(Entry), f.offset
		d.Name, *d.Entry, err = decodeEntryFrame(f)
	case frameEntryGone:
		d.Name, d.Cookie = string(f.payload), f.offset
	case frameData, frameTruncate:
		d.File, d.Length = &f.offset, f.length
		if f.flags&flagCompressed != 0 {
			d.Packed = f.size
		}
	case frameOrigin:
		d.Origin = new(Origin)
		*d.Origin, err = decodeOrigin(f.payload)
	case frameLayer:
		d.View = new(Layer)
		*d.View, err = decodeLayer(f.layer, f.payload)
	case frameTrim:
		d.Oldest = trimOldest(f)
	case frameCold:
		d.Listed = int(f.size) / coldEntrySize
	case frameSeal:
		var es []sealEntry
		es, err = decodeSeal(f.payload)
		d.Listed, d.Saved = len(es), f.offset
	}
	if err != nil {
		d.Err = err.Error()
	}
	return d
}

// String returns the item in one line.
func (i DumpItem) String() string {
	switch {
	case i.Store != nil:
		s := fmt.Sprintf("store %s version %d segments of %d bytes, made %s", i.Store.ID, i.Store.Version, i.Store.SegmentSize, i.Store.Created.Format(time.RFC3339))
		if i.Store.InUse != "" {
			s += "; may be in motion: " + i.Store.InUse
		}
		return s
	case i.Segment != nil:
		return i.Segment.String()
	case i.Frame != nil:
		return i.Frame.String()
	case i.Broken != nil:
		what := "broken"
		if i.Broken.Tail {
			what = "torn tail"
		}
		return fmt.Sprintf("  %016x:%08x %s, %d bytes: %s", i.Broken.Segment, i.Broken.From, what, i.Broken.To-i.Broken.From, i.Broken.Err)
	}
	return ""
}

// String returns the segment in one line.
func (s *DumpSegment) String() string {
	t := s.File + " " + s.State
	if s.Err != "" {
		return t + ": " + s.Err
	}
	if s.State != "spare" {
		t += fmt.Sprintf(" from lsn %d, salt %08x, chain %08x, behind %016x:%x", s.First, s.Salt, s.Chain, s.Prev, s.PrevEnd)
	}
	return t
}

// String returns the frame in one line.
func (f *DumpFrame) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %016x:%08x %-9s lsn %d", f.Segment, f.Offset, f.Type, f.LSN)
	if f.Layer != 0 {
		fmt.Fprintf(&b, " layer %d ino %x", f.Layer, uint64(f.Ino))
	}
	if f.Name != "" {
		fmt.Fprintf(&b, " name %q cookie %x", f.Name, f.Cookie)
	}
	switch {
	case f.Inode != nil:
		n := f.Inode
		fmt.Fprintf(&b, " mode %o nlink %d uid %d gid %d size %d lower %d flags %x", n.Mode, n.Nlink, n.UID, n.GID, n.Size, n.LowerLen, n.Flags)
		if n.Target != "" {
			fmt.Fprintf(&b, " target %q", n.Target)
		}
	case f.Entry != nil && f.Entry.Whiteout:
		b.WriteString(" whiteout")
	case f.Entry != nil:
		fmt.Fprintf(&b, " is ino %x type %o", uint64(f.Entry.Ino), f.Entry.Type)
	case f.Origin != nil:
		fmt.Fprintf(&b, " base parent %x name %q pinned %v", uint64(f.Origin.Parent), f.Origin.Name, f.Origin.Pinned)
	case f.View != nil:
		fmt.Fprintf(&b, " parent %d flags %x view %x name %q", f.View.Parent, f.View.Flags, f.View.View, f.View.Name)
	case f.File != nil && f.Type == frameData.String():
		fmt.Fprintf(&b, " offset %d length %d", *f.File, f.Length)
		if f.Packed != 0 {
			fmt.Fprintf(&b, " compressed to %d", f.Packed)
		}
	case f.File != nil:
		fmt.Fprintf(&b, " to %d", *f.File)
	case f.Oldest != 0:
		fmt.Fprintf(&b, " oldest segment %016x", f.Oldest)
	case f.Listed != 0 && f.Type == frameCold.String():
		fmt.Fprintf(&b, " lists %d segments", f.Listed)
	case f.Listed != 0:
		fmt.Fprintf(&b, " lists %d inodes", f.Listed)
		if f.Saved != 0 {
			fmt.Fprintf(&b, ", %d bytes saved", f.Saved)
		}
	case f.Synced != nil:
		fmt.Fprintf(&b, " synced %d frames %d tag %q", *f.Synced, f.Frames, f.Tag)
	}
	if f.Err != "" {
		b.WriteString(" error: " + f.Err)
	}
	return b.String()
}

package deltalog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"deltafs/deltalog/disk"
)

// foundSegment is a file of the log directory.
type foundSegment struct {
	id  uint64
	hdr segHeader
	err error // nil: begun; errUnbegun; or what is wrong with it
	cut error // it is begun, and shorter than it must be
}

// logSurvey is what the log directory holds.
type logSurvey struct {
	segs  []foundSegment // by id; all but the next
	cold  []foundSegment // by id: cold segments with a valid header
	temps []string       // names of files that were not finished
	most  uint64         // highest id
}

// surveyLog reads the header of every segment. The error is of the file system,
// or ErrVersion; damage is noted in the segments.
func surveyLog(d disk.FS, id StoreID, size int64) (*logSurvey, error) {
	names, err := d.List(logDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: the directory %s is missing", ErrDamaged, logDir)
	}
	if err != nil {
		return nil, err
	}
	v := &logSurvey{}
	for _, name := range names {
		seg, ok := parseSegName(name)
		if !ok {
			if strings.HasSuffix(name, segSuffix+tmpSuffix) {
				v.temps = append(v.temps, logDir+"/"+name)
			}
			continue
		}
		f := foundSegment{id: seg}
		f.hdr, f.cut, f.err = readSegHeader(d, seg, size)
		if f.err == nil && f.hdr.store != id {
			f.err = fmt.Errorf("%w: it is of another store", errSegHeader)
		}
		if errors.Is(f.err, ErrVersion) {
			return nil, fmt.Errorf("%s: %w", segName(seg), f.err)
		}
		v.most = max(v.most, seg)
		if f.err == nil && f.hdr.kind == kindCold {
			v.cold = append(v.cold, f)
		} else {
			v.segs = append(v.segs, f)
		}
	}
	byID := func(a, b foundSegment) int { return cmp.Compare(a.id, b.id) }
	slices.SortFunc(v.segs, byID)
	slices.SortFunc(v.cold, byID)
	return v, nil
}

// findCold returns the cold segment of an id, nil if there is none.
func (v *logSurvey) findCold(id uint64) *foundSegment {
	for i := range v.cold {
		if v.cold[i].id == id {
			return &v.cold[i]
		}
	}
	return nil
}

func readSegHeader(d disk.FS, id uint64, size int64) (h segHeader, cut, err error) {
	f, err := d.Open(segName(id), false)
	if err != nil {
		return h, nil, err
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil {
		return h, nil, err
	}
	p := make([]byte, segHeaderSize)
	if _, err := f.ReadAt(p, 0); err != nil && err != io.EOF {
		return h, nil, err
	}
	h, err = decodeSegHeader(p, id)
	if n == size {
		return h, nil, err
	}
	cut = fmt.Errorf("%w: %d bytes instead of %d", errTruncated, n, size)
	if err != nil { // nothing in it can be read
		err = cut
	}
	return h, cut, err
}

// find returns the segment of an id, nil if there is none.
func (v *logSurvey) find(id uint64) *foundSegment {
	i, ok := slices.BinarySearchFunc(v.segs, id, func(f foundSegment, id uint64) int {
		switch {
		case f.id < id:
			return -1
		case f.id > id:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return &v.segs[i]
}

// chain is the log as its headers tell it, oldest segment first. ends holds
// where the log ends in each.
type chain struct {
	hdrs []segHeader
	ends []int64
	gap  *damage     // where the chain breaks off on the way back
	cut  []segHeader // begun segments behind the chain that it does not reach
}

// damage is a place where the log is not what was acknowledged.
type damage struct {
	file string
	off  int64 // -1: all of the file
	err  error
}

func (d *damage) Error() string {
	if d.off < 0 {
		return fmt.Sprintf("%s: %v", d.file, d.err)
	}
	return fmt.Sprintf("%s at %d: %v", d.file, d.off, d.err)
}

// chain finds the chain of the newest begun segment that has one. A segment
// can lack one if it was begun before a crash, and the header of the segment
// before it was lost; such segments are cut off.
func (v *logSurvey) chain(size int64) (*chain, error) {
	var cut []segHeader
	for i := len(v.segs) - 1; i >= 0; i-- {
		if v.segs[i].err != nil {
			continue
		}
		c := v.walk(&v.segs[i], size)
		if c.gap == nil || !errors.Is(c.gap.err, errUnbegun) {
			c.cut = cut
			return c, nil
		}
		cut = append(cut, v.segs[i].hdr)
	}
	for _, f := range v.segs {
		if f.err != nil && !errors.Is(f.err, errUnbegun) {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, &damage{segName(f.id), -1, f.err})
		}
	}
	return nil, fmt.Errorf("%w: %s holds no segment of the log", ErrDamaged, logDir)
}

// walk follows the chain back from a segment. Whether it had to reach further
// than it does is for the caller to see, by the oldest segment of the log.
func (v *logSurvey) walk(at *foundSegment, size int64) *chain {
	c := &chain{}
	for end := size; ; {
		c.hdrs, c.ends = append(c.hdrs, at.hdr), append(c.ends, end)
		if at.hdr.prev == 0 {
			break
		}
		end = int64(at.hdr.prevEnd)
		prev := v.find(at.hdr.prev)
		switch {
		case end < segHeaderSize || end > size || end%8 != 0:
			c.gap = &damage{segName(at.id), -1, fmt.Errorf("%w: it begins behind byte %d of the one before", errSegHeader, end)}
		case prev == nil:
			c.gap = &damage{segName(at.hdr.prev), -1, fs.ErrNotExist}
		case prev.err != nil:
			c.gap = &damage{segName(at.hdr.prev), -1, prev.err}
		}
		if c.gap != nil {
			break
		}
		at = prev
	}
	slices.Reverse(c.hdrs)
	slices.Reverse(c.ends)
	return c
}

// index returns the place of a segment in the chain, -1 if it is not there.
func (c *chain) index(id uint64) int {
	return slices.IndexFunc(c.hdrs, func(h segHeader) bool { return h.id == id })
}

func (c *chain) headID() uint64 { return c.hdrs[len(c.hdrs)-1].id }

package deltalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"deltafs/deltalog/disk"
)

// errExists means that Create met a store.
var errExists = errors.New("there is a store already")

// prepareDir makes the directory of a new store, sees that it holds nothing,
// and locks it if lock says so.
func prepareDir(dir string, o Options, lock bool) (*storeLock, error) {
	if o.ReadOnly {
		return nil, ErrReadOnly
	}
	if err := checkEmpty(o.FS); err != nil {
		return nil, err
	}
	if err := o.FS.Mkdir("."); err != nil {
		return nil, err
	}
	if !lock {
		return nil, nil
	}
	l, err := lockStore(dir, true)
	if err != nil {
		return nil, err
	}
	if err := checkEmpty(o.FS); err != nil { // again: another Create may have been faster
		return nil, errors.Join(err, l.unlock())
	}
	return l, nil
}

// checkEmpty sees that the tree holds nothing, or only what a Create that did
// not come to its end leaves.
func checkEmpty(d disk.FS) error {
	names, err := d.List(".")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if slices.Contains(names, superName) {
		if _, err := readSuper(d); err != nil {
			return err
		}
		return errExists
	}
	for _, name := range names {
		switch name {
		case superName + tmpSuffix, lockName, logDir, asideDir:
		default:
			return fmt.Errorf("%w: it holds %q", ErrNotStore, name)
		}
	}
	return errors.Join(checkLogDir(d), checkAside(d))
}

func checkAside(d disk.FS) error {
	names, err := d.List(asideDir)
	if err == nil && len(names) > 0 {
		return fmt.Errorf("%w: it holds %q", ErrNotStore, path.Join(asideDir, names[0]))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func checkLogDir(d disk.FS) error {
	names, err := d.List(logDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if id, ok := parseSegName(strings.TrimSuffix(name, tmpSuffix)); !ok || id != 1 {
			return fmt.Errorf("%w: it holds %q", ErrNotStore, path.Join(logDir, name))
		}
	}
	return nil
}

// format writes an empty store: the first segment with the record of the main
// layer, and then the superblock, with which the store begins to exist.
func format(o Options) error {
	sb, first, err := newSuper(o)
	if err != nil {
		return err
	}
	for _, name := range []string{superName + tmpSuffix, segName(1), segName(1) + tmpSuffix} {
		if err := o.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, name := range []string{logDir, asideDir} {
		if err := o.FS.Mkdir(name); err != nil {
			return err
		}
	}
	if err := makeSegment(o.FS, segName(1), sb.segment, first); err != nil {
		return err
	}
	return writeSuper(o.FS, sb)
}

// newSuper decides what the store will be, and returns the first bytes of its
// first segment too.
func newSuper(o Options) (*superblock, []byte, error) {
	sb := &superblock{version: formatVersion, segment: o.SegmentSize, created: o.now().UTC(), labels: o.Labels}
	if sb.segment == 0 {
		sb.segment = segmentFor(o.Limit)
	}
	if !validSegment(sb.segment) {
		return nil, nil, fmt.Errorf("segments of %d bytes: not a multiple of 4096 from %d to %d", sb.segment, minSegment, maxSegment)
	}
	for name := range sb.labels {
		if name == "" || strings.ContainsAny(name, " \n\r") {
			return nil, nil, fmt.Errorf("label %q: spaces are not for names", name)
		}
	}
	if len(sb.encode()) > maxSuper {
		return nil, nil, errors.New("labels are too long")
	}
	var secret [8 + 4]byte
	for _, p := range [][]byte{sb.id[:], sb.key[:], secret[:]} {
		if _, err := io.ReadFull(o.rand, p); err != nil {
			return nil, nil, fmt.Errorf("random numbers: %w", err)
		}
	}
	if o.like != nil {
		sb.id, sb.key = o.like.id, o.like.key
	}
	now := o.now().UnixNano()
	h := segHeader{
		kind: kindHot, store: sb.id, id: 1, salt: binary.LittleEndian.Uint32(secret[8:]) | 1,
		first: 1, next: Born, created: now, oldest: 1,
	}
	var b Batch
	b.Layer(Layer{ID: MainLayer, View: binary.LittleEndian.Uint64(secret[:]) | 1, Created: now, Name: "main"})
	b.finish(h.salt, 0, 1, 0, Born)
	return sb, append(encodeSegHeader(&h), b.buf...), nil
}

// makeSegment makes a file of the log directory that begins with p and is size
// bytes long, all of it durable. It has a name of its own until it is whole, so
// a segment that is shorter than it should be is always damage.
func makeSegment(d disk.FS, name string, size int64, p []byte) error {
	tmp := name + tmpSuffix
	f, err := d.Create(tmp)
	if err != nil {
		return err
	}
	err = f.Allocate(size)
	if err == nil && len(p) > 0 {
		_, err = f.WriteAt(p, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, d.Remove(tmp))
	}
	if err := d.Rename(tmp, name); err != nil {
		return err
	}
	return syncDir(d, logDir)
}

package deltalog

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"deltafs/deltalog/disk"
)

const (
	superName  = "store"
	superMagic = "deltafs store"
	maxSuper   = 64 << 10 // bytes; more is not a superblock
)

// superblock is what a store is, for good. See doc.go.
type superblock struct {
	version int
	id      StoreID
	key     [32]byte
	segment int64
	created time.Time
	labels  map[string]string
}

// secret derives a key for one purpose.
func (s *superblock) secret(purpose string) (key [32]byte) {
	m := hmac.New(sha256.New, s.key[:])
	io.WriteString(m, purpose)
	m.Sum(key[:0])
	return key
}

func (s *superblock) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nversion %d\nid %x\nkey %x\nsegment %d\ncreated %s\n", superMagic,
		s.version, s.id, s.key, s.segment, s.created.UTC().Format(time.RFC3339))
	names := make([]string, 0, len(s.labels))
	for name := range s.labels {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "label %s %s\n", name, strconv.Quote(s.labels[name]))
	}
	fmt.Fprintf(&b, "crc %08x\n", crc32.Checksum(b.Bytes(), castagnoli))
	return b.Bytes()
}

var errSuper = errors.New("superblock is damaged")

// decodeSuper decodes a superblock. ErrNotStore: it never was one; ErrVersion:
// it is of a version that this program does not know.
func decodeSuper(p []byte) (*superblock, error) {
	text, ok := strings.CutPrefix(string(p), superMagic+"\n")
	if !ok {
		return nil, ErrNotStore
	}
	// The version comes before everything that a later version may do otherwise.
	line, _, _ := strings.Cut(text, "\n")
	num, ok := strings.CutPrefix(line, "version ")
	version, err := strconv.Atoi(num)
	if !ok || err != nil || version < 1 {
		return nil, fmt.Errorf("%w: %w: no version", ErrDamaged, errSuper)
	}
	if version != formatVersion {
		return nil, fmt.Errorf("%w: version %d", ErrVersion, version)
	}
	s, err := parseSuper(text, p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w: %w", ErrDamaged, errSuper, err)
	}
	return s, nil
}

func parseSuper(text string, all []byte) (*superblock, error) {
	s := &superblock{labels: map[string]string{}}
	lines := strings.Split(text, "\n")
	if len(lines) < 7 || lines[len(lines)-1] != "" {
		return nil, errors.New("it is cut short")
	}
	for _, line := range lines[:len(lines)-2] {
		if err := s.parseLine(line); err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
	}
	// Encoding again checks order, spelling and CRC in one.
	if !validSegment(s.segment) || !bytes.Equal(s.encode(), all) {
		return nil, errors.New("checksum or spelling is wrong")
	}
	return s, nil
}

func (s *superblock) parseLine(line string) (err error) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "version":
		s.version, err = strconv.Atoi(rest)
	case "id":
		err = parseHex(s.id[:], rest)
	case "key":
		err = parseHex(s.key[:], rest)
	case "segment":
		s.segment, err = strconv.ParseInt(rest, 10, 64)
	case "created":
		s.created, err = time.Parse(time.RFC3339, rest)
	case "label":
		name, quoted, _ := strings.Cut(rest, " ")
		s.labels[name], err = strconv.Unquote(quoted)
	default:
		err = errors.New("unknown word")
	}
	return err
}

func parseHex(dst []byte, s string) error {
	if len(s) != 2*len(dst) {
		return errors.New("wrong length")
	}
	_, err := hex.Decode(dst, []byte(s))
	return err
}

func validSegment(n int64) bool { return n >= minSegment && n <= maxSegment && n%4096 == 0 }

// segmentFor derives the size of a segment from the limit of the log.
func segmentFor(limit int64) int64 {
	const least = 4 << 20
	if limit <= 0 {
		return maxSegment
	}
	return min(max(limit/256, least), maxSegment) &^ 4095
}

// readSuper reads the superblock of a store.
func readSuper(d disk.FS) (*superblock, error) {
	f, err := d.Open(superName, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: it has no superblock", ErrNotStore)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxSuper {
		return nil, fmt.Errorf("%w: its superblock is too long", ErrNotStore)
	}
	p := make([]byte, size)
	if n, err := f.ReadAt(p, 0); err != nil && (err != io.EOF || int64(n) < size) {
		return nil, err
	}
	return decodeSuper(p)
}

// writeSuper makes the superblock, durably: with it the store begins to exist.
func writeSuper(d disk.FS, s *superblock) error {
	tmp := superName + tmpSuffix
	if err := writeFile(d, tmp, s.encode()); err != nil {
		return err
	}
	if err := d.Rename(tmp, superName); err != nil {
		return err
	}
	return syncDir(d, ".")
}

// writeFile makes a file with these contents and syncs it, but not its name.
func writeFile(d disk.FS, name string, p []byte) error {
	f, err := d.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(p, 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(d disk.FS, dir string) error {
	if plantSkipDirSync {
		return nil
	}
	return d.SyncDir(dir)
}

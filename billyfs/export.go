package billyfs

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// ExportOptions say what Export writes.
type ExportOptions struct {
	All bool // the whole merged tree, and not only what has changed
	// Whiteouts adds what is gone (not to the whole tree), as a layer of the OCI image format has it: for each
	// name an empty file with ".wh." in front of it, for a directory that replaces one of
	// the base ".wh..wh..opq" in it. (Image Layer Filesystem Changeset, "Whiteouts".)
	Whiteouts bool
	Ignore    func(path string) bool // paths that stay out; may be nil
}

// Exported is what Export has written and left out.
type Exported struct {
	Files int      `json:"files"` // objects, directories too
	Bytes int64    `json:"bytes"` // of their content
	Gone  []string `json:"gone"`  // paths that the base has and the tree has not
	// Left are paths that an archive cannot hold: sockets.
	Left []string `json:"left"`
}

// Export writes what the tree changes of its base, or all of it, as a tar archive (PAX):
// with owners by number, modes, times to the nanosecond, symlinks, hard links and special
// files. What was renamed is there under its new name, whole. It is a picture of no one
// moment if the tree changes meanwhile; export a snapshot's fork for that.
func (t *Tree) Export(w io.Writer, o ExportOptions) (Exported, error) {
	x := exporter{
		patcher: patcher{t: t, ignore: o.Ignore}, o: o, tw: tar.NewWriter(w),
		entries: map[string]Ino{}, gone: map[string]bool{}, opaque: map[string]bool{}, links: map[Ino]string{},
		Exported: Exported{Gone: []string{}, Left: []string{}},
	}
	err := x.run()
	if err == nil {
		err = x.tw.Close()
	}
	var e *Error
	if err != nil && !errors.As(err, &e) {
		err = &Error{Op: "export", Path: "archive", Kind: KindIO, Err: err}
	}
	return x.Exported, err
}

type exporter struct {
	patcher
	Exported
	o       ExportOptions
	tw      *tar.Writer
	entries map[string]Ino  // that are written
	gone    map[string]bool // paths in the base
	opaque  map[string]bool // directories that hide one of the base
	links   map[Ino]string  // first name of a file with several
}

func (x *exporter) run() error {
	if x.o.All {
		if err := x.tree("", RootIno); err != nil {
			return err
		}
	}
	if err := x.t.Status(x.change); err != nil {
		return err
	}
	for p := range x.gone { // what has come in its place hides it
		ino, ok := x.entries[p]
		if !ok {
			continue
		}
		delete(x.gone, p)
		if a, err := x.t.Attr(ino); err == nil && a.Mode&TypeMask == TypeDir && !x.o.All {
			x.opaque[p] = true
		}
	}
	for p := range x.gone { // what is below something that is gone is gone with it
		for up := path.Dir(p); up != "."; up = path.Dir(up) {
			if x.gone[up] || x.opaque[up] {
				delete(x.gone, p)
				break
			}
		}
	}
	x.Gone = slices.Sorted(maps.Keys(x.gone))
	if x.o.Whiteouts && !x.o.All {
		for _, p := range x.Gone {
			x.entries[path.Join(path.Dir(p), ".wh."+path.Base(p))] = 0
		}
		for p := range x.opaque {
			x.entries[path.Join(p, ".wh..wh..opq")] = 0
		}
	}
	if !x.o.All {
		if err := x.parents(); err != nil {
			return err
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(x.entries), byParts) {
		if err := x.entry(p, x.entries[p]); err != nil {
			return err
		}
	}
	return nil
}

// byParts orders paths so that a directory comes before what is in it.
func byParts(a, b string) int {
	return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
}

// tree enters all at and below a path.
func (x *exporter) tree(p string, ino Ino) error {
	if p != "" && x.ignore != nil && x.ignore(p) {
		return nil
	}
	a, err := x.t.Attr(ino)
	switch {
	case KindOf(err) == Stale || KindOf(err) == NotExist:
		return nil
	case err != nil:
		return err
	}
	if p != "" {
		x.entries[p] = ino
	}
	if a.Mode&TypeMask != TypeDir {
		return nil
	}
	list, err := x.after().list(ino)
	if err != nil {
		return err
	}
	for _, e := range list {
		if isDot(e.Name) {
			continue
		}
		if err := x.tree(path.Join(p, e.Name), e.Ino); err != nil {
			return err
		}
	}
	return nil
}

// change takes a line of status.
func (x *exporter) change(s StatusEntry) error {
	if s.Path == "." || x.ignore != nil && x.ignore(s.Path) {
		return nil
	}
	was := ""
	switch s.Code {
	case 'D':
		was = s.Path
		if x.basePath(was) != was {
			return nil // in a directory that was renamed, and is written whole
		}
		x.gone[was] = true
		return nil
	case 'R':
		x.gone[s.From] = true
	}
	if x.o.All {
		return nil
	}
	ino, err := x.after().find(s.Path)
	if KindOf(err) == NotExist || KindOf(err) == NotDir || KindOf(err) == Stale {
		return nil
	}
	if err != nil {
		return err
	}
	if s.Code == 'm' {
		x.entries[s.Path] = ino
		return nil
	}
	if s.Code == 'M' || s.Code == 'T' {
		a, err := x.t.Attr(ino)
		if err == nil && a.Mode&TypeMask == TypeDir {
			x.opaque[s.Path] = true
		}
	}
	return x.tree(s.Path, ino)
}

// parents enters the directories above what is written, so that they get their modes.
func (x *exporter) parents() error {
	for p := range maps.Clone(x.entries) {
		for up := path.Dir(p); up != "."; up = path.Dir(up) {
			if _, ok := x.entries[up]; ok {
				break
			}
			ino, err := x.after().find(up)
			if err != nil { // of a whiteout: the directory is not there by that name
				break
			}
			x.entries[up] = ino
		}
	}
	return nil
}

// entry writes one member of the archive. Number 0 is an empty file of ours.
func (x *exporter) entry(p string, ino Ino) error {
	if ino == 0 {
		return x.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: p, Mode: 0o644, Format: tar.FormatPAX})
	}
	a, err := x.t.Attr(ino)
	if KindOf(err) == Stale || KindOf(err) == NotExist { // removed meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	h := &tar.Header{
		Name: p, Mode: int64(a.Mode & allPerms), Uid: int(a.UID), Gid: int(a.GID), Format: tar.FormatPAX,
		ModTime: time.Unix(0, a.Mtime), AccessTime: time.Unix(0, a.Atime),
		Devmajor: int64(a.RdevMajor), Devminor: int64(a.RdevMinor),
	}
	switch a.Mode & TypeMask {
	case TypeDir:
		h.Typeflag, h.Name = tar.TypeDir, p+"/"
	case TypeRegular:
		h.Typeflag, h.Size = tar.TypeReg, int64(a.Size)
	case TypeSymlink:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = x.t.Readlink(ino); err != nil {
			return err
		}
	case TypeFIFO:
		h.Typeflag = tar.TypeFifo
	case TypeChar:
		h.Typeflag = tar.TypeChar
	case TypeBlock:
		h.Typeflag = tar.TypeBlock
	default:
		x.Left = append(x.Left, p)
		return nil
	}
	if first, ok := x.links[ino]; ok && a.Mode&TypeMask != TypeDir {
		h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
	} else if a.Nlink > 1 {
		x.links[ino] = p
	}
	if err := x.tw.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	x.Files++
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	n, err := io.Copy(x.tw, io.NewSectionReader(readAtFunc(func(q []byte, off int64) (int, error) { return x.after().read(ino, q, off) }), 0, h.Size))
	x.Bytes += n
	if err == nil && n != h.Size {
		err = fail("export", ino, KindIO, fmt.Errorf("it has become shorter: %w", io.ErrUnexpectedEOF))
	}
	return err
}

package billyfs

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// maxDiff is the largest file that a patch holds, in bytes. What is longer is named, with
// the ranges that have changed.
const maxDiff = 64 << 20

// Diff writes what the tree changes of its base as a patch that git apply takes, and
// patch(1) where no binary file, mode or symlink is in it: text as unified hunks, binary
// files as git's literals, renames as such. It costs what has changed; whole files are
// read of that. Paths for which ignore is true stay out; it may be nil.
//
// What a patch cannot hold is a line that begins with "#", which both programs
// skip: special files, files of more than 64 MiB, and owners and times not at all.
func (t *Tree) Diff(w io.Writer, ignore func(path string) bool) error {
	d := patcher{t: t, w: w, ignore: ignore, olds: map[string]Ino{}, news: map[string]Ino{}}
	if err := t.Status(d.gather); err != nil {
		return err
	}
	return d.write()
}

// patcher gathers files first, by path: of the base, and of the merged tree.
type patcher struct {
	t          *Tree
	w          io.Writer
	ignore     func(string) bool
	olds, news map[string]Ino
}

// anyTree is a tree with its files, as a patch sees it.
type anyTree struct {
	lookup func(dir Ino, name string) (Ino, error)
	list   func(dir Ino) ([]DirEntry, error)
	attr   func(Ino) (Attr, error)
	link   func(Ino) (string, error)
	read   func(ino Ino, p []byte, off int64) (int, error)
}

func (d *patcher) before() anyTree {
	b := d.t.base
	return anyTree{b.Lookup, b.ReadDir, b.Attr, b.Readlink, b.ReadAt}
}

func (d patcher) after() anyTree {
	t := d.t
	return anyTree{
		lookup: func(dir Ino, name string) (Ino, error) {
			a, err := t.Lookup(dir, name)
			return a.Ino, err
		},
		list: func(dir Ino) (list []DirEntry, err error) {
			_, err = t.ReadDir(dir, 0, func(e DirEntry) bool {
				list = append(list, e)
				return true
			})
			return list, err
		},
		attr: t.Attr, link: t.Readlink,
		read: func(ino Ino, p []byte, off int64) (int, error) {
			n, eof, err := t.ReadAt(ino, p, off)
			if err == nil && eof {
				err = io.EOF
			}
			return n, err
		},
	}
}

// find returns what lies at a path below the root.
func (s anyTree) find(p string) (ino Ino, err error) {
	ino = RootIno
	for name := range strings.SplitSeq(p, "/") {
		if ino, err = s.lookup(ino, name); err != nil {
			return 0, err
		}
	}
	return ino, nil
}

// walk enters the files at and below a path; what is not there any more is none.
func (d *patcher) walk(s anyTree, p string, ino Ino, into map[string]Ino) error {
	if d.ignore != nil && d.ignore(p) {
		return nil
	}
	a, err := s.attr(ino)
	switch {
	case KindOf(err) == Stale || KindOf(err) == NotExist:
		return nil
	case err != nil:
		return err
	case a.Mode&TypeMask != TypeDir:
		into[p] = ino
		return nil
	}
	list, err := s.list(ino)
	if err != nil {
		return err
	}
	for _, e := range list {
		if isDot(e.Name) {
			continue
		}
		if err := d.walk(s, path.Join(p, e.Name), e.Ino, into); err != nil {
			return err
		}
	}
	return nil
}

func (d *patcher) enter(s anyTree, p string, into map[string]Ino) error {
	ino, err := s.find(p)
	if KindOf(err) == NotExist || KindOf(err) == NotDir || KindOf(err) == Stale {
		return nil
	}
	if err != nil {
		return err
	}
	return d.walk(s, p, ino, into)
}

// gather takes a line of status.
func (d *patcher) gather(s StatusEntry) error {
	if s.Path == "." {
		return nil // a patch has no directories
	}
	var err error
	switch s.Code {
	case 'R':
		err = d.enter(d.before(), s.From, d.olds)
	case 'm':
		if ino, ferr := d.after().find(s.Path); ferr == nil {
			if a, aerr := d.t.Attr(ino); aerr == nil && a.Mode&TypeMask == TypeDir {
				return nil
			}
		}
		fallthrough
	case 'D', 'M', 'T':
		err = d.enter(d.before(), d.basePath(s.Path), d.olds)
	}
	if err == nil && s.Code != 'D' {
		err = d.enter(d.after(), s.Path, d.news)
	}
	return err
}

// basePath is the path in the base of a name that the base has in a directory that may
// be renamed.
func (d *patcher) basePath(p string) string {
	dir, name := path.Split(p)
	if dir == "" {
		return p
	}
	ino, err := d.after().find(strings.TrimSuffix(dir, "/"))
	if err != nil || !d.t.inBase(ino) {
		return p
	}
	return path.Join(d.t.lowerPath(ino), name)
}

// write pairs what was gathered and writes one patch for each pair.
func (d *patcher) write() error {
	byIno := map[Ino]string{}
	for _, p := range slices.Sorted(maps.Keys(d.olds)) {
		if d.news[p] != d.olds[p] { // a file that stayed is not where another came from
			byIno[d.olds[p]] = p
		}
	}
	type pair struct{ from, to string }
	var pairs []pair
	used := map[string]bool{}
	for _, to := range slices.Sorted(maps.Keys(d.news)) {
		from := ""
		if _, same := d.olds[to]; same {
			from = to
		}
		if d.olds[to] != d.news[to] {
			if was, ok := byIno[d.news[to]]; ok && !used[was] {
				from = was
			}
		}
		used[from] = true
		pairs = append(pairs, pair{from, to})
	}
	for p := range d.olds {
		if !used[p] {
			pairs = append(pairs, pair{from: p})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(cmp.Or(a.to, a.from), cmp.Or(b.to, b.from)), cmp.Compare(a.from, b.from))
	})
	for _, p := range pairs {
		var f patchFile
		var err error
		if p.from != "" {
			f.from, err = d.content(d.before(), p.from, d.olds[p.from])
		}
		if err == nil && p.to != "" {
			f.to, err = d.content(d.after(), p.to, d.news[p.to])
		}
		if err != nil {
			return err
		}
		if err := f.write(d.w); err != nil {
			return &Error{Op: "diff", Path: cmp.Or(p.to, p.from), Kind: KindIO, Err: err}
		}
	}
	return nil
}

// content reads a file for a patch.
func (d *patcher) content(s anyTree, p string, ino Ino) (*patchSide, error) {
	a, err := s.attr(ino)
	if err != nil {
		return nil, err
	}
	f := &patchSide{path: p, size: int64(a.Size)}
	switch a.Mode & TypeMask {
	case TypeRegular:
		f.mode = 0o100644
		if a.Mode&0o111 != 0 {
			f.mode = 0o100755
		}
	case TypeSymlink:
		f.mode = 0o120000
		target, err := s.link(ino)
		f.data = []byte(target)
		return f, err
	default:
		f.special = true
		return f, nil
	}
	if f.size > maxDiff {
		f.ranges = d.ranges(ino, f.size)
		return f, nil
	}
	var b bytes.Buffer
	_, err = b.ReadFrom(io.NewSectionReader(readAtFunc(func(q []byte, off int64) (int, error) { return s.read(ino, q, off) }), 0, f.size))
	f.data = b.Bytes()
	if err == nil && int64(len(f.data)) != f.size {
		err = fail("diff", ino, KindIO, io.ErrUnexpectedEOF)
	}
	return f, err
}

// ranges says which ranges of a file are the delta's.
func (d *patcher) ranges(ino Ino, size int64) string {
	var list []string
	_ = d.t.store.DataRanges(d.t.live(), ino, 0, size, func(off, n int64) bool { // no more than a remark
		list = append(list, fmt.Sprintf("%d+%d", off, n))
		return len(list) < 1000
	})
	return strings.Join(list, " ")
}

type readAtFunc func(p []byte, off int64) (int, error)

func (f readAtFunc) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		if k, err = f(p[n:], off+int64(n)); k == 0 && err == nil {
			err = io.ErrNoProgress
		}
		n += k
	}
	if n == len(p) {
		err = nil
	}
	return n, err
}

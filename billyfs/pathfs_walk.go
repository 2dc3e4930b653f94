package billyfs

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"github.com/go-git/go-billy/v5"
)

// maxSymlinks is how many symlinks are followed in one path.
const maxSymlinks = 40

var errLoop = errors.New("too many levels of symbolic links")

// spot is where a path leads: a name in a directory, and what it holds if
// found. The root has no name.
type spot struct {
	dir   Ino
	name  string
	found bool
	attr  Attr // if found
}

// resolver resolves one path of an FS. It keeps the directories that it came
// through, so that ".." in a symlink leads back up the way that it came and
// cannot leave the root.
type resolver struct {
	f     *FS
	op    string
	make  bool   // make missing parents
	perm  uint32 // of those
	stack []Ino  // directories from the tree's root to the current one
	floor int    // of stack: what lies below the root of f
	links int
}

func newResolver(f *FS, op string, mkdirs bool) *resolver {
	return &resolver{f: f, op: op, make: mkdirs, perm: parentMode, stack: []Ino{f.t.Root()}, floor: 1}
}

// split returns the components of a path, or ErrCrossedBoundary.
func split(name string) ([]string, error) {
	p := path.Clean(strings.TrimLeft(filepath.ToSlash(name), "/"))
	switch {
	case p == ".":
		return nil, nil
	case p == ".." || strings.HasPrefix(p, "../"):
		return nil, billy.ErrCrossedBoundary
	}
	return strings.Split(p, "/"), nil
}

// clean is the form in which files tell their name.
func clean(name string) string {
	return filepath.FromSlash(path.Clean(strings.TrimLeft(filepath.ToSlash(name), "/")))
}

func lastName(name string) string { return path.Base(filepath.ToSlash(name)) }

// must is find for a path that has to exist.
func (w *resolver) must(name string, follow bool) (spot, error) {
	at, err := w.find(name, follow)
	if err == nil && !at.found {
		err = failName(w.op, at.dir, at.name, NotExist, nil)
	}
	return at, err
}

// mustDir is must for a directory.
func (w *resolver) mustDir(name string) (spot, error) {
	at, err := w.must(name, true)
	if err == nil && at.attr.Mode&TypeMask != TypeDir {
		err = fail(w.op, at.attr.Ino, NotDir, nil)
	}
	return at, err
}

// find resolves a path. Only the last component may be missing; if it is a
// symlink it is followed if follow says so.
func (w *resolver) find(name string, follow bool) (spot, error) {
	parts, err := split(name)
	if err != nil {
		return spot{}, err
	}
	if w.f.prefix != "" {
		root, err := split(w.f.prefix)
		if err != nil {
			return spot{}, err
		}
		if err := w.enter(root); err != nil {
			return spot{}, err
		}
		w.floor = len(w.stack)
	}
	return w.walk(parts, follow)
}

// enter walks to a directory that becomes the root.
func (w *resolver) enter(parts []string) error {
	at, err := w.walk(parts, true)
	if err != nil {
		return err
	}
	if !at.found {
		if at, err = w.mkdir(at); err != nil {
			return err
		}
	}
	if at.name != "" {
		return w.push(at)
	}
	return nil
}

func (w *resolver) walk(parts []string, follow bool) (spot, error) {
	for len(parts) > 0 {
		name, last := parts[0], len(parts) == 1
		parts = parts[1:]
		if name == ".." {
			if len(w.stack) <= w.floor {
				return spot{}, billy.ErrCrossedBoundary
			}
			w.stack = w.stack[:len(w.stack)-1]
			continue
		}
		at, err := w.look(name)
		if err != nil {
			return spot{}, err
		}
		if at.found && at.attr.Mode&TypeMask == TypeSymlink && (!last || follow) {
			more, err := w.target(at.attr.Ino)
			if err != nil {
				return spot{}, err
			}
			parts = append(more, parts...)
			continue
		}
		if last {
			return at, nil
		}
		if !at.found {
			if at, err = w.mkdir(at); err != nil {
				return spot{}, err
			}
		}
		if err := w.push(at); err != nil {
			return spot{}, err
		}
	}
	top := w.stack[len(w.stack)-1]
	a, err := w.f.t.Attr(top)
	return spot{dir: top, found: err == nil, attr: a}, err
}

func (w *resolver) look(name string) (spot, error) {
	at := spot{dir: w.stack[len(w.stack)-1], name: name}
	a, err := w.f.t.Lookup(at.dir, name)
	if KindOf(err) == NotExist {
		return at, nil
	}
	at.attr, at.found = a, err == nil
	return at, err
}

func (w *resolver) push(at spot) error {
	if at.attr.Mode&TypeMask != TypeDir {
		return failName(w.op, at.dir, at.name, NotDir, nil)
	}
	w.stack = append(w.stack, at.attr.Ino)
	return nil
}

// mkdir makes a missing parent, if this walk does that.
func (w *resolver) mkdir(at spot) (spot, error) {
	if !w.make {
		return at, failName(w.op, at.dir, at.name, NotExist, nil)
	}
	_, _, err := w.f.t.Mkdir(w.f.caller, at.dir, at.name, SetAttr{Mode: &w.perm})
	if err != nil && KindOf(err) != Exist {
		return at, err
	}
	at.attr, err = w.f.t.Lookup(at.dir, at.name)
	at.found = err == nil
	return at, err
}

// target returns the components that a symlink stands for. Those of an
// absolute one begin at the root.
func (w *resolver) target(ino Ino) ([]string, error) {
	if w.links++; w.links > maxSymlinks {
		return nil, fail(w.op, ino, Invalid, errLoop)
	}
	target, err := w.f.t.Readlink(ino)
	if err != nil {
		return nil, err
	}
	if path.IsAbs(target) {
		w.stack = w.stack[:w.floor]
	}
	var parts []string
	for part := range strings.SplitSeq(target, "/") {
		if part != "" && part != "." {
			parts = append(parts, part)
		}
	}
	return parts, nil
}

// pathError dresses an error for users of paths: package os must see what it
// is, and go-billy's own errors are compared as they are.
func pathError(op, name string, err error) error {
	if err == nil || errors.Is(err, billy.ErrCrossedBoundary) {
		return err
	}
	switch KindOf(err) {
	case NotExist, Stale:
		err = fs.ErrNotExist
	case Exist:
		err = fs.ErrExist
	case Access, NotPermitted:
		err = fs.ErrPermission
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

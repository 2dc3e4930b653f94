package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// realBase checks that path is a directory that can be served, and returns it
// absolute and without symlinks: that is how a store remembers its base.
func realBase(path string) (string, error) {
	refuse := func(err error, hint string) (string, error) {
		return "", &fault{Op: "serve", Path: path, Err: err, Hint: hint, Code: exitBase}
	}
	real, err := realPath(path)
	if errors.Is(err, fs.ErrNotExist) {
		return refuse(errors.New("the base does not exist"), "if it lies on another disk or machine, mount that first")
	}
	if err != nil {
		return refuse(bare(err), "")
	}
	st, err := os.Stat(real)
	if err != nil {
		return refuse(bare(err), "")
	}
	if !st.IsDir() {
		return refuse(errors.New("the base is not a directory"), "give the directory to show, not a file in it")
	}
	d, err := os.Open(real)
	if err != nil {
		return refuse(bare(err), "the user that runs the server must be able to read the base")
	}
	d.Close()
	return real, nil
}

// realPath returns path absolute and without symlinks.
func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// realNew is realPath for a path whose last parts may not exist yet.
func realNew(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for dir := abs; ; {
		real, err := filepath.EvalSymlinks(dir)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		up := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || up == dir {
			return "", err
		}
		rest = filepath.Join(filepath.Base(dir), rest)
		dir = up
	}
}

// checkApart refuses a base and a store of which one holds the other: the
// store would change the base, or show itself in it. Both are real paths.
func checkApart(base, store string) error {
	switch {
	case sameFile(base, store):
		return &fault{Op: "serve", Path: store, Err: errors.New("base and delta are the same directory"),
			Code: exitUsage, Hint: "give a directory of its own as --delta"}
	case inside(base, store):
		return &fault{Op: "serve", Path: store, Err: errors.New("the delta lies inside the base " + quote(base)),
			Code: exitUsage, Hint: "give a directory outside the base as --delta"}
	case inside(store, base):
		return &fault{Op: "serve", Path: base, Err: errors.New("the base lies inside the delta " + quote(store)),
			Code: exitUsage, Hint: "give a directory of its own as --delta"}
	}
	return nil
}

// inside tells whether path lies below dir, however either is spelled: it
// compares files, not names, on the way up, so that case and bind mounts of
// the same directory do not matter. Parts that do not exist are skipped.
func inside(dir, path string) bool {
	for up := filepath.Dir(path); ; {
		if sameFile(dir, up) {
			return true
		}
		next := filepath.Dir(up)
		if next == up {
			return false
		}
		up = next
	}
}

func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	sa, err := os.Stat(a)
	if err != nil {
		return false
	}
	sb, err := os.Stat(b)
	return err == nil && os.SameFile(sa, sb)
}

// below tells by name alone whether path is dir or lies below it: for paths on
// a mount whose server may be dead, where looking would hang.
func below(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// bare strips operation and path from an error, where the message has its own.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	var se *os.SyscallError
	if errors.As(err, &se) {
		return se.Err
	}
	return err
}

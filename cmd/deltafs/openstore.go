package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"deltafs/billyfs/rootfs"
	"deltafs/deltalog"
)

// baseLabel is the label of a store that holds the real path of its base.
const baseLabel = "base"

// openOrCreate opens the store in dir for a server of base, and makes one
// where dir is missing or empty. Both are real paths.
func openOrCreate(dir, base string, o deltalog.Options) (s *deltalog.Store, made bool, err error) {
	defer func() {
		if err != nil {
			return
		}
		if d, serr := userState(invoker().home); serr == nil {
			if serr = d.share(base, dir); serr != nil && o.Log != nil {
				o.Log.Debug("other stores over the same base will not know of this one", "err", serr)
			}
		}
	}()
	empty, err := missingOrEmpty(dir)
	if err != nil {
		return nil, false, err
	}
	if empty {
		if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
			return nil, false, &fault{Op: "create", Path: dir, Err: bare(err)}
		}
		o.Labels = map[string]string{baseLabel: base}
		s, err = deltalog.Create(dir, o)
		return s, true, err
	}
	if s, err = deltalog.Open(dir, o); err != nil {
		return nil, false, err
	}
	if was := s.Label(baseLabel); was != base {
		s.Close()
		return nil, false, otherBase(dir, was, base)
	}
	return s, false, nil
}

// otherBase refuses to show a delta over a directory that it was not made for.
func otherBase(dir, was, base string) error {
	if was == "" {
		was = "no base"
	}
	return &fault{Op: "open", Path: dir, Code: exitBase,
		Err:  fmt.Errorf("this store holds changes of %s, not of %s", quote(was), quote(base)),
		Hint: "serve that base, or give another directory as --delta for this one"}
}

func missingOrEmpty(dir string) (bool, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, &fault{Op: "open", Path: dir, Err: bare(err)}
	}
	defer d.Close()
	st, err := d.Stat()
	if err != nil {
		return false, &fault{Op: "open", Path: dir, Err: bare(err)}
	}
	if !st.IsDir() {
		return false, &fault{Op: "open", Path: dir, Err: deltalog.ErrNotStore, Hint: "give a directory as --delta"}
	}
	names, err := d.Readdirnames(1)
	return len(names) == 0, ignoreEOF(err)
}

// openAtRest opens a store that no server has open, for reading. It holds the
// store's lock until it is closed.
func openAtRest(dir string, log *slog.Logger) (*deltalog.Store, error) {
	if err := storeExists(dir); err != nil {
		return nil, err
	}
	return deltalog.Open(dir, deltalog.Options{ReadOnly: true, Log: log})
}

// storeExists refuses a STORE that is not there at all, with how to make one.
func storeExists(dir string) error {
	st, err := os.Stat(dir)
	switch {
	case err == nil && !st.IsDir():
		return &fault{Op: "open", Path: dir, Err: fmt.Errorf("%w: it is not a directory", deltalog.ErrNotStore)}
	case errors.Is(err, fs.ErrNotExist):
		return &fault{Op: "open", Path: dir, Err: errors.New("no such directory"), Code: exitStore,
			Hint: "\"deltafs serve --base BASE --delta " + quote(dir) + "\" makes a store there"}
	}
	return nil
}

// freeBytes returns what is free and what there is on the disk that holds dir,
// or the nearest directory above it that exists.
func freeBytes(dir string) (free, total uint64, err error) {
	for {
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		dir = up
	}
	f, err := rootfs.Open(dir)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	return f.Free()
}

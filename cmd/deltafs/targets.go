package main

import (
	"deltafs/billyfs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// storeAndPaths reads [STORE] [PATH...]. The first argument is the STORE if it is one, or a mount
// point; else it is a PATH, and the store is that of the mount that it, or the current directory, lies in. A
// PATH is one in the mount, or, if it lies in none, one from the root of the export.
func storeAndPaths(args []string) (store string, paths []string, err error) {
	dir, _ := userState(invoker().home) // without one there are no mounts
	if len(args) > 0 {
		abs, err := filepath.Abs(args[0])
		if err != nil {
			return "", nil, &fault{Op: "find", Path: args[0], Err: bare(err)}
		}
		r, mounted := dir.mountOf(abs)
		switch {
		case mounted && r.Mountpoint == abs:
			store, args = r.Store, args[1:]
		case mounted:
			store = r.Store
		case isStore(abs):
			store, args = abs, args[1:]
		}
	}
	if store == "" {
		if store, err = findStore(""); err != nil {
			if len(args) > 0 {
				return "", nil, &fault{Err: usagef("%s is not a STORE, and the current directory lies in no mount made by \"deltafs mount\"", quote(args[0])),
					Code: exitUsage, Hint: "give the directory that was --delta, or a mount point, first"}
			}
			return "", nil, err
		}
	}
	for _, a := range args {
		paths = append(paths, exportPath(dir, store, a))
	}
	return store, paths, nil
}

// exportPath is a PATH from the root of the export, without a slash in front.
func exportPath(dir stateDir, store, arg string) string {
	if abs, err := filepath.Abs(arg); err == nil {
		if r, ok := dir.mountOf(abs); ok && r.Store == store {
			if rel, err := filepath.Rel(r.Mountpoint, abs); err == nil {
				return filepath.ToSlash(rel)
			}
		}
	}
	p := strings.TrimPrefix(path.Clean("/"+filepath.ToSlash(arg)), "/")
	if p == "" {
		return "."
	}
	return p
}

// isStore tells whether a directory looks like a store.
func isStore(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "store"))
	return err == nil
}

// leadingTo tells whether a path is one of paths, below one or above one.
func leadingTo(paths []string, p string) bool {
	return billyfs.Under(paths, p) || slices.ContainsFunc(paths, func(q string) bool { return strings.HasPrefix(q, p+"/") })
}

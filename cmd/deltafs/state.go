package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// stateDir is the user's state directory of deltafs: mounts/ remembers mounts,
// deltas/ holds the stores of mounts without --delta, logs/ those of servers.
type stateDir string

// mountRecord is what is remembered of a mount.
type mountRecord struct {
	Mountpoint string    `json:"mountpoint"`
	Base       string    `json:"base"`
	Store      string    `json:"store"`
	Addr       string    `json:"addr"` // of the server
	PID        int       `json:"pid"`  // of the server
	Log        string    `json:"log"`
	Mounted    time.Time `json:"mounted"`
}

// userState returns $XDG_STATE_HOME/deltafs, or where the system keeps such.
func userState(home string) (stateDir, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return stateDir(filepath.Join(dir, "deltafs")), nil
	}
	if runtime.GOOS == "windows" {
		if dir := os.Getenv("LocalAppData"); dir != "" {
			return stateDir(filepath.Join(dir, "deltafs")), nil
		}
	}
	if home == "" {
		var err error
		if home, err = os.UserHomeDir(); err != nil {
			return "", &fault{Op: "find", Path: "state directory", Err: err, Hint: "set XDG_STATE_HOME or HOME"}
		}
	}
	return stateDir(filepath.Join(home, ".local", "state", "deltafs")), nil
}

// keyOf is a short name for a path, for files in the state directory.
func keyOf(path string) string {
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:6])
}

func (d stateDir) record(mountpoint string) string {
	return filepath.Join(string(d), "mounts", keyOf(mountpoint)+".json")
}

// deltaOf is where the delta of a base is kept unless --delta says otherwise.
func (d stateDir) deltaOf(base string) string {
	return filepath.Join(string(d), "deltas", label(base))
}

func (d stateDir) logOf(store string) string {
	return filepath.Join(string(d), "logs", label(store)+".log")
}

// label is keyOf with a few letters that a person knows again.
func label(path string) string {
	name := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, filepath.Base(path))
	return strings.TrimLeft(name[:min(len(name), 24)]+"-"+keyOf(path), "-")
}

// remember writes the record of a mount, so that it is either there or not.
func (d stateDir) remember(r mountRecord) error {
	path := d.record(r.Mountpoint)
	wrap := func(err error) error {
		return &fault{Op: "write", Path: path, Err: bare(err), Hint: "XDG_STATE_HOME chooses another state directory"}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return wrap(err)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return wrap(err)
	}
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return wrap(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return wrap(err)
	}
	return nil
}

func (d stateDir) forget(mountpoint string) error {
	err := os.Remove(d.record(mountpoint))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &fault{Op: "remove", Path: d.record(mountpoint), Err: bare(err)}
	}
	return nil
}

// mountOf returns the record of the mount that path lies in; the innermost, if
// mounts lie in mounts. It looks at names alone. Records that cannot be read
// are as good as none.
func (d stateDir) mountOf(path string) (mountRecord, bool) {
	files, _ := filepath.Glob(filepath.Join(string(d), "mounts", "*.json"))
	var found mountRecord
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		var r mountRecord
		if json.Unmarshal(text, &r) != nil || r.Mountpoint == "" || r.Store == "" {
			continue
		}
		if below(r.Mountpoint, path) && len(r.Mountpoint) > len(found.Mountpoint) {
			found = r
		}
	}
	return found, found.Mountpoint != ""
}

// findStore turns the STORE argument of a command into a store directory.
func findStore(arg string) (string, error) {
	id := invoker()
	dir, err := userState(id.home)
	if err != nil && arg == "" {
		return "", err
	}
	path := arg
	if path == "" {
		path = "."
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", &fault{Op: "find", Path: path, Err: bare(err)}
	}
	if r, ok := dir.mountOf(abs); ok {
		return r.Store, nil
	}
	if arg != "" {
		return abs, nil
	}
	return "", &fault{Err: usagef("no STORE given, and the current directory lies in no mount made by \"deltafs mount\""),
		Code: exitUsage, Hint: "give the directory that was --delta, or a mount point"}
}

// A base has a directory in bases/ with a file for each store that was ever opened over it.

func (d stateDir) sharing(base string) string {
	return filepath.Join(string(d), "bases", label(base))
}

// share notes that a store lies over a base. A state directory that cannot be written to is no
// reason not to serve.
func (d stateDir) share(base, store string) error {
	dir := d.sharing(base)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, keyOf(store)), []byte(store), 0o600)
}

// othersOver returns the stores over a base that the user's state directory knows of, but for one; those
// that are not there any more are forgotten.
func othersOver(base, but string) (others []string) {
	d, err := userState(invoker().home)
	if err != nil {
		return nil
	}
	files, _ := filepath.Glob(filepath.Join(d.sharing(base), "*"))
	for _, f := range files {
		text, err := os.ReadFile(f)
		store := string(text)
		switch {
		case err != nil || store == but || sameFile(store, but):
		case !isStore(store):
			_ = os.Remove(f) // next time, then
		default:
			others = append(others, quote(store))
		}
	}
	return others
}

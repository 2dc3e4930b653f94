// Package disk is the seam through which package deltalog touches files: the
// few operations that a log needs, each with a stated durability, so that a
// simulated disk can stand under the store and crash at every one of them.
package disk

import (
	"errors"
	"io"
)

// ErrNoSpace is in the chain of every error that a full disk or an exhausted
// quota caused. What the call had written before is unspecified.
var ErrNoSpace = errors.New("no space left on the disk")

// FS is one directory tree. Names are relative, slash-separated, and never
// leave the tree; "." is the top. Methods may be called concurrently.
//
// Creations, renames and removals are durable only after SyncDir of the
// directory that holds the name. Errors wrap fs.ErrNotExist, fs.ErrExist and,
// for a full disk, ErrNoSpace.
type FS interface {
	// Open opens an existing file for reading and writing, or for reading
	// alone if write is false.
	Open(name string, write bool) (File, error)
	// Create makes a file that must not exist, for reading and writing.
	Create(name string) (File, error)
	// Mkdir makes a directory; no error if it exists. Mkdir(".") makes the
	// top with all directories above it.
	Mkdir(name string) error
	// List returns the names in a directory, sorted.
	List(dir string) ([]string, error)
	// Rename replaces newname if it exists, atomically.
	Rename(oldname, newname string) error
	Remove(name string) error
	SyncDir(dir string) error
}

// WriteEach is WriteParts by a call of WriteAt for each part that is not empty.
func WriteEach(f io.WriterAt, parts [][]byte, off int64) error {
	for _, p := range parts {
		if len(p) == 0 {
			continue
		}
		n, err := f.WriteAt(p, off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// File is an open file. Methods may be called concurrently.
type File interface {
	io.ReaderAt
	io.WriterAt
	// WriteParts is WriteAt of the parts, one behind the other. A process that dies
	// meanwhile may have written some of them.
	WriteParts(parts [][]byte, off int64) error
	// Sync makes the data and the size durable (fdatasync), not the name.
	Sync() error
	// Allocate makes the file size bytes long, reading as zeros where nothing
	// was written, with the space reserved where the OS can do that.
	Allocate(size int64) error
	Size() (int64, error)
	Close() error
}

// SyncAlone is f.Sync for a caller who knows of nothing else that goes on in the process: on
// Linux it may hold one of the GOMAXPROCS processors, of which there is another, while the
// disk works, and so be done earlier.
func SyncAlone(f File) error {
	if o, ok := f.(*osFile); ok {
		return o.syncAlone()
	}
	return f.Sync()
}

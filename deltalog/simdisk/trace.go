package simdisk

import (
	"fmt"
	"path"
)

// Kind is what an operation of the trace does.
type Kind uint8

// Kinds of operations. Open, Read and List are not part of a trace; a Fault
// can match them.
const (
	Create Kind = iota
	Mkdir
	Rename
	Remove
	Write
	Allocate
	Sync
	SyncDir
	Mark
	Open
	Read
	List
	kinds
)

var kindNames = [kinds]string{"create", "mkdir", "rename", "remove", "write",
	"allocate", "sync", "syncdir", "mark", "open", "read", "list"}

func (k Kind) String() string { return kindNames[k] }

// Op is one operation of a trace, as far as it took effect.
type Op struct {
	Kind   Kind
	Name   string // as it was when the file was opened
	To     string // Rename: the new name
	Off    int64  // Write; Allocate: the size
	Data   []byte // Write: not to be changed
	Failed bool   // Sync: it failed, and what it was to write is lost
	Value  any    // Mark
	id     int    // of the file or directory
}

func (o Op) String() string {
	switch o.Kind {
	case Rename:
		return fmt.Sprintf("rename %s %s", o.Name, o.To)
	case Write:
		return fmt.Sprintf("write %s @%d +%d", o.Name, o.Off, len(o.Data))
	case Allocate:
		return fmt.Sprintf("allocate %s %d", o.Name, o.Off)
	case Mark:
		return fmt.Sprintf("mark %v", o.Value)
	}
	if o.Failed {
		return fmt.Sprintf("%s %s (failed)", o.Kind, o.Name)
	}
	return fmt.Sprintf("%s %s", o.Kind, o.Name)
}

// shares reports whether two operations on directories are about the same
// file or the same name, so that their order is part of what they mean.
func (o Op) shares(p Op) bool {
	return o.id == p.id || o.Name == p.Name || o.Name == p.To || o.To != "" && (o.To == p.Name || o.To == p.To)
}

// needs reports whether o cannot be kept without the earlier p.
func (o Op) needs(p Op) bool {
	return o.shares(p) || path.Dir(o.Name) == p.Name || o.To != "" && path.Dir(o.To) == p.Name
}

// in reports whether the operation changes directory dir.
func (o Op) in(dir string) bool {
	return path.Dir(o.Name) == dir || o.To != "" && path.Dir(o.To) == dir
}

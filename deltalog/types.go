package deltalog

import (
	"errors"
	"fmt"
)

// Ino is an inode number, the same in every layer of a store. Numbers with
// the top bit set (Born) are given out by NewIno and are never reused.
type Ino uint64

// Born is the bit that tells inodes made in the delta from those of the base.
const Born Ino = 1 << 63

// LSN is the log sequence number of a batch; the first batch of a store is 1.
type LSN uint64

// LayerID names the layer that owns a record.
type LayerID uint32

// BaseLayer owns what is the same for all layers: where objects lie in the base (origins),
// what names of the base stand for where their hash does not say it (pins: entries), and
// the caller's notes.
const BaseLayer LayerID = 0

const noLayer = BaseLayer

// MainLayer is the layer that every store begins with.
const MainLayer LayerID = 1

// Limits of what a batch may hold.
const (
	MaxName   = 255     // bytes of a name
	MaxTarget = 4095    // bytes of a symlink's target
	MaxTag    = 64      // bytes of a caller tag
	MaxData   = 1 << 20 // bytes of one Data call
)

// Types of inodes, as in the S_IFMT bits of Inode.Mode.
const (
	TypeMask    = 0o170000
	TypeFIFO    = 0o010000
	TypeChar    = 0o020000
	TypeDir     = 0o040000
	TypeBlock   = 0o060000
	TypeRegular = 0o100000
	TypeSymlink = 0o120000
	TypeSocket  = 0o140000
)

// Flags of an inode record.
const (
	InodeDead     uint32 = 1 << iota // its last name is gone: an object of the base that must not show again
	InodeVerifier                    // Verifier holds that of an exclusive create
	InodeBase                        // Base holds a fingerprint
	inodeGone                        // there is none: hides the record of a layer below
	InodeTouched                     // that Mtime is not the base's is no change: clients shall look again
)

// Fingerprint is what the base said of an object when it was first changed.
// Times are nanoseconds since 1970 UTC; Ino is 0 where the base has no numbers.
type Fingerprint struct {
	Ino, Size    uint64
	Mtime, Ctime int64
}

// Inode is the record of an inode: its whole state but names, origin and data.
type Inode struct {
	Mode                 uint32 // type and permission bits, 12 of them
	Flags                uint32
	Nlink                uint32
	UID, GID             uint32
	RdevMajor, RdevMinor uint32
	Size                 uint64 // bytes
	LowerLen             uint64 // bytes up to which the lower file shows through; it only shrinks
	Atime, Mtime, Ctime  int64  // nanoseconds since 1970 UTC
	Parent               Ino    // merged parent of a directory
	Verifier             uint64
	Base                 Fingerprint
	// Below is up to where (bytes) the data shows through that layers below this
	// one hold for the file. It only shrinks; in a layer over nothing it means
	// nothing. Store.Inode returns what a record in the layer asked has to say.
	Below  uint64
	Target string // of a symlink
}

// Entry is what a directory of a layer holds for a name: an inode, or a
// whiteout that hides the name of the lower layer.
type Entry struct {
	Ino      Ino    // 0 in a whiteout
	Type     uint32 // S_IFMT bits of the inode
	Whiteout bool
	gone     bool // hides what a layer below holds for the name, and says nothing of the base
}

// DirEntry is an entry with its name and cookie, as listings yield it.
type DirEntry struct {
	Name   string
	Cookie uint64
	Entry
}

// Origin is where an object of the base lies in the base: the number of its
// parent there and its name. Pinned origins override the hashed number.
type Origin struct {
	Parent Ino
	Name   string
	Pinned bool
	Home   Home `json:",omitzero"` // of a pinned one
}

// Home is what the handle of an object said of it before it was moved in the base: where it
// lay then. It is the caller's; the store only keeps it.
type Home struct {
	Gen       uint32
	Parent    Ino
	Depth     uint8
	Ancestors [22]byte
}

// Layer is the record of a layer.
type Layer struct {
	ID      LayerID
	Parent  LayerID // that it lies over; 0: none, the layer is all there is
	Flags   uint32
	View    uint64 // id of the live line that handles name
	Created int64  // of the line, or the snapshot; nanoseconds since 1970 UTC
	Name    string // of the live line or the snapshot; empty: nobody asks for it by itself

	highest LayerID // no layer up to this one, but those that there are, will ever be
}

// Flags of a layer.
const (
	LayerFrozen uint32 = 1 << iota // nothing is written to it any more
	LayerAuto                      // a snapshot that Rollback has made
)

// Live tells whether changes may go to the layer.
func (l Layer) Live() bool { return l.Flags&LayerFrozen == 0 }

// stacked tells whether a layer lies over another one. Those have even ids, the
// others odd ones, so that this is known of every frame by itself.
func (l LayerID) stacked() bool { return l&1 == 0 }

// Errors that callers tell apart. Each comes wrapped in an *Error.
var (
	ErrNotStore = errors.New("not a deltafs store")
	ErrVersion  = errors.New("store has a format version that this program does not know")
	ErrInUse    = errors.New("store is in use")
	ErrDamaged  = errors.New("store is damaged")
	ErrReadOnly = errors.New("store is read-only")
	ErrPoisoned = errors.New("store stopped after a failed write or sync")
	ErrNoSpace  = errors.New("no space left for the delta")
	ErrBusy     = errors.New("the store is making room")
	ErrTooBig   = errors.New("batch is too big")
	ErrClosed   = errors.New("store is closed")
	ErrFrozen   = errors.New("layer is frozen")
	ErrNoLayer  = errors.New("no such layer")
	ErrExists   = errors.New("the name is taken")
	ErrDepth    = errors.New("too many snapshots on top of each other")
	ErrLastLine = errors.New("it is the only live line")
)

// Error says which operation failed, on which file, why, and the way out.
type Error struct {
	Op   string // "open", "append", "sync", ...
	Path string // file or directory, relative to nothing: as the user gave it
	Err  error
	Hint string // what the user can do; may be empty
}

func (e *Error) Error() string {
	s := e.Op
	if e.Path != "" {
		s += " " + e.Path
	}
	s = fmt.Sprintf("%s: %v", s, e.Err)
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

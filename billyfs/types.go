package billyfs

import (
	"deltafs/deltalog"
)

// Ino is an inode number: the fileid that clients see. See doc.go, "Identity".
type Ino = deltalog.Ino

// LSN is a position in the history of changes; Sync takes it.
type LSN = deltalog.LSN

// Types of objects: the S_IFMT bits of a mode.
const (
	TypeMask    = deltalog.TypeMask
	TypeFIFO    = deltalog.TypeFIFO
	TypeChar    = deltalog.TypeChar
	TypeDir     = deltalog.TypeDir
	TypeBlock   = deltalog.TypeBlock
	TypeRegular = deltalog.TypeRegular
	TypeSymlink = deltalog.TypeSymlink
	TypeSocket  = deltalog.TypeSocket
)

// MaxName is the longest name in bytes, MaxTarget that of a symlink's target.
const (
	MaxName   = deltalog.MaxName
	MaxTarget = deltalog.MaxTarget
)

// Attr is what is known of an object. Times are nanoseconds since 1970 UTC.
type Attr struct {
	Ino                  Ino
	Gen                  uint32 // generation: two objects never share number and generation
	Mode                 uint32 // type and 12 permission bits
	Nlink                uint32 // never 0
	UID, GID             uint32
	RdevMajor, RdevMinor uint32
	Size, Used           uint64 // bytes
	Atime, Mtime, Ctime  int64
}

// SetAttr says which attributes to set. A nil pointer leaves one alone.
type SetAttr struct {
	Mode, UID, GID *uint32 // Mode: 12 permission bits; others are ignored
	Size           *uint64
	Atime, Mtime   *int64
	AtimeNow       bool // set to the server's time; wins over Atime
	MtimeNow       bool
	Guard          *int64 // fail with NotSync unless the ctime is this one
}

// Caller is on whose behalf a change is made. The tree gives new objects its
// owner, and checks no permission: that is the server's part.
type Caller struct {
	UID, GID uint32
	Tag      []byte // at most 64 bytes, logged with the batch; see deltalog.Batch.Tag
}

// Change is what a modifying call did to one object: its attributes before and
// after, both read under the lock that the change was made under, and the
// position to Sync for the change to be durable.
type Change struct {
	LSN           LSN
	Before, After Attr
}

// Exclusivity of Create.
type CreateMode int

const (
	Unchecked CreateMode = iota // an existing regular file is taken as it is; Size in attributes applies to it
	Guarded                     // an existing name is Exist
	Exclusive                   // as Guarded, but a file made with the same verifier is success
)

// CreateHow are the arguments of Create.
type CreateHow struct {
	Mode     CreateMode
	Verifier uint64 // Exclusive only; kept until the first SetAttr
	Attr     SetAttr
}

// DirEntry is one name of a listing. Cookie resumes behind it.
type DirEntry struct {
	Name   string
	Cookie uint64
	Ino    Ino
	Type   uint32 // S_IFMT bits
}

// Handle is what identifies an object for good: a function of the object
// alone, whatever its names. It is what a server packs into a file handle.
type Handle struct {
	Ino    Ino
	Gen    uint32
	Parent Ino // of a base object: its parent's number in the base; else 0
	// Of a base object: the low byte of the number of each directory from below
	// the root down to and including Parent, Depth of them. The rest is zero.
	Depth     uint8
	Ancestors [MaxAncestors]byte
}

package wire

// Programs.
const (
	ProgPortmap = 100000
	ProgNFS     = 100003
	ProgMount   = 100005
)

// Procedures of NFSv3: RFC 1813, section 3.
const (
	ProcNull = iota
	ProcGetattr
	ProcSetattr
	ProcLookup
	ProcAccess
	ProcReadlink
	ProcRead
	ProcWrite
	ProcCreate
	ProcMkdir
	ProcSymlink
	ProcMknod
	ProcRemove
	ProcRmdir
	ProcRename
	ProcLink
	ProcReaddir
	ProcReaddirplus
	ProcFsstat
	ProcFsinfo
	ProcPathconf
	ProcCommit
)

// Procedures of MOUNT: RFC 1813, section 5.2.
const (
	MountProcNull = iota
	MountProcMnt
	MountProcDump
	MountProcUmnt
	MountProcUmntall
	MountProcExport
)

// Procedures of PORTMAP: RFC 1833, section 3.2.
const (
	PmapProcNull = iota
	PmapProcSet
	PmapProcUnset
	PmapProcGetport
	PmapProcDump
)

// PortmapPort is where a portmapper listens. ProtTCP and ProtUDP are the
// transports in its mappings.
const (
	PortmapPort = 111
	ProtTCP     = 6
	ProtUDP     = 17
)

// Status is nfsstat3: RFC 1813, section 2.6.
type Status uint32

const (
	OK             Status = 0
	ErrPerm        Status = 1
	ErrNoEnt       Status = 2
	ErrIO          Status = 5
	ErrNXIO        Status = 6
	ErrAcces       Status = 13
	ErrExist       Status = 17
	ErrXDev        Status = 18
	ErrNoDev       Status = 19
	ErrNotDir      Status = 20
	ErrIsDir       Status = 21
	ErrInval       Status = 22
	ErrFBig        Status = 27
	ErrNoSpc       Status = 28
	ErrROFS        Status = 30
	ErrMLink       Status = 31
	ErrNameTooLong Status = 63
	ErrNotEmpty    Status = 66
	ErrDQuot       Status = 69
	ErrStale       Status = 70
	ErrRemote      Status = 71
	ErrBadHandle   Status = 10001
	ErrNotSync     Status = 10002
	ErrBadCookie   Status = 10003
	ErrNotSupp     Status = 10004
	ErrTooSmall    Status = 10005
	ErrServerFault Status = 10006
	ErrBadType     Status = 10007
	ErrJukebox     Status = 10008
)

var (
	lowStatus = []string{
		0: "OK", 1: "PERM", 2: "NOENT", 5: "IO", 6: "NXIO", 13: "ACCES", 17: "EXIST", 18: "XDEV",
		19: "NODEV", 20: "NOTDIR", 21: "ISDIR", 22: "INVAL", 27: "FBIG", 28: "NOSPC", 30: "ROFS",
		31: "MLINK", 63: "NAMETOOLONG", 66: "NOTEMPTY", 69: "DQUOT", 70: "STALE", 71: "REMOTE",
	}
	highStatus = []string{
		1: "BADHANDLE", 2: "NOT_SYNC", 3: "BAD_COOKIE", 4: "NOTSUPP", 5: "TOOSMALL",
		6: "SERVERFAULT", 7: "BADTYPE", 8: "JUKEBOX",
	}
)

// String returns the RFC's name, without NFS3ERR_ in front.
func (s Status) String() string {
	if s > 10000 && int(s) < 10000+len(highStatus) {
		return highStatus[s-10000]
	}
	return nameOf(lowStatus, uint32(s))
}

// FType is ftype3.
type FType uint32

const (
	TypeReg FType = iota + 1
	TypeDir
	TypeBlk
	TypeChr
	TypeLnk
	TypeSock
	TypeFIFO
)

var ftypeNames = []string{1: "REG", "DIR", "BLK", "CHR", "LNK", "SOCK", "FIFO"}

func (t FType) String() string { return nameOf(ftypeNames, uint32(t)) }

// Bits of ACCESS: RFC 1813, section 3.3.4.
const (
	AccessRead    = 0x01
	AccessLookup  = 0x02
	AccessModify  = 0x04
	AccessExtend  = 0x08
	AccessDelete  = 0x10
	AccessExecute = 0x20
)

// Stable says how durable a WRITE is to be: stable_how.
type Stable uint32

const (
	Unstable Stable = iota
	DataSync
	FileSync
)

var stableNames = []string{"UNSTABLE", "DATA_SYNC", "FILE_SYNC"}

// CreateHow is createmode3.
type CreateHow uint32

const (
	Unchecked CreateHow = iota
	Guarded
	Exclusive
)

var createNames = []string{"UNCHECKED", "GUARDED", "EXCLUSIVE"}

// TimeHow is time_how: what SETATTR does with a time.
type TimeHow uint32

const (
	DontChange TimeHow = iota
	SetToServerTime
	SetToClientTime
)

// Bits of FSINFO: RFC 1813, section 3.3.19.
const (
	FSFLink        = 0x01
	FSFSymlink     = 0x02
	FSFHomogeneous = 0x08
	FSFCanSetTime  = 0x10
)

// MountStatus is mountstat3: RFC 1813, section 5.1.5.
type MountStatus uint32

const (
	MntOK             MountStatus = 0
	MntErrPerm        MountStatus = 1
	MntErrNoEnt       MountStatus = 2
	MntErrIO          MountStatus = 5
	MntErrAcces       MountStatus = 13
	MntErrNotDir      MountStatus = 20
	MntErrInval       MountStatus = 22
	MntErrNameTooLong MountStatus = 63
)

func (s MountStatus) String() string { return Status(s).String() }

// Limits in bytes of what is read.
const (
	maxHandle  = 64
	maxName    = 4096
	maxTarget  = 64 << 10
	maxPath    = 1024
	maxAuth    = 400
	maxMachine = 255
	maxGroups  = 16
	maxData    = 1 << 30 // the limit on the record bounds it
)

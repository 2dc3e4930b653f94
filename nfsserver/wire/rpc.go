package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Flavours of credentials: RFC 5531, section 8.2.
const (
	AuthNone = 0
	AuthSys  = 1
)

// Call is the header of a call: RFC 5531, section 9.
type Call struct {
	XID, Prog, Vers, Proc uint32
	Cred                  Cred
}

// Cred says on whose behalf a call is made. All but Flavor is AUTH_SYS's.
type Cred struct {
	Flavor   uint32
	Stamp    uint32
	Machine  []byte // aliases the record
	UID, GID uint32
	GIDs     [maxGroups]uint32 // the first NGIDs are there
	NGIDs    int
}

// Why a call is not carried out: accept_stat of RFC 5531.
type AcceptStat uint32

const (
	Success AcceptStat = iota
	ProgUnavail
	ProgMismatch
	ProcUnavail
	GarbageArgs
	SystemErr
)

var acceptNames = []string{"SUCCESS", "PROG_UNAVAIL", "PROG_MISMATCH", "PROC_UNAVAIL", "GARBAGE_ARGS", "SYSTEM_ERR"}

// Why credentials are refused: auth_stat of RFC 5531.
const (
	AuthBadCred = 1
	AuthTooWeak = 5
)

var authNames = []string{"OK", "BADCRED", "REJECTEDCRED", "BADVERF", "REJECTEDVERF", "TOOWEAK", "INVALIDRESP", "FAILED"}

const (
	rpcVersion = 2

	msgCall  = 0
	msgReply = 1

	msgAccepted = 0
	msgDenied   = 1

	rpcMismatch = 0
	authError   = 1
)

// Fault is why a record is not a call that can be carried out.
type Fault uint8

const (
	NoFault   Fault = iota
	NotACall        // not even an answer can be given
	BadRPC          // another version of RPC
	BadCred         // credentials that cannot be
	Truncated       // the record ends within the header
)

// Append appends the reply to a call with the fault, which is none for NotACall.
func (f Fault) Append(b []byte, xid uint32) []byte {
	switch f {
	case BadRPC:
		return appendWords(b, xid, msgReply, msgDenied, rpcMismatch, rpcVersion, rpcVersion)
	case BadCred:
		return AppendAuthError(b, xid, AuthBadCred)
	case Truncated:
		return AppendAccepted(b, xid, GarbageArgs)
	}
	return b
}

func appendWords(b []byte, words ...uint32) []byte {
	for _, w := range words {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	return b
}

// AppendUint32 appends a result that is one number.
func AppendUint32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

// AppendAccepted appends the header of a reply; with Success the results follow.
func AppendAccepted(b []byte, xid uint32, s AcceptStat) []byte {
	return appendWords(b, xid, msgReply, msgAccepted, AuthNone, 0, uint32(s))
}

// AppendProgMismatch appends a reply to a call of a version that is not among
// those served, low to high.
func AppendProgMismatch(b []byte, xid, low, high uint32) []byte {
	return appendWords(AppendAccepted(b, xid, ProgMismatch), low, high)
}

// AppendAuthError appends a reply to a call whose credentials are refused.
func AppendAuthError(b []byte, xid, stat uint32) []byte {
	return appendWords(b, xid, msgReply, msgDenied, authError, stat)
}

// Peek returns the program and the procedure of a record that may be a call.
func Peek(rec []byte) (prog, proc uint32) {
	if len(rec) < 24 {
		return 0, 0
	}
	return binary.BigEndian.Uint32(rec[12:]), binary.BigEndian.Uint32(rec[20:])
}

// PeekRange returns the count of a record that may be a READ or a WRITE, and what
// stands behind it, where a WRITE says how durable it is to be.
func PeekRange(rec []byte) (count uint32, stable Stable) {
	at := countAt(rec)
	if at < 0 {
		return 0, 0
	}
	if len(rec) >= at+4 {
		count = binary.BigEndian.Uint32(rec[at:])
	}
	if len(rec) >= at+8 {
		stable = Stable(binary.BigEndian.Uint32(rec[at+4:]))
	}
	return count, stable
}

// PeekData returns where in a record the data of a WRITE begin and how many bytes they have, if it may be one whose beginning, at
// least, is there; otherwise zeros.
func PeekData(rec []byte) (at, n int) {
	if prog, proc := Peek(rec); prog != ProgNFS || proc != ProcWrite {
		return 0, 0
	}
	at = countAt(rec)
	if at < 0 || len(rec) < at+12 {
		return 0, 0
	}
	length := binary.BigEndian.Uint32(rec[at+8:])
	if length > maxData {
		return 0, 0
	}
	return at + 12, int(length)
}

// countAt returns where the count of a record is that may be a READ or a WRITE, or -1. The record may end before it.
func countAt(rec []byte) int {
	at := 24
	for range 2 { // credentials, verifier: a flavour and a length in front
		if len(rec) < at+8 {
			return -1
		}
		n := binary.BigEndian.Uint32(rec[at+4:])
		if n > maxAuth {
			return -1
		}
		at += 8 + padded(int(n))
	}
	if len(rec) < at+4 {
		return -1
	}
	n := binary.BigEndian.Uint32(rec[at:])
	if n > maxHandle {
		return -1
	}
	return at + 4 + padded(int(n)) + 8
}

// ParseCall reads the header of a call into c and returns the arguments, in
// place.
func ParseCall(rec []byte, c *Call) (args []byte, f Fault) {
	x := Reader(rec)
	var msg, vers uint32
	c.XID, c.Prog, c.Vers, c.Proc = 0, 0, 0, 0
	x.uint32("", &c.XID)
	if x.uint32("", &msg); x.bad || msg != msgCall {
		return nil, NotACall
	}
	if x.uint32("", &vers); !x.bad && vers != rpcVersion {
		return nil, BadRPC
	}
	x.uint32("", &c.Prog)
	x.uint32("", &c.Vers)
	x.uint32("", &c.Proc)
	if x.bad {
		return nil, Truncated
	}
	var body, verf []byte
	var flavor uint32
	x.uint32("", &c.Cred.Flavor)
	x.opaque(&body, maxAuth)
	x.uint32("", &flavor)
	x.opaque(&verf, maxAuth)
	if x.bad || !c.Cred.parse(body) {
		return nil, BadCred
	}
	return x.b, NoFault
}

// parse reads the body of AUTH_SYS: RFC 5531, appendix A.
func (c *Cred) parse(body []byte) bool {
	c.Stamp, c.Machine, c.UID, c.GID, c.NGIDs = 0, nil, 0, 0, 0
	if c.Flavor != AuthSys {
		return true
	}
	x := Reader(body)
	var n uint32
	x.uint32("", &c.Stamp)
	x.opaque(&c.Machine, maxMachine)
	x.uint32("", &c.UID)
	x.uint32("", &c.GID)
	if x.uint32("", &n); n > maxGroups {
		return false
	}
	for i := range n {
		x.uint32("", &c.GIDs[i])
	}
	c.NGIDs = int(n)
	return !x.bad
}

// AppendCall appends the header of a call; the arguments follow.
func AppendCall(b []byte, c *Call) []byte {
	b = appendWords(b, c.XID, msgCall, rpcVersion, c.Prog, c.Vers, c.Proc, c.Cred.Flavor)
	at := len(b)
	b = appendWords(b, 0)
	if c.Cred.Flavor == AuthSys {
		x := appender(b)
		x.uint32("", &c.Cred.Stamp)
		x.opaque(&c.Cred.Machine, maxMachine)
		b = appendWords(x.b, c.Cred.UID, c.Cred.GID, uint32(c.Cred.NGIDs))
		b = appendWords(b, c.Cred.GIDs[:c.Cred.NGIDs]...)
	}
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return appendWords(b, AuthNone, 0)
}

// ErrReply says that a record is no reply to the call.
var ErrReply = errors.New("not a reply to the call")

// ReplyError is why a server did not carry out a call.
type ReplyError struct {
	Stat      AcceptStat // Success: the call was denied
	Auth      uint32     // auth_stat of a denied call; 0: RPC_MISMATCH
	Low, High uint32     // versions, with ProgMismatch and RPC_MISMATCH
}

func (e *ReplyError) Error() string {
	switch {
	case e.Stat == ProgMismatch:
		return fmt.Sprintf("PROG_MISMATCH %d to %d", e.Low, e.High)
	case e.Stat != Success:
		return nameOf(acceptNames, uint32(e.Stat))
	case e.Auth != 0:
		return "AUTH_ERROR " + nameOf(authNames, e.Auth)
	}
	return fmt.Sprintf("RPC_MISMATCH %d to %d", e.Low, e.High)
}

// ParseReply returns the results in a reply to the call xid, in place. Its
// errors are ErrReply, or a *ReplyError.
func ParseReply(rec []byte, xid uint32) (results []byte, err error) {
	x := Reader(rec)
	var id, msg, stat, why, flavor uint32
	var verf []byte
	x.uint32("", &id)
	x.uint32("", &msg)
	x.uint32("", &stat)
	if x.bad || id != xid || msg != msgReply || stat > msgDenied {
		return nil, ErrReply
	}
	e := new(ReplyError)
	if stat == msgDenied {
		x.uint32("", &why)
		if why == authError {
			x.uint32("", &e.Auth)
		} else {
			x.uint32("", &e.Low)
			x.uint32("", &e.High)
		}
		if x.bad || why > authError || why == authError && e.Auth == 0 {
			return nil, ErrReply
		}
		return nil, e
	}
	x.uint32("", &flavor)
	x.opaque(&verf, maxAuth)
	x.uint32("", (*uint32)(&e.Stat))
	if e.Stat == ProgMismatch {
		x.uint32("", &e.Low)
		x.uint32("", &e.High)
	}
	switch {
	case x.bad || e.Stat > SystemErr:
		return nil, ErrReply
	case e.Stat != Success:
		return nil, e
	}
	return x.b, nil
}

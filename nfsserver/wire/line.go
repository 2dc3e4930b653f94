package wire

import "strconv"

// message is what all arguments and results have.
type message interface {
	Code(*XDR)
	Append([]byte) []byte
}

// exchange is a procedure: its name, and its messages.
type exchange struct {
	name string
	args func() message
	res  func() message
}

func of[T any, P interface {
	*T
	message
}]() message {
	return P(new(T))
}

var (
	nfsExchanges = [...]exchange{
		ProcNull:        {"NULL", of[Void], of[Void]},
		ProcGetattr:     {"GETATTR", of[ObjectArgs], of[GetattrRes]},
		ProcSetattr:     {"SETATTR", of[SetattrArgs], of[WccRes]},
		ProcLookup:      {"LOOKUP", of[LookupArgs], of[LookupRes]},
		ProcAccess:      {"ACCESS", of[AccessArgs], of[AccessRes]},
		ProcReadlink:    {"READLINK", of[ObjectArgs], of[ReadlinkRes]},
		ProcRead:        {"READ", of[RangeArgs], of[ReadRes]},
		ProcWrite:       {"WRITE", of[WriteArgs], of[WriteRes]},
		ProcCreate:      {"CREATE", of[CreateArgs], of[MakeRes]},
		ProcMkdir:       {"MKDIR", of[MkdirArgs], of[MakeRes]},
		ProcSymlink:     {"SYMLINK", of[SymlinkArgs], of[MakeRes]},
		ProcMknod:       {"MKNOD", of[MknodArgs], of[MakeRes]},
		ProcRemove:      {"REMOVE", of[RemoveArgs], of[WccRes]},
		ProcRmdir:       {"RMDIR", of[RemoveArgs], of[WccRes]},
		ProcRename:      {"RENAME", of[RenameArgs], of[RenameRes]},
		ProcLink:        {"LINK", of[LinkArgs], of[LinkRes]},
		ProcReaddir:     {"READDIR", of[ReaddirArgs], of[ReaddirRes]},
		ProcReaddirplus: {"READDIRPLUS", of[ReaddirplusArgs], of[ReaddirplusRes]},
		ProcFsstat:      {"FSSTAT", of[ObjectArgs], of[FsstatRes]},
		ProcFsinfo:      {"FSINFO", of[ObjectArgs], of[FsinfoRes]},
		ProcPathconf:    {"PATHCONF", of[ObjectArgs], of[PathconfRes]},
		ProcCommit:      {"COMMIT", of[RangeArgs], of[CommitRes]},
	}
	mountExchanges = [...]exchange{
		MountProcNull:    {"MOUNT.NULL", of[Void], of[Void]},
		MountProcMnt:     {"MNT", of[MntArgs], of[MntRes]},
		MountProcDump:    {"DUMP", of[Void], of[MountDumpRes]},
		MountProcUmnt:    {"UMNT", of[MntArgs], of[Void]},
		MountProcUmntall: {"UMNTALL", of[Void], of[Void]},
		MountProcExport:  {"EXPORT", of[Void], of[ExportRes]},
	}
	pmapExchanges = [...]exchange{
		PmapProcNull:    {"PMAP.NULL", of[Void], of[Void]},
		PmapProcSet:     {"SET", of[Mapping], of[Number]},
		PmapProcUnset:   {"UNSET", of[Mapping], of[Number]},
		PmapProcGetport: {"GETPORT", of[Mapping], of[Number]},
		PmapProcDump:    {"PMAP.DUMP", of[Void], of[PmapDumpRes]},
	}
)

// exchangeOf returns the messages of a procedure, or nil.
func exchangeOf(prog, proc uint32) *exchange {
	var e []exchange
	switch prog {
	case ProgNFS:
		e = nfsExchanges[:]
	case ProgMount:
		e = mountExchanges[:]
	case ProgPortmap:
		e = pmapExchanges[:]
	}
	if proc < uint32(len(e)) {
		return &e[proc]
	}
	return nil
}

// ProcName returns the name of a procedure, or its numbers if it has none.
func ProcName(prog, proc uint32) string {
	if e := exchangeOf(prog, proc); e != nil {
		return e.name
	}
	return strconv.FormatUint(uint64(prog), 10) + "." + strconv.FormatUint(uint64(proc), 10)
}

// Line returns a call and its reply as a line that people can read. Handles are
// printed as a CRC-32C, data as length and CRC-32C. It takes any bytes. A reply
// that is empty is printed as "dropped".
func Line(call, reply []byte) string {
	var c Call
	args, fault := ParseCall(call, &c)
	if fault != NoFault {
		return "bad call of " + strconv.Itoa(len(call)) + " bytes" + afterCall(nil, c.XID, reply)
	}
	e := exchangeOf(c.Prog, c.Proc)
	b := []byte(ProcName(c.Prog, c.Proc))
	if c.Prog == ProgNFS && c.Vers != 3 || c.Prog == ProgMount && c.Vers != 3 || c.Prog == ProgPortmap && c.Vers != 2 {
		b = append(strconv.AppendUint(append(b, " vers="...), uint64(c.Vers), 10), afterCall(nil, c.XID, reply)...)
		return string(b)
	}
	if c.Cred.Flavor == AuthSys {
		b = strconv.AppendUint(append(b, " as "...), uint64(c.Cred.UID), 10)
		b = strconv.AppendUint(append(b, ':'), uint64(c.Cred.GID), 10)
	}
	if e != nil {
		b = appendMessage(b, e.args(), args)
	}
	return string(append(b, afterCall(e, c.XID, reply)...))
}

func afterCall(e *exchange, xid uint32, reply []byte) string {
	if len(reply) == 0 {
		return " -> dropped"
	}
	res, err := ParseReply(reply, xid)
	switch {
	case err != nil:
		return " -> " + err.Error()
	case e == nil:
		return " -> " + strconv.Itoa(len(res)) + " bytes"
	}
	return string(appendMessage([]byte(" ->"), e.res(), res))
}

// appendMessage prints the message that p holds.
func appendMessage(b []byte, m message, p []byte) []byte {
	x := Reader(p)
	if m.Code(&x); !x.OK() {
		return append(b, " garbage"...)
	}
	x = XDR{b: b, mode: printing}
	m.Code(&x)
	return x.b
}

package wire

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/lines.txt")

// TestLines: what people see of each procedure in --trace.
func TestLines(t *testing.T) {
	fh := bytes.Repeat([]byte{1}, 64)
	dir := bytes.Repeat([]byte{2}, 64)
	attr := Fattr{Type: TypeReg, Mode: 0o4755, Nlink: 2, UID: 1000, GID: 100, Size: 12, Used: 4096, FSID: 9, FileID: 77,
		Mtime: Time{1700000000, 5}, Ctime: Time{1700000001, 0}}
	post := PostOp{OK: true, Attr: attr}
	d := attr
	d.Type, d.FileID = TypeDir, 2
	dpost := PostOp{OK: true, Attr: d}
	dev := attr
	dev.Type, dev.RdevMajor, dev.RdevMinor = TypeChr, 1, 3
	wcc := Wcc{Before: PreOp{true, WccAttr{Size: 3, Mtime: Time{5, 0}, Ctime: Time{6, 0}}}, After: dpost}
	name := DirOp{dir, []byte("a \"b\"\n")}
	made := &MakeRes{Object: PostHandle{true, fh}, Attr: post, DirWcc: wcc}
	set := Sattr{SetMode: true, Mode: 0o1777, SetUID: true, UID: 5, SetGID: true, GID: 6, SetSize: true, Size: 7,
		AtimeHow: SetToServerTime, MtimeHow: SetToClientTime, Mtime: Time{8, 9}}
	list := ReaddirRes{DirAttr: dpost, Entries: []Entry{{Name: []byte(".")}, {Name: []byte("x y")}}, EOF: true}
	nfs := [...][2]message{
		ProcNull:        {&Void{}, &Void{}},
		ProcGetattr:     {&ObjectArgs{fh}, &GetattrRes{Attr: dev}},
		ProcSetattr:     {&SetattrArgs{Object: fh, Attr: set, Guard: true, GuardCtime: Time{1, 2}}, &WccRes{Wcc: wcc}},
		ProcLookup:      {&LookupArgs{name}, &LookupRes{Object: fh, Attr: post, DirAttr: dpost}},
		ProcAccess:      {&AccessArgs{fh, 0x3f}, &AccessRes{Attr: post, Access: AccessRead | AccessExecute}},
		ProcReadlink:    {&ObjectArgs{fh}, &ReadlinkRes{Attr: post, Path: []byte("../t")}},
		ProcRead:        {&RangeArgs{fh, 4096, 8192}, &ReadRes{Attr: post, Count: 3, EOF: true, Data: []byte("abc")}},
		ProcWrite:       {&WriteArgs{fh, 0, 3, FileSync, []byte("abc")}, &WriteRes{Wcc: wcc, Count: 3, Committed: FileSync}},
		ProcCreate:      {&CreateArgs{Where: name, How: Exclusive}, made},
		ProcMkdir:       {&MkdirArgs{name, Sattr{SetMode: true, Mode: 0o755}}, made},
		ProcSymlink:     {&SymlinkArgs{Where: name, Target: []byte("t")}, &MakeRes{Status: ErrExist}},
		ProcMknod:       {&MknodArgs{Where: name, Type: TypeBlk, Major: 8, Minor: 1}, made},
		ProcRemove:      {&RemoveArgs{name}, &WccRes{Status: ErrNoEnt, Wcc: Wcc{After: dpost}}},
		ProcRmdir:       {&RemoveArgs{name}, &WccRes{Status: ErrNotEmpty}},
		ProcRename:      {&RenameArgs{name, DirOp{dir, []byte("to")}}, &RenameRes{FromWcc: wcc, ToWcc: wcc}},
		ProcLink:        {&LinkArgs{fh, name}, &LinkRes{Attr: post, DirWcc: wcc}},
		ProcReaddir:     {&ReaddirArgs{Dir: dir, Cookie: 5, Count: 4096}, &list},
		ProcReaddirplus: {&ReaddirplusArgs{Dir: dir, DirCount: 1000, MaxCount: 4096}, &ReaddirplusRes{list}},
		ProcFsstat:      {&ObjectArgs{fh}, &FsstatRes{TotalBytes: 10, FreeBytes: 5}},
		ProcFsinfo:      {&ObjectArgs{fh}, &FsinfoRes{RtMax: 1 << 20, TimeDelta: Time{0, 1}, Properties: 0x1b}},
		ProcPathconf:    {&ObjectArgs{fh}, &PathconfRes{NameMax: 255, NoTrunc: true}},
		ProcCommit:      {&RangeArgs{fh, 0, 0}, &CommitRes{Status: ErrStale}},
	}
	var out strings.Builder
	line := func(prog, vers, proc uint32, args message, reply []byte) {
		c := Call{XID: 1, Prog: prog, Vers: vers, Proc: proc, Cred: Cred{Flavor: AuthSys, UID: 1000, GID: 100}}
		out.WriteString(Line(args.Append(AppendCall(nil, &c)), reply) + "\n")
	}
	ok := func(res message) []byte { return res.Append(AppendAccepted(nil, 1, Success)) }
	for proc, m := range nfs {
		line(ProgNFS, 3, uint32(proc), m[0], ok(m[1]))
	}
	line(ProgMount, 3, MountProcMnt, &MntArgs{[]byte("/x")}, ok(&MntRes{Handle: fh, Flavors: []uint32{1, 0}}))
	line(ProgMount, 3, MountProcMnt, &MntArgs{[]byte("/x")}, ok(&MntRes{Status: MntErrNoEnt}))
	line(ProgMount, 3, MountProcDump, &Void{}, ok(&MountDumpRes{[]MountEntry{{"h", "/"}}}))
	line(ProgMount, 3, MountProcExport, &Void{}, ok(&ExportRes{[]ExportEntry{{"/", []string{"a", "b"}}}}))
	line(ProgPortmap, 2, PmapProcGetport, &Mapping{ProgNFS, 3, ProtTCP, 0}, ok(&Number{2049}))
	line(ProgNFS, 4, 1, &Void{}, AppendProgMismatch(nil, 1, 3, 3))
	line(ProgNFS, 3, 22, &Void{}, AppendAccepted(nil, 1, ProcUnavail))
	line(100021, 4, 1, &Void{}, AppendAccepted(nil, 1, ProgUnavail))
	line(ProgNFS, 3, ProcLookup, &Void{}, AppendAccepted(nil, 1, GarbageArgs))
	line(ProgNFS, 3, ProcRemove, &RemoveArgs{name}, nil)
	out.WriteString(Line([]byte("?"), nil) + "\n")

	const file = "testdata/lines.txt"
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil || len(b) == 0 {
		t.Fatalf("%s: %d bytes, error %v", file, len(b), err)
	}
	got, want := strings.Split(out.String(), "\n"), strings.Split(string(b), "\n")
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("line %d:\n%s\nwant\n%s", i+1, g, w)
		}
	}
}

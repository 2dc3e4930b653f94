package wire

import (
	"bytes"
	"io"
	"testing"

	"github.com/buildbarn/go-xdr/pkg/protocols/mount"
	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv3"
	"github.com/buildbarn/go-xdr/pkg/protocols/rpcv2"
)

// oracle reads a message with an implementation that is generated from the RFC's
// own text, and appends it again.
type oracle func(b []byte) (again []byte, left int, err error)

// whole is an oracle of a struct, either one of a union.
func whole[T any, P interface {
	*T
	io.ReaderFrom
	io.WriterTo
}]() oracle {
	return func(b []byte) ([]byte, int, error) {
		r := bytes.NewReader(b)
		var m T
		if _, err := P(&m).ReadFrom(r); err != nil {
			return nil, 0, err
		}
		var w bytes.Buffer
		_, err := P(&m).WriteTo(&w)
		return w.Bytes(), r.Len(), err
	}
}

func either[T io.WriterTo](read func(io.Reader) (T, int64, error)) oracle {
	return func(b []byte) ([]byte, int, error) {
		r := bytes.NewReader(b)
		m, _, err := read(r)
		if err != nil {
			return nil, 0, err
		}
		var w bytes.Buffer
		_, err = m.WriteTo(&w)
		return w.Bytes(), r.Len(), err
	}
}

var oracles = map[string]oracle{
	"GETATTR.args": whole[nfsv3.Getattr3args](), "GETATTR.res": either(nfsv3.ReadGetattr3res),
	"SETATTR.args": whole[nfsv3.Setattr3args](), "SETATTR.res": either(nfsv3.ReadSetattr3res),
	"LOOKUP.args": whole[nfsv3.Lookup3args](), "LOOKUP.res": either(nfsv3.ReadLookup3res),
	"ACCESS.args": whole[nfsv3.Access3args](), "ACCESS.res": either(nfsv3.ReadAccess3res),
	"READLINK.args": whole[nfsv3.Readlink3args](), "READLINK.res": either(nfsv3.ReadReadlink3res),
	"READ.args": whole[nfsv3.Read3args](), "READ.res": either(nfsv3.ReadRead3res),
	"WRITE.args": whole[nfsv3.Write3args](), "WRITE.res": either(nfsv3.ReadWrite3res),
	"CREATE.args": whole[nfsv3.Create3args](), "CREATE.res": either(nfsv3.ReadCreate3res),
	"MKDIR.args": whole[nfsv3.Mkdir3args](), "MKDIR.res": either(nfsv3.ReadMkdir3res),
	"SYMLINK.args": whole[nfsv3.Symlink3args](), "SYMLINK.res": either(nfsv3.ReadSymlink3res),
	"MKNOD.args": whole[nfsv3.Mknod3args](), "MKNOD.res": either(nfsv3.ReadMknod3res),
	"REMOVE.args": whole[nfsv3.Remove3args](), "REMOVE.res": either(nfsv3.ReadRemove3res),
	"RMDIR.args": whole[nfsv3.Rmdir3args](), "RMDIR.res": either(nfsv3.ReadRmdir3res),
	"RENAME.args": whole[nfsv3.Rename3args](), "RENAME.res": either(nfsv3.ReadRename3res),
	"LINK.args": whole[nfsv3.Link3args](), "LINK.res": either(nfsv3.ReadLink3res),
	"READDIR.args": whole[nfsv3.Readdir3args](), "READDIR.res": either(nfsv3.ReadReaddir3res),
	"READDIRPLUS.args": whole[nfsv3.Readdirplus3args](), "READDIRPLUS.res": either(nfsv3.ReadReaddirplus3res),
	"FSSTAT.args": whole[nfsv3.Fsstat3args](), "FSSTAT.res": either(nfsv3.ReadFsstat3res),
	"FSINFO.args": whole[nfsv3.Fsinfo3args](), "FSINFO.res": either(nfsv3.ReadFsinfo3res),
	"PATHCONF.args": whole[nfsv3.Pathconf3args](), "PATHCONF.res": either(nfsv3.ReadPathconf3res),
	"COMMIT.args": whole[nfsv3.Commit3args](), "COMMIT.res": either(nfsv3.ReadCommit3res),
	"MNT.res": either(mount.ReadMountres3),
}

// TestOracle: an independent implementation reads what this package appends, all
// of it, and appends the same bytes.
func TestOracle(t *testing.T) {
	seen := map[string]bool{}
	messages(t, 200, func(t *testing.T, name string, m, _ message) {
		o := oracles[name]
		if o == nil {
			return
		}
		seen[name] = true
		b := m.Append(nil)
		again, left, err := o(b)
		if err != nil || left != 0 || !bytes.Equal(again, b) {
			t.Fatalf("%s %s:\n%x\nthe other reads it as\n%x\n%d bytes left, error %v", name, printed(m), b, again, left, err)
		}
	})
	if len(seen) != len(oracles) {
		t.Errorf("%d of %d messages compared", len(seen), len(oracles))
	}
}

// TestOracleOfHeaders does so for what stands around the messages.
func TestOracleOfHeaders(t *testing.T) {
	read := whole[rpcv2.RpcMsg]()
	for _, b := range [][]byte{
		AppendCall(nil, &Call{XID: 1, Prog: ProgNFS, Vers: 3, Proc: 1}),
		AppendCall(nil, &Call{XID: 1, Prog: ProgNFS, Vers: 3, Proc: 1, Cred: Cred{Flavor: AuthSys, Machine: []byte("abcde"), UID: 5, GIDs: [16]uint32{1, 2}, NGIDs: 2}}),
		AppendAccepted(nil, 2, Success),
		AppendAccepted(nil, 2, ProgUnavail),
		AppendAccepted(nil, 2, ProcUnavail),
		AppendAccepted(nil, 2, GarbageArgs),
		AppendAccepted(nil, 2, SystemErr),
		AppendProgMismatch(nil, 2, 3, 3),
		BadRPC.Append(nil, 2),
		BadCred.Append(nil, 2),
	} {
		again, left, err := read(b)
		if err != nil || left != 0 || !bytes.Equal(again, b) {
			t.Errorf("%x: the other reads it as %x, %d bytes left, error %v", b, again, left, err)
		}
	}
	sys := Cred{Flavor: AuthSys, Stamp: 9, Machine: []byte("abcde"), UID: 5, GID: 6, GIDs: [16]uint32{1, 2}, NGIDs: 2}
	call := AppendCall(nil, &Call{Cred: sys})
	body := call[32 : len(call)-8]
	if again, left, err := whole[rpcv2.AuthsysParms]()(body); err != nil || left != 0 || !bytes.Equal(again, body) {
		t.Errorf("AUTH_SYS %x: the other reads it as %x, %d bytes left, error %v", body, again, left, err)
	}
}

// Package oracle reads messages with github.com/buildbarn/go-xdr, whose codec is
// generated from the text of the RFCs, and compares. It is for tests alone.
package oracle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/buildbarn/go-xdr/pkg/protocols/mount"
	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv3"
	"github.com/buildbarn/go-xdr/pkg/protocols/rpcv2"
)

// codec reads a message and appends it again; left is what follows it.
type codec func(b []byte) (again, left []byte, err error)

// whole is the codec of a struct, either one of a union.
func whole[T any, P interface {
	*T
	io.ReaderFrom
	io.WriterTo
}]() codec {
	return either(func(r io.Reader) (P, int64, error) {
		m := P(new(T))
		n, err := m.ReadFrom(r)
		return m, n, err
	})
}

func either[T io.WriterTo](read func(io.Reader) (T, int64, error)) codec {
	return list(read, func(w io.Writer, m T) (int64, error) { return m.WriteTo(w) })
}

// void is no arguments, or no results.
func void(b []byte) (again, left []byte, err error) { return nil, b, nil }

// exchange are the codecs of a procedure, nil where there is none.
type exchange struct{ args, res codec }

var nfs = [...]exchange{
	{void, void},
	{whole[nfsv3.Getattr3args](), either(nfsv3.ReadGetattr3res)},
	{whole[nfsv3.Setattr3args](), either(nfsv3.ReadSetattr3res)},
	{whole[nfsv3.Lookup3args](), either(nfsv3.ReadLookup3res)},
	{whole[nfsv3.Access3args](), either(nfsv3.ReadAccess3res)},
	{whole[nfsv3.Readlink3args](), either(nfsv3.ReadReadlink3res)},
	{whole[nfsv3.Read3args](), either(nfsv3.ReadRead3res)},
	{whole[nfsv3.Write3args](), either(nfsv3.ReadWrite3res)},
	{whole[nfsv3.Create3args](), either(nfsv3.ReadCreate3res)},
	{whole[nfsv3.Mkdir3args](), either(nfsv3.ReadMkdir3res)},
	{whole[nfsv3.Symlink3args](), either(nfsv3.ReadSymlink3res)},
	{whole[nfsv3.Mknod3args](), either(nfsv3.ReadMknod3res)},
	{whole[nfsv3.Remove3args](), either(nfsv3.ReadRemove3res)},
	{whole[nfsv3.Rmdir3args](), either(nfsv3.ReadRmdir3res)},
	{whole[nfsv3.Rename3args](), either(nfsv3.ReadRename3res)},
	{whole[nfsv3.Link3args](), either(nfsv3.ReadLink3res)},
	{whole[nfsv3.Readdir3args](), either(nfsv3.ReadReaddir3res)},
	{whole[nfsv3.Readdirplus3args](), either(nfsv3.ReadReaddirplus3res)},
	{whole[nfsv3.Fsstat3args](), either(nfsv3.ReadFsstat3res)},
	{whole[nfsv3.Fsinfo3args](), either(nfsv3.ReadFsinfo3res)},
	{whole[nfsv3.Pathconf3args](), either(nfsv3.ReadPathconf3res)},
	{whole[nfsv3.Commit3args](), either(nfsv3.ReadCommit3res)},
}

var mountd = [...]exchange{
	{void, void},
	{dirpath, either(mount.ReadMountres3)},
	{void, list(mount.ReadMountlist, mount.WriteMountlist)},
	{dirpath, void},
	{void, void},
	{void, list(mount.ReadExports, mount.WriteExports)},
}

func dirpath(b []byte) (again, left []byte, err error) {
	return list(mount.ReadDirpath, mount.WriteDirpath)(b)
}

// list is the codec of a type that has functions instead of methods.
func list[T any](read func(io.Reader) (T, int64, error), write func(io.Writer, T) (int64, error)) codec {
	return func(b []byte) (again, left []byte, err error) {
		r := bytes.NewReader(b)
		m, _, err := read(r)
		if err != nil {
			return nil, nil, err
		}
		var w bytes.Buffer
		_, err = write(&w, m)
		return w.Bytes(), b[len(b)-r.Len():], err
	}
}

// of returns the codecs of a procedure; ok is false if it has none here.
func of(prog, proc uint32) (e exchange, ok bool) {
	switch {
	case prog == nfsv3.NFS_PROGRAM_PROGRAM_NUMBER && proc < uint32(len(nfs)):
		return nfs[proc], true
	case prog == mount.MOUNT_PROGRAM_PROGRAM_NUMBER && proc < uint32(len(mountd)):
		return mountd[proc], true
	}
	return e, false
}

// Args and Results compare the messages of a procedure. Those that the oracle does
// not know, or cannot read since they have names that are not ASCII, are passed
// over: known is false then.
func Args(prog, proc uint32, b []byte) (known bool, err error) {
	e, ok := of(prog, proc)
	return compare(e.args, ok, b)
}

func Results(prog, proc uint32, b []byte) (known bool, err error) {
	e, ok := of(prog, proc)
	return compare(e.res, ok, b)
}

func compare(c codec, ok bool, b []byte) (known bool, err error) {
	if !ok {
		return false, nil
	}
	again, left, err := c(b)
	switch {
	case err != nil && strings.Contains(err.Error(), "non-ASCII"):
		return false, nil
	case err != nil:
		return true, err
	case len(left) != 0:
		return true, fmt.Errorf("%d bytes are left over", len(left))
	case !bytes.Equal(again, b):
		return true, fmt.Errorf("%x is appended as %x", b, again)
	}
	return true, nil
}

// Header compares what stands in front of arguments or results, which follow it
// as they are.
func Header(b []byte) error {
	again, left, err := whole[rpcv2.RpcMsg]()(b)
	if err == nil && !bytes.Equal(append(again, left...), b) {
		err = fmt.Errorf("%x is appended as %x", b, again)
	}
	return err
}

// Sys compares the body of an AUTH_SYS credential.
func Sys(b []byte) error {
	_, err := compare(whole[rpcv2.AuthsysParms](), true, b)
	return err
}

// Exchange compares a call and its reply, as they go over the wire in one fragment.
// It reports whether it knows them. A reply that is empty has no fault.
func Exchange(call, reply []byte) (known bool, err error) {
	if err := Header(call); err != nil {
		return true, fmt.Errorf("call: %w", err)
	}
	if len(reply) == 0 {
		return true, nil
	}
	if err := Header(reply); err != nil {
		return true, fmt.Errorf("reply: %w", err)
	}
	const header = 24 // of a reply that was accepted, with no verifier
	accepted := len(reply) >= header && binary.BigEndian.Uint32(reply[8:]) == 0 && binary.BigEndian.Uint32(reply[20:]) == 0
	vers := binary.BigEndian.Uint32(call[16:])
	if !accepted || vers != 3 {
		return true, nil
	}
	prog, proc := binary.BigEndian.Uint32(call[12:]), binary.BigEndian.Uint32(call[20:])
	args := 28 + 4 + int(binary.BigEndian.Uint32(call[28:])) // behind the credential
	args += 8 + int(binary.BigEndian.Uint32(call[args+4:]))  // and the verifier
	if known, err = Args(prog, proc, call[args:]); err != nil {
		return known, fmt.Errorf("arguments of %d.%d: %w", prog, proc, err)
	}
	resKnown, err := Results(prog, proc, reply[header:])
	if err != nil {
		err = fmt.Errorf("results of %d.%d: %w", prog, proc, err)
	}
	return known && resKnown, err
}

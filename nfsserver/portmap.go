package nfsserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"deltafs/nfsserver/rpc"
	"deltafs/nfsserver/wire"
)

// portmapVersion is that of PORTMAP, RFC 1833 section 3. Clients that ask for 3
// or 4, which are rpcbind's, are told so and fall back.
const portmapVersion = 2

// Portmap answers where NFS and MOUNT are: on one TCP port. It serves clients
// that cannot be told a port, on systems where no portmapper runs.
type Portmap struct {
	mappings []wire.Mapping
	rpc      *rpc.Server
}

// NewPortmap returns a portmapper for a server on that TCP port.
func NewPortmap(port uint16) *Portmap {
	p := &Portmap{mappings: mappingsOf(port)}
	p.mappings = append(p.mappings,
		wire.Mapping{Prog: wire.ProgPortmap, Vers: portmapVersion, Prot: wire.ProtTCP, Port: wire.PortmapPort},
		wire.Mapping{Prog: wire.ProgPortmap, Vers: portmapVersion, Prot: wire.ProtUDP, Port: wire.PortmapPort})
	p.rpc = rpc.New(p, rpc.Options{MaxRecord: 4 << 10})
	return p
}

func mappingsOf(port uint16) []wire.Mapping {
	return []wire.Mapping{
		{Prog: wire.ProgNFS, Vers: 3, Prot: wire.ProtTCP, Port: uint32(port)},
		{Prog: wire.ProgMount, Vers: 1, Prot: wire.ProtTCP, Port: uint32(port)},
		{Prog: wire.ProgMount, Vers: 3, Prot: wire.ProtTCP, Port: uint32(port)},
	}
}

// Serve answers over TCP until ctx ends; ServePacket over UDP.
func (p *Portmap) Serve(ctx context.Context, l net.Listener) error { return p.rpc.Serve(ctx, l) }

// ServePacket answers datagrams until ctx ends.
func (p *Portmap) ServePacket(ctx context.Context, c net.PacketConn) error {
	return p.rpc.ServePacket(ctx, c)
}

// Class implements rpc.Handler: all calls are cheap.
func (p *Portmap) Class([]byte) int { return 0 }

// Call implements rpc.Handler.
func (p *Portmap) Call(_ context.Context, _ *rpc.Conn, record, b []byte) ([]byte, error) {
	var k wire.Call
	args, fault := wire.ParseCall(record, &k)
	switch {
	case fault != wire.NoFault:
		return fault.Append(b, k.XID), nil
	case k.Prog != wire.ProgPortmap:
		return wire.AppendAccepted(b, k.XID, wire.ProgUnavail), nil
	case k.Vers != portmapVersion:
		return wire.AppendProgMismatch(b, k.XID, portmapVersion, portmapVersion), nil
	}
	return p.answer(b, &k, args), nil
}

func (p *Portmap) answer(b []byte, k *wire.Call, args []byte) []byte {
	d := wire.Reader(args)
	var m wire.Mapping
	switch k.Proc {
	case wire.PmapProcNull:
		return wire.AppendAccepted(b, k.XID, wire.Success)
	case wire.PmapProcGetport:
		if m.Code(&d); !d.OK() {
			return wire.AppendAccepted(b, k.XID, wire.GarbageArgs)
		}
		return wire.AppendUint32(wire.AppendAccepted(b, k.XID, wire.Success), p.port(&m))
	case wire.PmapProcSet, wire.PmapProcUnset: // nobody else's services
		if m.Code(&d); !d.OK() {
			return wire.AppendAccepted(b, k.XID, wire.GarbageArgs)
		}
		return wire.AppendUint32(wire.AppendAccepted(b, k.XID, wire.Success), 0)
	case wire.PmapProcDump:
		r := wire.PmapDumpRes{Mappings: p.mappings}
		return r.Append(wire.AppendAccepted(b, k.XID, wire.Success))
	}
	return wire.AppendAccepted(b, k.XID, wire.ProcUnavail)
}

// port returns where a program is, 0 if it is not here. A version that is not
// served gets the port as well, where it is told which are: that is how clients
// find the version they share with us.
func (p *Portmap) port(want *wire.Mapping) (port uint32) {
	for _, m := range p.mappings {
		if m.Prog == want.Prog && m.Prot == want.Prot {
			if m.Vers == want.Vers {
				return m.Port
			}
			port = m.Port
		}
	}
	return port
}

// Register tells the portmapper of the system at addr where a server is, and
// returns what takes that back. It needs to run on the same machine, and, with
// most portmappers, as root.
func Register(ctx context.Context, addr string, port uint16) (unregister func() error, err error) {
	set := func(ctx context.Context, proc uint32) error {
		for _, m := range mappingsOf(port) {
			ok, err := askPortmap(ctx, addr, proc, &m)
			if err == nil && !ok && proc == wire.PmapProcSet {
				err = errors.New("it refuses: another server is registered, or this needs root")
			}
			if err != nil {
				return fmt.Errorf("portmapper at %s: %w", addr, err)
			}
		}
		return nil
	}
	if err := set(ctx, wire.PmapProcSet); err != nil {
		return nil, err
	}
	// It is taken back when ctx has ended: each call has a time limit of its own.
	return func() error { return set(context.WithoutCancel(ctx), wire.PmapProcUnset) }, nil
}

// askPortmap makes one call that answers with a boolean.
func askPortmap(ctx context.Context, addr string, proc uint32, m *wire.Mapping) (bool, error) {
	c, err := dialReserved(ctx, addr)
	if err != nil {
		return false, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return false, err
	}
	const xid = 1
	call := m.Append(wire.AppendCall(nil, &wire.Call{XID: xid, Prog: wire.ProgPortmap, Vers: portmapVersion, Proc: proc}))
	if err := rpc.WriteRecord(c, call); err != nil {
		return false, err
	}
	reply, err := rpc.ReadRecord(c, 1<<10)
	if err != nil {
		return false, err
	}
	res, err := wire.ParseReply(reply, xid)
	if err != nil {
		return false, err
	}
	dec := wire.Reader(res)
	var r wire.Number
	if r.Code(&dec); !dec.OK() {
		return false, wire.ErrReply
	}
	return r.V != 0, nil
}

// dialReserved connects from a port that only root can have, if it can: rpcbind
// lets nobody else take back what he has registered.
func dialReserved(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	for port := 1023; port >= 900 && ctx.Err() == nil; port-- {
		d.LocalAddr = &net.TCPAddr{Port: port}
		c, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			return c, nil
		}
		var sys *os.SyscallError
		if !errors.As(err, &sys) || sys.Syscall != "bind" || errors.Is(err, os.ErrPermission) {
			break
		}
	}
	d.LocalAddr = nil
	return d.DialContext(ctx, "tcp", addr)
}

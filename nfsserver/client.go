package nfsserver

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"slices"
	"strconv"

	"deltafs/billyfs"
	"deltafs/nfsserver/peer"
	"deltafs/nfsserver/rpc"
	"deltafs/nfsserver/wire"
)

// SyncMode says when changes are durable: docs/nfs.md, "Durability".
type SyncMode int

const (
	// SyncAuto syncs before the reply what a crash of the machine must not take
	// back; for clients on this machine attributes and ordinary CREATEs follow
	// within a second.
	SyncAuto   SyncMode = iota
	SyncStrict          // syncs everything before the reply, as RFC 1813 wants it
	SyncLocal           // syncs only what clients ask for, as a local file system does
)

// Squash says which callers become nobody.
type Squash int

const (
	SquashDefault Squash = iota // root, of clients on other machines and of proxies
	SquashNone
	SquashRoot
	SquashAll
)

// Access says who may connect and who he is then. The zero value lets in this
// machine only, each user as himself.
type Access struct {
	Allow         []netip.Prefix // clients on other machines
	Squash        Squash
	TrustLoopback bool // believe whatever callers on this machine say
}

// client is what is known of the other end of a connection.
type client struct {
	addr   netip.Addr
	local  bool  // on this machine: may see what is not durable yet
	squash bool  // root, and root's group, become nobody
	fixed  *cred // not nil: everybody is this one
}

// errRefused closes the connection of a client that may not connect.
var errRefused = errors.New("clients at this address are not allowed")

// opened finds out who a new connection is from.
func (s *Server) opened(c *rpc.Conn) (any, error) { return s.admit(c.Local(), c.Peer()) }

// admit finds out who is at the other end of a connection, and whether he may
// come in.
func (s *Server) admit(local, remote netip.AddrPort) (*client, error) {
	a := &s.o.Access
	cl := &client{addr: remote.Addr().Unmap()}
	switch {
	case !cl.addr.IsLoopback():
		if !slices.ContainsFunc(a.Allow, func(p netip.Prefix) bool { return p.Contains(cl.addr) }) {
			return nil, fmt.Errorf("%v: %w", cl.addr, errRefused)
		}
		cl.squash = true
	case a.TrustLoopback:
		cl.local = true
	default:
		cl.identify(local, remote)
	}
	switch a.Squash {
	case SquashNone:
		cl.squash = false
	case SquashRoot:
		cl.squash = true
	case SquashAll:
		cl.fixed = &cred{uid: nobody, gid: nobody}
	}
	return cl, nil
}

// identify finds out whose socket is at the other end, on this machine. The
// kernel's client is believed, and each program is the user who runs it.
func (cl *client) identify(local, remote netip.AddrPort) {
	owner, err := peer.Lookup(local, remote)
	switch {
	case errors.Is(err, errors.ErrUnsupported): // the system does not tell
		cl.local, cl.fixed = true, self()
	case err != nil: // a tunnel, a container, a guest
		cl.squash = true
	case owner.Kernel:
		cl.local = true
	case owner.UID == 0: // a proxy of root's, on behalf of who knows whom
		cl.squash = true
	default:
		cl.local, cl.fixed = true, credOf(owner.UID)
	}
}

// self is who runs the server.
func self() *cred {
	groups, _ := os.Getgroups() // none on Windows
	c := &cred{uid: nobody, gid: nobody}
	if uid := os.Getuid(); uid >= 0 { // -1 on Windows
		c.uid, c.gid = uint32(uid), uint32(os.Getgid())
	}
	for _, g := range groups {
		c.groups = append(c.groups, uint32(g))
	}
	return c
}

// credOf is a user of this machine with the groups that the system knows of
// him; one that it does not know is in no group.
func credOf(uid uint32) *cred {
	c := &cred{uid: uid, gid: nobody}
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return c
	}
	if gid, err := strconv.ParseUint(u.Gid, 10, 32); err == nil {
		c.gid = uint32(gid)
	}
	ids, _ := u.GroupIds()
	for _, id := range ids {
		if gid, err := strconv.ParseUint(id, 10, 32); err == nil {
			c.groups = append(c.groups, uint32(gid))
		}
	}
	return c
}

// authorize sets c.cred from what the call says of its caller, and from what
// is known of the connection. It reports whether it can be told at all.
func (c *call) authorize() bool {
	if c.from == nil {
		return false
	}
	k := &c.rpc.Cred
	switch k.Flavor {
	case wire.AuthSys:
		c.cred = cred{uid: k.UID, gid: k.GID, groups: k.GIDs[:k.NGIDs]}
	case wire.AuthNone:
		c.cred = cred{uid: nobody, gid: nobody}
	default:
		return false
	}
	if c.from.fixed != nil {
		c.cred = *c.from.fixed
	}
	if c.from.squash {
		c.cred.squash()
	}
	return true
}

// squash makes root nobody, and takes root's group from anybody else.
func (c *cred) squash() {
	if c.uid == 0 {
		*c = cred{uid: nobody, gid: nobody}
		return
	}
	if c.gid == 0 {
		c.gid = nobody
	}
	if slices.Contains(c.groups, 0) { // they may be shared with other calls
		c.groups = slices.DeleteFunc(slices.Clone(c.groups), func(g uint32) bool { return g == 0 })
	}
}

// When a change must be durable.
type urgency int

const (
	lazily urgency = iota // within a second, unless the mode is strict or the client elsewhere
	atOnce
)

// settle makes a change durable if it has to be before the reply.
func (c *call) settle(e *export, lsn billyfs.LSN, u urgency) error {
	e.changed(lsn)
	switch {
	case c.s.o.Sync == SyncLocal:
		return nil
	case u == lazily && c.from.local && c.s.o.Sync == SyncAuto:
		return nil
	}
	return c.sync(e, lsn)
}

// sync makes everything up to lsn durable.
func (c *call) sync(e *export, lsn billyfs.LSN) error {
	wait := e.FS.Sync
	if c.conn != nil && c.conn.Alone() {
		wait = e.FS.SyncAlone
	}
	err := wait(lsn)
	if err != nil {
		c.s.newVerifier()
	}
	return err
}

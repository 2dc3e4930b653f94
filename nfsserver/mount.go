package nfsserver

import (
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"

	"deltafs/billyfs"
	"deltafs/nfsserver/wire"
)

// mountProcs are the procedures of MOUNT by number, RFC 1813 section 5.2.
var mountProcs = [...]procedure{
	wire.MountProcNull:    {run: (*call).null, open: true},
	wire.MountProcMnt:     {run: (*call).mnt, open: true},
	wire.MountProcDump:    {run: (*call).mountDump, open: true},
	wire.MountProcUmnt:    {run: (*call).umnt, open: true},
	wire.MountProcUmntall: {run: (*call).umntAll, open: true},
	wire.MountProcExport:  {run: (*call).mountExport, open: true},
}

// maxMounts is how many entries the table of mounts has at most.
const maxMounts = 1024

// mounts are those that clients say they have: for DUMP, nothing depends on it.
type mounts struct {
	mu   sync.Mutex
	list []mountEntry // the newest last
}

type mountEntry struct {
	addr netip.Addr
	path string
}

func (m *mounts) add(e mountEntry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.Contains(m.list, e) {
		return
	}
	if len(m.list) >= maxMounts {
		m.list = m.list[1:]
	}
	m.list = append(m.list, e)
}

func (m *mounts) remove(gone func(mountEntry) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = slices.DeleteFunc(m.list, gone)
}

func (m *mounts) all() []mountEntry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.list)
}

// mnt answers with the handle of a directory. In versions 1 and 2 handles have
// 32 bytes, and none of ours would fit: such a client is refused.
func (c *call) mnt(d *wire.XDR) {
	var a wire.MntArgs
	if a.Code(d); !d.OK() {
		return
	}
	if c.rpc.Vers < 3 {
		c.b = wire.AppendUint32(c.b, uint32(wire.MntErrAcces))
		return
	}
	p := path.Clean("/" + string(a.Path))
	r := wire.MntRes{Flavors: []uint32{wire.AuthSys, wire.AuthNone}}
	dir, err := c.s.mounted(p)
	if err == nil {
		r.Handle, err = dir.handle(c.fh[:0], dir.ino)
	}
	if r.Status = mountStatus(err); err == nil {
		c.s.mounts.add(mountEntry{c.from.addr, p})
		c.s.o.Log.Info("mounted", "path", p, "from", c.from.addr)
	} else {
		c.s.o.Log.Warn("mount refused", "path", p, "from", c.from.addr, "error", err)
	}
	c.b = r.Append(c.b)
}

// mounted finds the directory that a path names: an export, or a directory
// below one.
func (s *Server) mounted(p string) (object, error) {
	var e *export
	for _, x := range s.all() {
		if x.holds(p) && (e == nil || len(x.Name) > len(e.Name)) {
			e = x
		}
	}
	if e == nil {
		return object{}, &billyfs.Error{Op: "mount", Path: p, Kind: billyfs.NotExist}
	}
	ino, err := FindDir(e.FS, strings.TrimPrefix(p, e.Name))
	return object{e, ino}, err
}

// FindDir returns the directory at a clean path below the root of a file system.
// Symlinks are not followed: they are the client's to resolve.
func FindDir(fs Reader, p string) (billyfs.Ino, error) {
	ino := fs.Root()
	for name := range strings.SplitSeq(p, "/") {
		if name == "" {
			continue
		}
		a, err := fs.Lookup(ino, name)
		if err != nil {
			return 0, err
		}
		if a.Mode&billyfs.TypeMask != billyfs.TypeDir {
			return 0, &billyfs.Error{Op: "mount", Path: p, Kind: billyfs.NotDir}
		}
		ino = a.Ino
	}
	return ino, nil
}

// holds tells whether a clean path is that of the export or below it.
func (e *export) holds(p string) bool {
	return e.Name == "/" || p == e.Name || strings.HasPrefix(p, e.Name+"/")
}

func mountStatus(err error) wire.MountStatus {
	switch billyfs.KindOf(err) {
	case 0:
		return wire.MntOK
	case billyfs.NotExist, billyfs.Invalid, billyfs.Stale:
		return wire.MntErrNoEnt
	case billyfs.NotDir:
		return wire.MntErrNotDir
	case billyfs.Access:
		return wire.MntErrAcces
	case billyfs.NameTooLong:
		return wire.MntErrNameTooLong
	}
	return wire.MntErrIO
}

func (c *call) mountDump(*wire.XDR) {
	var r wire.MountDumpRes
	for _, e := range c.s.mounts.all() {
		r.Mounts = append(r.Mounts, wire.MountEntry{Host: e.addr.String(), Dir: e.path})
	}
	c.b = r.Append(c.b)
}

func (c *call) umnt(d *wire.XDR) {
	var a wire.MntArgs
	if a.Code(d); !d.OK() {
		return
	}
	gone := mountEntry{c.from.addr, path.Clean("/" + string(a.Path))}
	c.s.mounts.remove(func(e mountEntry) bool { return e == gone })
}

func (c *call) umntAll(*wire.XDR) {
	c.s.mounts.remove(func(e mountEntry) bool { return e.addr == c.from.addr })
}

// mountExport lists the exports, each with the addresses that may mount it.
func (c *call) mountExport(*wire.XDR) {
	var r wire.ExportRes
	groups := []string{"localhost"}
	for _, p := range c.s.o.Access.Allow {
		groups = append(groups, p.String())
	}
	for _, e := range c.s.all() {
		r.Exports = append(r.Exports, wire.ExportEntry{Dir: e.Name, Groups: groups})
	}
	c.b = r.Append(c.b)
}

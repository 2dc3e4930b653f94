package gonfs

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"net"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-git/go-billy/v5"
	nfs "github.com/willscott/go-nfs"

	"deltafs/billyfs"
	"deltafs/nfsserver"
	"deltafs/nfsserver/handle"
)

// Options of New.
type Options struct {
	Export  string       // path that clients mount; "" and "/" mean the root
	StoreID [16]byte     // tells handles of different stores apart
	MACKey  [32]byte     // secret of the store: signs handles
	Log     *slog.Logger // nil: discarded
	// Statfs returns the bytes that the delta may take and those still free.
	// nil: clients see a very large, empty disk.
	Statfs func() (total, free uint64)
}

// Handler serves one tree. It may be used concurrently.
type Handler struct {
	fs     nfsserver.FS
	codec  *handle.Codec
	export string // clean, begins with "/"
	log    *slog.Logger
	statfs func() (total, free uint64)
	lists  listings
	last   atomic.Uint64 // the highest LSN of a change that was answered; COMMIT syncs it

	// nonce precedes the number of a call behind its handles, so that no
	// client can make one up.
	nonce [8]byte
	ids   atomic.Uint64
	calls sync.Map // number of a call in progress -> *call
}

var (
	_ nfs.Handler        = (*Handler)(nil)
	_ nfs.CachingHandler = (*Handler)(nil)
	_ nfs.UnixChange     = (*change)(nil)
	_ billy.Filesystem   = (*view)(nil)
	_ billy.Capable      = (*view)(nil)
)

// quiet silences the one logger that all of go-nfs has: what it calls errors
// are the everyday answers of a file system. The handler logs for itself.
var quiet sync.Once

// New returns a handler for t, usually a *billyfs.Tree.
func New(t nfsserver.FS, o Options) (*Handler, error) {
	if strings.ContainsRune(o.Export, 0) || len(o.Export) > maxMount-1 {
		return nil, fmt.Errorf("export %q: not a path that a client can name", o.Export)
	}
	quiet.Do(func() { nfs.Log.SetLevel(nfs.PanicLevel) })
	h := &Handler{
		fs: t, codec: handle.New(o.StoreID, t.View(), o.MACKey),
		export: path.Clean("/" + o.Export), log: o.Log, statfs: o.Statfs,
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if _, err := rand.Read(h.nonce[:]); err != nil {
		return nil, fmt.Errorf("random number: %w", err)
	}
	return h, nil
}

// Mount answers MNT: the export and the directories in it can be mounted.
func (h *Handler) Mount(_ context.Context, c net.Conn, req nfs.MountRequest) (nfs.MountStatus, billy.Filesystem, []nfs.AuthFlavor) {
	v := &view{h: h, root: h.fs.Root()} // never nil: go-nfs asks a refused one for a handle
	ino, err := h.find(string(req.Dirpath))
	if err != nil {
		h.log.Warn("mount refused", "path", string(req.Dirpath), "from", c.RemoteAddr(), "error", err)
		return mountStatus(err), v, nil
	}
	v.root = ino
	if v.handle(ino) == nil {
		return nfs.MountStatusErrServerFault, v, nil
	}
	h.log.Info("mounted", "path", string(req.Dirpath), "from", c.RemoteAddr())
	return nfs.MountStatusOk, v, []nfs.AuthFlavor{nfs.AuthFlavorUnix, nfs.AuthFlavorNull}
}

// find returns the directory that a path to mount names.
func (h *Handler) find(dirpath string) (billyfs.Ino, error) {
	p := path.Clean("/" + dirpath)
	if h.export != "/" && p != h.export && !strings.HasPrefix(p, h.export+"/") {
		return 0, &billyfs.Error{Op: "mount", Path: dirpath, Kind: billyfs.NotExist}
	}
	return nfsserver.FindDir(h.fs, strings.TrimPrefix(p, h.export))
}

func mountStatus(err error) nfs.MountStatus {
	switch billyfs.KindOf(err) {
	case billyfs.NotExist, billyfs.Invalid:
		return nfs.MountStatusErrNoEnt
	case billyfs.NotDir:
		return nfs.MountStatusErrNotDir
	case billyfs.Access:
		return nfs.MountStatusErrAcces
	case billyfs.NameTooLong:
		return nfs.MountStatusErrNameTooLong
	}
	return nfs.MountStatusErrIO
}

// Change returns what changes attributes and makes special files.
func (h *Handler) Change(f billy.Filesystem) billy.Change {
	if v, ok := f.(*view); ok {
		return &change{v}
	}
	return nil
}

// FSStat fills in the true sizes, where they are known.
func (h *Handler) FSStat(_ context.Context, _ billy.Filesystem, s *nfs.FSStat) error {
	s.TotalSize, s.FreeSize, s.AvailableSize = 1<<50, 1<<50, 1<<50
	s.TotalFiles, s.FreeFiles, s.AvailableFiles = 1<<40, 1<<40, 1<<40
	if h.statfs != nil {
		s.TotalSize, s.FreeSize = h.statfs()
		s.AvailableSize = s.FreeSize
	}
	return nil
}

// ToHandle returns the handle of the object at path, a path that FromHandle
// returned and at most one name; nil if there is no such object.
func (h *Handler) ToHandle(f billy.Filesystem, p []string) []byte {
	v, ok := f.(*view)
	if !ok {
		return nil
	}
	a, err := v.attr(v.Join(p...))
	if err == nil {
		return v.handle(a.Ino)
	}
	if v.call != nil && v.call.proc == nfs.NFSProcedureMkNod {
		v.call.pending = make([]byte, handle.Size)
		return v.call.pending
	}
	return nil
}

// FromHandle finds the object of a handle by its inode: no name leads to it,
// so none can be outdated.
func (h *Handler) FromHandle(fh []byte) (billy.Filesystem, []string, error) {
	v := &view{h: h, root: h.fs.Root()}
	if n := len(fh) - tagSize; n >= 0 && [8]byte(fh[n:n+8]) == h.nonce {
		if c, ok := h.calls.Load(binary.BigEndian.Uint64(fh[n+8:])); ok {
			v.call = c.(*call)
		}
		fh = fh[:n]
	}
	ino, err := h.resolve(fh)
	if err == nil && v.call != nil && v.call.proc == nfs.NFSProcedureCommit {
		err = h.fs.Sync(billyfs.LSN(h.last.Load())) // go-nfs does nothing for COMMIT
	}
	if err != nil {
		v.note(err)
		return nil, nil, err
	}
	return v, pathOf(ino), nil
}

// acked remembers a change that a client is going to be told of.
func (h *Handler) acked(ch billyfs.Change) {
	for {
		last := h.last.Load()
		if uint64(ch.LSN) <= last || h.last.CompareAndSwap(last, uint64(ch.LSN)) {
			return
		}
	}
}

// resolve returns the inode of a handle as clients send it. The error wraps
// handle.ErrBad if the bytes are not ours.
func (h *Handler) resolve(fh []byte) (billyfs.Ino, error) {
	id, err := h.codec.Parse(fh)
	if err != nil {
		return 0, err
	}
	return h.fs.Resolve(id)
}

// InvalidateHandle does nothing: a handle lives as long as its object.
func (h *Handler) InvalidateHandle(billy.Filesystem, []byte) error { return nil }

// HandleLimit says that no handle is ever dropped.
func (h *Handler) HandleLimit() int { return math.MaxInt }

// tagSize is the length of what tag returns, in bytes.
const tagSize = 16

// tag returns what is put behind the handles of a call.
func (h *Handler) tag(id uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(nil), h.nonce[:]...), id)
}

// local answers the calls that go-nfs cannot: EXPORT and LINK.
func (h *Handler) local(c *call) []byte {
	out := accepted(c.xid, 0)
	if c.prog == progMount {
		out = putOpaque(put32(out, 1), []byte(h.export))
		return put32(out, 0, 0) // no groups, no more exports
	}
	return put32(out, uint32(h.link(c)), 0, 0, 0) // no attributes: the client asks for them
}

func (h *Handler) link(c *call) nfs.NFSStatus {
	v := &view{h: h, call: c, root: h.fs.Root()}
	file, err := h.resolve(c.link.file)
	if err != nil {
		v.note(err)
		return nfs.NFSStatus(c.status.Load())
	}
	dir, err := h.resolve(c.link.dir)
	if err != nil {
		v.note(err)
		return nfs.NFSStatus(c.status.Load())
	}
	if err := checkName("link", c.link.name); err != nil {
		return statusOf(err)
	}
	_, ch, err := h.fs.Link(c.caller, file, dir, c.link.name)
	h.acked(ch)
	return statusOf(err)
}

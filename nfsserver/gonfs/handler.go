package gonfs

import (
	"context"
	"log/slog"
	"net"

	"deltafs/nfsserver"
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

// Handler serves one tree.
type Handler struct{}

// New returns a handler for t, usually a *billyfs.Tree.
func New(t nfsserver.FS, o Options) (*Handler, error) { panic("not built") }

// Serve answers the connections of l until ctx ends: it then accepts no more,
// lets calls in flight finish, and returns nil. It closes l.
func (h *Handler) Serve(ctx context.Context, l net.Listener) error { panic("not built") }

package nfsserver

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"deltafs/billyfs"
	"deltafs/billyfs/coarse"
	"deltafs/nfsserver/handle"
	"deltafs/nfsserver/rpc"
	"deltafs/nfsserver/wire"
)

// Limits of what a client may ask for. RFC 1813, sections 2.4 and 3.3.19.
const (
	maxTransfer = 1 << 20 // bytes of one READ or WRITE
	maxListing  = 256 << 10
	maxRecord   = maxTransfer + 4<<10
	dirPref     = 64 << 10
)

// Export is a tree that clients can mount.
type Export struct {
	Name    string // "/", or "/" and one name; of a fork, that and "@" and its name as another one
	FS      FS
	StoreID [16]byte
	MACKey  [32]byte // of the store; makes handles that nobody else can
	// Statfs returns the size of the file system and what is free, in bytes;
	// nil: unknown, and much.
	Statfs func() (total, free uint64)
}

// Options of a server.
type Options struct {
	Exports []Export
	Sync    SyncMode
	Access  Access
	Trace   func(line string) // called with each call and its reply as a line; nil: not
	Log     *slog.Logger      // nil: discarded
	// Processors is how many the process may use at a time; 0: GOMAXPROCS.
	Processors int
}

// Server answers the calls of NFSv3 clients. All methods may be called
// concurrently.
type Server struct {
	o        Options
	adding   sync.Mutex // one Add or Remove at a time
	exports  atomic.Pointer[[]*export]
	verifier atomic.Uint64 // of writes: another one after each start and each failed sync
	replays  replays
	listings listings
	mounts   mounts
	rpc      *rpc.Server
	tap      func(call, reply []byte) // of tests; nil: none
}

// export is an Export as it is served.
type export struct {
	Export
	codec *handle.Codec
	last  atomic.Uint64 // LSN of the newest change, or one above all
}

// New returns a server. It reads back from the stores which calls of the last
// minutes were carried out by an earlier process.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o}
	s.exports.Store(new([]*export))
	now := time.Now()
	recalled := map[[16]byte]bool{} // tags are those of a store, whatever the view
	for _, e := range o.Exports {
		s.add(e, 0) // what an earlier process has left is durable: the store was opened
		if recalled[e.StoreID] {
			continue
		}
		recalled[e.StoreID] = true
		if err := e.FS.Tags(func(tag []byte) { s.replays.recall(tag, now) }); err != nil {
			// A damaged store is served all the same, read-only.
			o.Log.Warn("which calls were carried out before is not known", "export", e.Name, "error", err)
		}
	}
	s.newVerifier()
	s.rpc = rpc.New(s, rpc.Options{
		MaxRecord: maxRecord, Opened: s.opened, Log: o.Log, Now: coarse.Now, Processors: o.Processors,
	})
	return s, nil
}

// all returns the exports as they are now.
func (s *Server) all() []*export { return *s.exports.Load() }

// Add exports another tree from now on, in the place of one of the same name if
// there is one.
func (s *Server) Add(e Export) {
	// Its tree may have been exported before, and calls of then be under way: a COMMIT
	// syncs all that there is.
	s.add(e, math.MaxInt64)
}

// add exports a tree whose newest change has an LSN of at most last.
func (s *Server) add(e Export, last uint64) {
	s.adding.Lock()
	defer s.adding.Unlock()
	x := &export{Export: e, codec: handle.New(e.StoreID, e.FS.View(), e.MACKey)}
	x.last.Store(last)
	now := append(s.without(e.Name), x)
	s.exports.Store(&now)
	s.listings.clear() // what is kept of another one
}

// Remove ends an export: its handles are stale from then on. Calls that are under way
// may still reach the file system.
func (s *Server) Remove(name string) {
	s.adding.Lock()
	defer s.adding.Unlock()
	now := s.without(name)
	s.exports.Store(&now)
	s.listings.clear() // what is kept of it
}

func (s *Server) without(name string) []*export {
	return slices.DeleteFunc(slices.Clone(s.all()), func(e *export) bool { return e.Name == name })
}

// Serve answers the connections of l until ctx ends: then it takes no more
// calls, lets those in flight finish for a while, closes l and returns nil. An
// error means that l failed.
func (s *Server) Serve(ctx context.Context, l net.Listener) error { return s.rpc.Serve(ctx, l) }

// Stats returns what the server has done so far.
func (s *Server) Stats() rpc.Stats { return s.rpc.Stats() }

// newVerifier makes clients write again what they have not committed.
func (s *Server) newVerifier() {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	s.verifier.Store(binary.LittleEndian.Uint64(b[:]))
}

// writeVerifier returns what clients compare to see whether what they have
// written and not committed is still there.
func (s *Server) writeVerifier() (v [8]byte) {
	binary.BigEndian.PutUint64(v[:], s.verifier.Load())
	return v
}

// smallData is up to how many bytes of data a READ or WRITE is as fast as other calls.
const smallData = 64 << 10

// Class implements rpc.Handler: a class for each procedure of NFS. Calls that sync, and
// those with much data, are not for the connection's reader, nor are listings. What does
// little and then syncs need not be waited for.
func (s *Server) Class(record []byte) int {
	prog, proc := wire.Peek(record)
	if prog != wire.ProgNFS || proc > wire.ProcCommit {
		return rpc.Waits
	}
	switch proc {
	case wire.ProcReaddir, wire.ProcReaddirplus:
		return rpc.Waits
	case wire.ProcCommit:
		return rpc.Defers
	case wire.ProcRead, wire.ProcWrite:
		switch count, stable := wire.PeekRange(record); {
		case count > smallData:
			return rpc.Waits
		case proc == wire.ProcWrite && stable != wire.Unstable:
			return rpc.Defers
		}
	}
	switch proc {
	case wire.ProcGetattr, wire.ProcLookup, wire.ProcAccess, wire.ProcReadlink, wire.ProcRead:
		return int(proc) // what takes long waits for the base
	}
	return rpc.Patient + int(proc)
}

// Call implements rpc.Handler.
func (s *Server) Call(_ context.Context, conn *rpc.Conn, record, reply []byte) ([]byte, error) {
	from, _ := conn.Value().(*client)
	return s.answer(conn, from, record, reply), nil
}

// Begin implements rpc.Deferrer.
func (s *Server) Begin(conn *rpc.Conn, record, reply []byte) ([]byte, bool, error) {
	from, _ := conn.Value().(*client)
	c := newCall(s, conn, from, record, reply)
	c.answer()
	// To trace is to wait for who reads that, which whoever tells may not.
	if c.wait.rest != nil && s.o.Trace == nil && c.wait.o.FS.SyncLater(c.wait.lsn, c) {
		return nil, true, nil // c is told, or has been
	}
	return c.finish(), false, nil
}

// answer appends the reply to a record that came from a client.
func (s *Server) answer(conn *rpc.Conn, from *client, record, reply []byte) []byte {
	c := newCall(s, conn, from, record, reply)
	c.answer()
	return c.finish()
}

// find returns the export that a handle belongs to.
func (s *Server) find(fh []byte) *export {
	for _, e := range s.all() {
		if e.codec.Owns(fh) {
			return e
		}
	}
	return nil
}

// unknown says what is wrong with a handle that belongs to no export: it may be of a
// fork that is no more.
func (s *Server) unknown(fh []byte) error {
	for _, e := range s.all() {
		if e.codec.Related(fh) {
			return &billyfs.Error{Op: "resolve", Path: "a fork that was dropped", Kind: billyfs.Stale}
		}
	}
	return handle.ErrBad
}

// changed notes the newest change of an export, for COMMIT.
func (e *export) changed(lsn billyfs.LSN) {
	for {
		last := e.last.Load()
		if uint64(lsn) <= last || e.last.CompareAndSwap(last, uint64(lsn)) {
			return
		}
	}
}

package nfsserver

import (
	"runtime/debug"
	"sync"
	"time"

	"deltafs/billyfs"
	"deltafs/billyfs/coarse"
	"deltafs/nfsserver/handle"
	"deltafs/nfsserver/rpc"
	"deltafs/nfsserver/wire"
)

// call is one call while it is answered.
type call struct {
	s    *Server
	from *client
	rec  []byte
	rpc  wire.Call
	args []byte
	x    wire.XDR // of args
	b    []byte   // the reply so far, behind what was there before
	cred cred
	tag  []byte // what the log keeps of it; nil for calls that may be repeated
	// applied says that an earlier process has carried the call out.
	applied bool
	fh      [handle.Size]byte // room for the handle of a reply
	start   int               // of the reply in b
	conn    *rpc.Conn         // over which it came, and the reply may go later; nil: of a test
	wait    wait
}

// wait is what is left of a call that waits until its changes are durable: that is the last
// thing that it does.
type wait struct {
	o    object
	lsn  billyfs.LSN
	rest func(*call, error) // appends the results; nil: the call does not wait
	ch   billyfs.Change
	res  wire.WriteRes
	told bool // others are to be told behind it: the rest may not wait for the base
}

// after returns the attributes of the object, if they can be had.
func (w *wait) after() (p wire.PostOp) {
	if !w.told {
		return w.o.after()
	}
	if a, ok := w.o.FS.Changed(w.o.ino); ok {
		p = w.o.post(&a)
	}
	return p
}

var calls = sync.Pool{New: func() any { return new(call) }}

func newCall(s *Server, conn *rpc.Conn, from *client, record, reply []byte) *call {
	c := calls.Get().(*call)
	c.s, c.conn, c.from, c.rec, c.tag, c.applied, c.b, c.start = s, conn, from, record, nil, false, reply, len(reply)
	return c
}

func (c *call) free() {
	c.s, c.from, c.rec, c.args, c.b, c.cred, c.tag, c.x = nil, nil, nil, nil, nil, cred{}, nil, wire.XDR{}
	c.conn, c.wait = nil, wait{}
	calls.Put(c)
}

// finish ends a call that need not wait any more, and returns the reply.
func (c *call) finish() []byte {
	if c.wait.rest != nil {
		c.settled(true)
	}
	b := c.seen()
	c.free()
	return b
}

// seen shows the reply to who wants to see it, and returns it.
func (c *call) seen() []byte {
	if c.s.o.Trace != nil {
		c.s.o.Trace(wire.Line(c.rec, c.b[c.start:]))
	}
	if c.s.tap != nil {
		c.s.tap(c.rec, c.b[c.start:])
	}
	return c.b
}

// settled appends the results of a call that waits until its changes are durable, or has waited.
func (c *call) settled(sync bool) {
	defer c.recovered()
	var err error
	if sync {
		err = c.sync(c.wait.o.export, c.wait.lsn)
	}
	c.wait.rest(c, err)
}

// Synced implements billyfs.Waiter.
func (c *call) Synced(err error) {
	c.wait.told = true
	c.settled(err != nil) // where it has failed, Sync fails at once, and says it as it should be
	c.conn.Answer(c.rec, c.seen())
}

// Told implements billyfs.Waiter.
func (c *call) Told() {
	conn := c.conn
	c.free()
	conn.Release()
}

// answer parses the call and appends its reply.
func (c *call) answer() {
	args, fault := wire.ParseCall(c.rec, &c.rpc)
	c.args = args
	switch {
	case fault != wire.NoFault:
		c.b = fault.Append(c.b, c.rpc.XID)
	case c.rpc.Prog == wire.ProgNFS:
		c.program(nfsProcs[:], 3, 3)
	case c.rpc.Prog == wire.ProgMount:
		c.program(mountProcs[:], 1, 3)
	default:
		c.b = wire.AppendAccepted(c.b, c.rpc.XID, wire.ProgUnavail)
	}
}

// procedure is how a procedure is answered.
type procedure struct {
	run  func(c *call, d *wire.XDR)
	once bool // it must not be carried out twice
	open bool // anybody may call it, whatever his credentials
}

// program answers a call of a program in its versions low to high.
func (c *call) program(procs []procedure, low, high uint32) {
	switch {
	case c.rpc.Vers < low || c.rpc.Vers > high:
		c.b = wire.AppendProgMismatch(c.b, c.rpc.XID, low, high)
		return
	case c.rpc.Proc >= uint32(len(procs)):
		c.b = wire.AppendAccepted(c.b, c.rpc.XID, wire.ProcUnavail)
		return
	}
	p := &procs[c.rpc.Proc]
	if !p.open && !c.authorize() {
		c.b = wire.AppendAuthError(c.b, c.rpc.XID, wire.AuthBadCred)
		return
	}
	if p.once {
		c.once(p)
		return
	}
	c.run(p)
}

// run carries the call out. Where the arguments cannot be decoded, that is the
// reply. A panic is a bug that one call has met: its caller gets an error, for a
// client that gets none sends it again.
func (c *call) run(p *procedure) {
	defer c.recovered()
	c.b = wire.AppendAccepted(c.b, c.rpc.XID, wire.Success)
	c.x = wire.Reader(c.args)
	p.run(c, &c.x)
	if !c.x.OK() {
		c.b = wire.AppendAccepted(c.b[:c.start], c.rpc.XID, wire.GarbageArgs)
	}
}

// recovered makes a reply of a panic.
func (c *call) recovered() {
	if v := recover(); v != nil {
		c.s.o.Log.Error("panic in a call", "procedure", wire.ProcName(c.rpc.Prog, c.rpc.Proc), "from", c.from.addr,
			"panic", v, "stack", string(debug.Stack()))
		c.wait.rest = nil
		c.b = wire.AppendAccepted(c.b[:c.start], c.rpc.XID, wire.SystemErr)
	}
}

// once carries a call out unless it was carried out before.
func (c *call) once(p *procedure) {
	now := time.Unix(0, coarse.Now())
	id := c.id()
	v, reply := c.s.replays.begin(id, now)
	switch v {
	case running: // its reply is on the way
		return
	case answered:
		c.b = append(c.b, reply...)
		return
	}
	answered := false
	defer func() {
		if !answered {
			c.s.replays.abandon(id)
		}
	}()
	c.applied = v == applied
	c.tag = id.tag(now)
	start := len(c.b)
	c.run(p)
	c.s.replays.end(id, c.b[start:])
	answered = true
}

// object is what a handle stands for.
type object struct {
	*export
	ino billyfs.Ino
}

// resolve finds the object of a handle.
func (c *call) resolve(fh []byte) (object, error) {
	e := c.s.find(fh)
	if e == nil {
		return object{}, c.s.unknown(fh)
	}
	h, err := e.codec.Parse(fh)
	if err != nil {
		return object{}, err
	}
	ino, err := e.FS.Resolve(h)
	return object{e, ino}, err
}

// handle appends the handle of an object to dst.
func (e *export) handle(dst []byte, ino billyfs.Ino) ([]byte, error) {
	h, err := e.FS.Handle(ino)
	if err != nil {
		return dst, err
	}
	return e.codec.Append(dst, &h), nil
}

// caller is on whose behalf the tree makes a change.
func (c *call) caller() billyfs.Caller {
	return billyfs.Caller{UID: c.cred.uid, GID: c.cred.gid, Tag: c.tag}
}

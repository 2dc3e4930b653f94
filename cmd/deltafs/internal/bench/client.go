package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"deltafs/nfsserver/wire"
)

// patience is how long a server may take for what a row asks of it at once.
const patience = 10 * time.Minute

// client is a mounted export, over several connections.
type client struct {
	addr  string
	root  []byte
	conns []*conn
	used  func() time.Duration // processor time of the server so far
}

// conn is one connection; one goroutine at a time uses it.
type conn struct {
	net.Conn
	r    *bufio.Reader
	out  []byte // calls that are not sent
	vec  net.Buffers
	rec  []byte // the reply that is looked at
	xid  uint32
	cred wire.Cred
}

// maxInFlight is how many calls a connection can have in flight: the lowest byte
// of an xid says which of them it is.
const maxInFlight = 256

// op is an operation: one call after the other.
type op struct {
	i, step int
	xid     uint32 // 0: none is in flight
	began   time.Time
	fh      []byte
	// Arguments of calls, here so that they are no garbage.
	object wire.ObjectArgs
	lookup wire.LookupArgs
	span   wire.RangeArgs
	write  wire.WriteArgs
	create wire.CreateArgs
	set    wire.SetattrArgs
}

// load is what an operation does: call sends its next call, reply looks at the
// results and says if there is another.
type load struct {
	call  func(o *op, c *conn) error
	reply func(o *op, results []byte) (more bool, err error)
}

// dial connects, several times, and mounts an export.
func dial(ctx context.Context, addr, export string, conns int) (_ *client, err error) {
	cl := &client{addr: addr}
	defer func() {
		if err != nil {
			cl.close()
		}
	}()
	for range conns {
		c, err := connect(ctx, addr)
		if err != nil {
			return nil, err
		}
		cl.conns = append(cl.conns, c)
	}
	cl.used = func() time.Duration { return 0 }
	if used, ok := cpuOf(addr); ok {
		cl.used = used
	}
	cl.root, err = cl.mount(ctx, export)
	return cl, err
}

func connect(ctx context.Context, addr string) (*conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname() // a client without a name is one, too
	return &conn{
		Conn: nc, r: bufio.NewReaderSize(nc, 256<<10),
		xid:  rand.Uint32(), // the same call with the same number is the same to a server, over whichever connection
		cred: wire.Cred{Flavor: wire.AuthSys, Machine: []byte(host), UID: uint32(max(os.Getuid(), 0)), GID: uint32(max(os.Getgid(), 0))},
	}, nil
}

func (cl *client) close() {
	for _, c := range cl.conns {
		_ = c.Close()
	}
}

// mount asks for the root of an export: the server at the port itself or, where
// MOUNT has a port of its own, whom the portmapper names.
func (cl *client) mount(ctx context.Context, export string) ([]byte, error) {
	mnt := func(c *conn) (r wire.MntRes, err error) {
		err = c.one(ctx, wire.ProgMount, wire.MountProcMnt, (&wire.MntArgs{Path: []byte(export)}).Append, r.Code)
		return r, err
	}
	r, err := mnt(cl.conns[0])
	var refused *wire.ReplyError
	if errors.As(err, &refused) && refused.Stat == wire.ProgUnavail {
		var c *conn
		if c, err = cl.mountd(ctx); err != nil {
			return nil, err
		}
		defer c.Close()
		r, err = mnt(c)
	}
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", export, err)
	}
	if r.Status != wire.MntOK {
		return nil, fmt.Errorf("mount %s: %s", export, r.Status)
	}
	return slices.Clone(r.Handle), nil
}

// mountd connects to the port of MOUNT that the portmapper of the server's host
// knows.
func (cl *client) mountd(ctx context.Context) (*conn, error) {
	host, _, err := net.SplitHostPort(cl.addr)
	if err != nil {
		return nil, err
	}
	c, err := connect(ctx, net.JoinHostPort(host, strconv.Itoa(wire.PortmapPort)))
	if err != nil {
		return nil, fmt.Errorf("%s has no MOUNT, and no portmapper tells where it is: %w", cl.addr, err)
	}
	defer c.Close()
	var port wire.Number
	if err := c.one(ctx, wire.ProgPortmap, wire.PmapProcGetport, (&wire.Mapping{Prog: wire.ProgMount, Vers: 3, Prot: wire.ProtTCP}).Append, port.Code); err != nil {
		return nil, fmt.Errorf("portmapper of %s: %w", host, err)
	}
	if port.V == 0 {
		return nil, fmt.Errorf("%s has no MOUNT, and its portmapper does not know where it is", cl.addr)
	}
	return connect(ctx, net.JoinHostPort(host, strconv.Itoa(int(port.V))))
}

// version of a program that the client speaks.
func version(prog uint32) uint32 {
	if prog == wire.ProgPortmap {
		return 2
	}
	return 3
}

// one makes one call and waits for its reply.
func (c *conn) one(ctx context.Context, prog, proc uint32, args func([]byte) []byte, results func(*wire.XDR)) error {
	c.xid++
	c.open(c.xid, prog, proc)
	c.out = args(c.out)
	c.shut(len(c.out))
	stop, err := c.deadline(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if err := c.flush(); err != nil {
		return err
	}
	if err := c.next(); err != nil {
		return err
	}
	res, err := wire.ParseReply(c.rec, c.xid)
	if err != nil {
		return err
	}
	x := wire.Reader(res)
	if results(&x); !x.OK() {
		return errShort
	}
	return nil
}

var errShort = errors.New("results that cannot be decoded")

// deadline sets until when the server must have answered; ctx ends that earlier.
func (c *conn) deadline(ctx context.Context) (stop func() bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	return context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }), nil
}

// open begins a record.
func (c *conn) open(xid, prog, proc uint32) {
	c.out = append(c.out, 0, 0, 0, 0)
	c.out = wire.AppendCall(c.out, &wire.Call{XID: xid, Prog: prog, Vers: version(prog), Proc: proc, Cred: c.cred})
}

// shut ends the record that ends where c.out does and is n bytes long with its
// mark.
func (c *conn) shut(n int) {
	binary.BigEndian.PutUint32(c.out[len(c.out)-n:], 1<<31|uint32(n-4))
}

// send adds a call of an operation to those that will be sent.
func (c *conn) send(o *op, proc uint32, args interface{ Append([]byte) []byte }) error {
	start := len(c.out)
	c.open(o.xid, wire.ProgNFS, proc)
	c.out = args.Append(c.out)
	c.shut(len(c.out) - start)
	return nil
}

// big is from which length on data is not copied to be sent.
const big = 32 << 10

// sendWrite is send for a WRITE, whose data is o.write.Data; large data goes out on
// the spot.
func (c *conn) sendWrite(o *op) error {
	data := o.write.Data
	if len(data) < big {
		return c.send(o, wire.ProcWrite, &o.write)
	}
	start := len(c.out)
	c.open(o.xid, wire.ProgNFS, wire.ProcWrite)
	o.write.Data = nil
	c.out = o.write.Append(c.out) // ends with the length, 0
	binary.BigEndian.PutUint32(c.out[len(c.out)-4:], uint32(len(data)))
	pad := []byte("\x00\x00\x00"[:-len(data)&3])
	binary.BigEndian.PutUint32(c.out[start:], 1<<31|uint32(len(c.out)-start-4+len(data)+len(pad)))
	c.vec = append(c.vec[:0], c.out, data, pad)
	rest := c.vec
	_, err := rest.WriteTo(c.Conn)
	c.out = c.out[:0]
	return err
}

func (c *conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.Write(c.out)
	c.out = c.out[:0]
	return err
}

// next reads a record into c.rec.
func (c *conn) next() error {
	c.rec = c.rec[:0]
	for last := false; !last; {
		mark, err := c.r.Peek(4)
		if err != nil {
			return fmt.Errorf("reading a reply: %w", err)
		}
		m := binary.BigEndian.Uint32(mark)
		last = m>>31 != 0
		n, at := int(m&^(1<<31)), len(c.rec)
		if at+n > 4<<20 {
			return fmt.Errorf("a reply of %d bytes", at+n)
		}
		_, _ = c.r.Discard(4) // peeked
		c.rec = slices.Grow(c.rec, n)[:at+n]
		if _, err := io.ReadFull(c.r, c.rec[at:]); err != nil {
			return fmt.Errorf("reading a reply: %w", err)
		}
	}
	if len(c.rec) < 4 {
		return wire.ErrReply
	}
	return nil
}

// plainReply is what stands between the xid and the results of a call that was
// carried out: a reply, accepted, no verifier, SUCCESS.
var plainReply = wire.AppendAccepted(nil, 0, wire.Success)[4:]

// results of the reply in c.rec to the call xid.
func (c *conn) results(xid uint32) ([]byte, error) {
	if n := 4 + len(plainReply); len(c.rec) >= n && string(c.rec[4:n]) == string(plainReply) {
		return c.rec[n:], nil
	}
	return wire.ParseReply(c.rec, xid)
}

// done is what was measured of a load.
type done struct {
	ops  int
	took time.Duration
	cpu  time.Duration   // of the server
	lat  []time.Duration // of each operation, up to when its reply was looked at
}

// run carries out operations 0, 1, ... until there were n, or until the time is
// up, with so many in flight.
func (cl *client) run(ctx context.Context, inFlight, n int, d time.Duration, l load) (done, error) {
	conns := cl.conns[:min(len(cl.conns), inFlight)]
	var next atomic.Int64
	cpu, began := cl.used(), time.Now()
	until := began.Add(d)
	errs := make([]error, len(conns))
	lats := make([][]time.Duration, len(conns))
	var wg sync.WaitGroup
	for i, c := range conns {
		window := (inFlight + i) / len(conns)
		wg.Go(func() {
			lats[i], errs[i] = c.run(ctx, window, func() (int, bool) {
				if d > 0 && time.Now().After(until) {
					return 0, false
				}
				k := int(next.Add(1) - 1)
				return k, n == 0 || k < n
			}, l)
		})
	}
	wg.Wait()
	r := done{took: time.Since(began), cpu: cl.used() - cpu}
	for _, l := range lats {
		r.ops += len(l)
		r.lat = append(r.lat, l...)
	}
	slices.Sort(r.lat)
	return r, errors.Join(errs...)
}

// run is the part of one connection.
func (c *conn) run(ctx context.Context, window int, next func() (int, bool), l load) (lat []time.Duration, err error) {
	if window > maxInFlight {
		return nil, fmt.Errorf("%d calls in flight on one connection, at most %d", window, maxInFlight)
	}
	stop, err := c.deadline(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	ops, free := make([]op, window), make([]int, window)
	for i := range free {
		free[i] = i
	}
	send := func(slot int) error {
		o := &ops[slot]
		c.xid++
		o.xid = c.xid<<8 | uint32(slot)
		return l.call(o, c)
	}
	for more := true; ; {
		now := time.Now()
		for more && len(free) > 0 {
			var i int
			if i, more = next(); !more {
				break
			}
			slot := free[len(free)-1]
			free = free[:len(free)-1]
			o := &ops[slot]
			o.i, o.step, o.began = i, 0, now
			if err := send(slot); err != nil {
				return lat, err
			}
		}
		if len(free) == window {
			return lat, nil
		}
		if err := c.flush(); err != nil {
			return lat, err
		}
		for first := true; first || c.ready(); first = false {
			if err := c.next(); err != nil {
				return lat, err
			}
			if first {
				now = time.Now()
			}
			xid := binary.BigEndian.Uint32(c.rec)
			slot := int(xid & 0xff)
			if slot >= window || ops[slot].xid != xid {
				return lat, fmt.Errorf("a reply to call %#x, which nobody made", xid)
			}
			o := &ops[slot]
			res, err := c.results(xid)
			again := false
			if err == nil {
				again, err = l.reply(o, res)
			}
			switch {
			case err != nil:
				return lat, fmt.Errorf("operation %d, step %d: %w", o.i, o.step, err)
			case again:
				o.step++
				err = send(slot)
			default:
				lat = append(lat, now.Sub(o.began))
				o.xid = 0
				free = append(free, slot)
			}
			if err != nil {
				return lat, err
			}
		}
	}
}

// ready tells whether a whole reply has been read ahead.
func (c *conn) ready() bool {
	if c.r.Buffered() < 4 {
		return false
	}
	mark, _ := c.r.Peek(4) // buffered
	return c.r.Buffered() >= 4+int(binary.BigEndian.Uint32(mark)&^(1<<31))
}

package nfsserver

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"sync"
	"time"
)

// Limits of the duplicate-request cache.
const (
	replayAge   = 2 * time.Minute
	replayCalls = 32 << 10
	replayBytes = 8 << 20 // of replies
)

// callID is what makes two records the same call: a client that retransmits
// sends the same call from the same address, maybe over another connection and
// so from another port. Of the credentials only who it is counts: some clients
// put the time into them.
type callID struct {
	addr netip.Addr
	xid  uint32
	sum  uint32 // CRC-32C of procedure, user and arguments
	size uint32 // bytes of the arguments
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (c *call) id() callID {
	var who [16]byte
	binary.LittleEndian.PutUint32(who[:], c.rpc.Prog)
	binary.LittleEndian.PutUint32(who[4:], c.rpc.Proc)
	binary.LittleEndian.PutUint32(who[8:], c.cred.uid)
	binary.LittleEndian.PutUint32(who[12:], c.cred.gid)
	sum := crc32.Update(crc32.Checksum(who[:], castagnoli), castagnoli, c.args)
	return callID{c.from.addr, c.rpc.XID, sum, uint32(len(c.args))}
}

// tagSize is the length of a tag: version, time, address, xid, sum, size.
const tagSize = 1 + 8 + 16 + 4 + 4 + 4

const tagVersion = 1

// tag is what the log keeps of a call beside what it changed.
func (id callID) tag(now time.Time) []byte {
	b := make([]byte, 0, tagSize)
	b = append(b, tagVersion)
	b = binary.LittleEndian.AppendUint64(b, uint64(now.UnixNano()))
	a := id.addr.As16()
	b = append(b, a[:]...)
	b = binary.LittleEndian.AppendUint32(b, id.xid)
	b = binary.LittleEndian.AppendUint32(b, id.sum)
	return binary.LittleEndian.AppendUint32(b, id.size)
}

func parseTag(b []byte) (id callID, at time.Time, ok bool) {
	if len(b) != tagSize || b[0] != tagVersion {
		return id, at, false
	}
	at = time.Unix(0, int64(binary.LittleEndian.Uint64(b[1:])))
	id.addr = netip.AddrFrom16([16]byte(b[9:25])).Unmap()
	id.xid = binary.LittleEndian.Uint32(b[25:])
	id.sum = binary.LittleEndian.Uint32(b[29:])
	id.size = binary.LittleEndian.Uint32(b[33:])
	return id, at, true
}

// replays is the duplicate-request cache: the replies to the last calls that
// must not be carried out twice. It is one for all connections. Of calls of an
// earlier process it knows only that they were carried out.
type replays struct {
	mu    sync.Mutex
	calls map[callID]*replay
	order []callID // oldest first, from first on
	first int
	bytes int
}

type replay struct {
	at    time.Time
	done  bool
	reply []byte // nil although done: a call of an earlier process
}

// What begin says of a call.
type verdict int

const (
	fresh    verdict = iota // carry it out, then end or abandon it
	running                 // it is being carried out: drop this one
	answered                // send the reply again
	applied                 // an earlier process has carried it out: tell what came of it
)

// begin notes that a call begins, unless it is known.
func (r *replays) begin(id callID, now time.Time) (verdict, []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.calls[id]; c != nil && now.Sub(c.at) < replayAge {
		switch {
		case !c.done:
			return running, nil
		case c.reply == nil:
			return applied, nil
		}
		return answered, c.reply
	}
	r.putLocked(id, &replay{at: now})
	return fresh, nil
}

// end keeps the reply of a call that begin took as fresh or applied.
func (r *replays) end(id callID, reply []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.calls[id]; c != nil {
		c.done, c.reply = true, append(make([]byte, 0, len(reply)), reply...)
		r.bytes += len(reply)
	}
}

// abandon forgets a call that was not answered.
func (r *replays) abandon(id callID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.calls, id)
}

// recall notes a call that an earlier process has carried out.
func (r *replays) recall(tag []byte, now time.Time) {
	id, at, ok := parseTag(tag)
	if !ok || now.Sub(at) >= replayAge {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.putLocked(id, &replay{at: at, done: true})
}

// putLocked enters a call and lets go of those that are too old or too many.
func (r *replays) putLocked(id callID, c *replay) {
	if r.calls == nil {
		r.calls = map[callID]*replay{}
	}
	if old := r.calls[id]; old != nil { // too old to be the same call
		r.bytes -= len(old.reply)
	} else {
		r.order = append(r.order, id)
	}
	r.calls[id] = c
	for len(r.order)-r.first > 0 {
		oldest := r.calls[r.order[r.first]]
		if oldest != nil {
			young := c.at.Sub(oldest.at) < replayAge
			if oldest == c || young && len(r.calls) <= replayCalls && r.bytes <= replayBytes {
				break
			}
			r.bytes -= len(oldest.reply)
			delete(r.calls, r.order[r.first])
		}
		r.first++
	}
	if r.first > len(r.order)/2 {
		r.order = append(r.order[:0], r.order[r.first:]...)
		r.first = 0
	}
}

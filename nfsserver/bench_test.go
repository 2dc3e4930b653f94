package nfsserver

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"deltafs/nfsserver/wire"
)

// BenchmarkTCP makes calls over one connection with several in flight.
func BenchmarkTCP(b *testing.B) {
	d := newDisk(b, "")
	if err := os.WriteFile(filepath.Join(d.base, "big"), make([]byte, 64<<20), 0o644); err != nil {
		b.Fatal(err)
	}
	r := serveDisks(b, Options{Access: Access{TrustLoopback: true}}, map[string]*disk{"/": d})
	c := r.dial()
	root := c.mount("/")
	dir := c.lookup(root, "dir")
	one, big, made := c.lookup(dir, "one"), c.lookup(root, "big"), c.create(root, "new")
	r.s.tap = nil // comparing takes longer than the calls
	var names [][]byte
	for i := range 1000 {
		names = append(names, c.create(dir, fmt.Sprint("n", i)))
	}
	data := make([]byte, 1<<20)
	for _, k := range []struct {
		name     string
		inFlight int
		bytes    int64
		proc     uint32
		call     func(i int) args
	}{
		{"GETATTR/1", 1, 0, wire.ProcGetattr, func(int) args { return &wire.ObjectArgs{Object: one} }},
		{"GETATTR/32", 32, 0, wire.ProcGetattr, func(int) args { return &wire.ObjectArgs{Object: one} }},
		{"LOOKUP/32", 32, 0, wire.ProcLookup, func(i int) args { return &wire.LookupArgs{What: at(dir, fmt.Sprint("n", i%1000))} }},
		{"ACCESS/32", 32, 0, wire.ProcAccess, func(i int) args { return &wire.AccessArgs{Object: names[i%1000], Access: 0x3f} }},
		{"READ-4K/32", 32, 4096, wire.ProcRead, func(i int) args {
			return &wire.RangeArgs{File: big, Offset: uint64(i*7919%16384) * 4096, Count: 4096}
		}},
		{"READ-1M/8", 8, 1 << 20, wire.ProcRead, func(i int) args {
			return &wire.RangeArgs{File: big, Offset: uint64(i%63) << 20, Count: 1 << 20}
		}},
		{"WRITE-4K/32", 32, 4096, wire.ProcWrite, func(i int) args {
			return &wire.WriteArgs{File: made, Offset: uint64(i*7919%4096) * 4096, Count: 4096, Data: data[:4096]}
		}},
		{"WRITE-1M/8", 8, 1 << 20, wire.ProcWrite, func(i int) args {
			return &wire.WriteArgs{File: made, Offset: uint64(i%16) << 20, Count: 1 << 20, Data: data}
		}},
	} {
		b.Run(k.name, func(b *testing.B) {
			b.SetBytes(k.bytes)
			conn, err := net.Dial("tcp", r.addr)
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			room := make(chan struct{}, k.inFlight)
			go func() {
				w := bufio.NewWriterSize(conn, 64<<10)
				rec := make([]byte, 0, 1<<20+1024)
				for i := range b.N {
					select {
					case room <- struct{}{}:
					default:
						if w.Flush() != nil {
							return
						}
						room <- struct{}{}
					}
					rec = k.call(i).Append(wire.AppendCall(append(rec[:0], 0, 0, 0, 0), &wire.Call{XID: uint32(i), Prog: wire.ProgNFS, Vers: 3, Proc: k.proc,
						Cred: wire.Cred{Flavor: wire.AuthSys}}))
					binary.BigEndian.PutUint32(rec, 1<<31|uint32(len(rec)-4))
					if _, err := w.Write(rec); err != nil {
						return
					}
				}
				_ = w.Flush()
			}()
			in := bufio.NewReaderSize(conn, 256<<10)
			var head [32]byte
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, err := io.ReadFull(in, head[:]); err != nil {
					b.Fatal(err)
				}
				if status := binary.BigEndian.Uint32(head[28:]); status != 0 {
					b.Fatalf("status %d", status)
				}
				n := int(binary.BigEndian.Uint32(head[:])&^(1<<31)) - 28
				if _, err := in.Discard(n); err != nil {
					b.Fatal(err)
				}
				<-room
			}
		})
	}
}

package rpc

import (
	"bufio"
	"net"
	"testing"
)

func benchConn(b *testing.B) (net.Conn, *rig) {
	r := newRig(b, Options{})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c, r
}

// BenchmarkRoundTrip is one small call after the other.
func BenchmarkRoundTrip(b *testing.B) {
	c, _ := benchConn(b)
	call := record(append([]byte{inline}, make([]byte, 120)...))
	reply := make([]byte, len(call))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(call); err != nil {
			b.Fatal(err)
		}
		for n := 0; n < len(reply); {
			m, err := c.Read(reply[n:])
			if err != nil {
				b.Fatal(err)
			}
			n += m
		}
	}
}

// BenchmarkPipeline is many small calls in flight.
func BenchmarkPipeline(b *testing.B) {
	for kind, name := range map[byte]string{inline: "inline", parallel: "parallel"} {
		b.Run(name, func(b *testing.B) {
			c, _ := benchConn(b)
			call := record(append([]byte{kind}, make([]byte, 120)...))
			go func() {
				w := bufio.NewWriterSize(c, 64<<10)
				for range b.N {
					if _, err := w.Write(call); err != nil {
						return
					}
				}
				_ = w.Flush()
			}()
			in := bufio.NewReaderSize(c, 64<<10)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, err := in.Discard(len(call)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLarge is records of 1 MiB each way.
func BenchmarkLarge(b *testing.B) {
	c, _ := benchConn(b)
	call := record(append([]byte{parallel}, make([]byte, 1<<20-1)...))
	b.SetBytes(2 << 20)
	go func() {
		for range b.N {
			if _, err := c.Write(call); err != nil {
				return
			}
		}
	}()
	in := bufio.NewReaderSize(c, 256<<10)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := in.Discard(len(call)); err != nil {
			b.Fatal(err)
		}
	}
}

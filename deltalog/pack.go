package deltalog

import (
	"sync"

	"github.com/klauspost/compress/zstd"
)

// packLeast is the least data that is worth compressing.
const packLeast = 512

// packer and unpacker are shared: both are made for concurrent use.
var (
	packer = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(joinMost))
		if err != nil {
			panic(err) // of the options, which are constants
		}
		return e
	})
	unpacker = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(MaxData), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			panic(err) // of the options, which are constants
		}
		return d
	})
)

// unpack returns the n bytes that p is when it is expanded, in buf if they fit.
func unpack(buf, p []byte, n int) ([]byte, error) {
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	data, err := unpacker().DecodeAll(p, buf[:0:n])
	if err != nil {
		return nil, badFrame("it cannot be expanded: %v", err)
	}
	if len(data) != n {
		return nil, badFrame("it expands to %d bytes, not %d", len(data), n)
	}
	return data, nil
}

package gonfs

import "encoding/binary"

// reader walks XDR bytes. After the first item that does not fit, bad is set
// and every further item is zero, so that callers check once.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) u32() uint32 {
	if p := r.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if p := r.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

// opaque returns variable-length bytes of at most max; they are part of b.
func (r *reader) opaque(max int) []byte {
	n := r.u32()
	if int64(n) > int64(max) {
		r.bad = true
	}
	if r.bad {
		return nil
	}
	p := r.take(int(n))
	r.take(-int(n) & 3)
	return p
}

func put32(b []byte, vs ...uint32) []byte {
	for _, v := range vs {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// putOpaque appends the concatenation of ps as one variable-length opaque.
func putOpaque(b []byte, ps ...[]byte) []byte {
	n := 0
	for _, p := range ps {
		n += len(p)
	}
	b = put32(b, uint32(n))
	for _, p := range ps {
		b = append(b, p...)
	}
	for range -n & 3 {
		b = append(b, 0)
	}
	return b
}

package wire

import (
	"encoding/binary"
	"hash/crc32"
	"strconv"
)

type mode uint8

const (
	reading mode = iota
	appending
	printing
)

// XDR reads messages from a record, or appends or prints them. The zero value
// reads an empty record.
type XDR struct {
	b    []byte // reading: what is left; otherwise: what there is so far
	mode mode
	bad  bool
}

// Reader returns an XDR that reads p in place.
func Reader(p []byte) XDR { return XDR{b: p} }

func appender(b []byte) XDR { return XDR{b: b, mode: appending} }

// OK tells whether all that was read was there and had a meaning.
func (x *XDR) OK() bool { return !x.bad }

// Rest returns what has not been read, in place.
func (x *XDR) Rest() []byte { return x.b }

// fail makes all that follows fail too.
func (x *XDR) fail() { x.bad, x.b = true, nil }

// take returns the next n bytes, or nil if there are fewer.
func (x *XDR) take(n int) []byte {
	if n > len(x.b) {
		x.fail()
		return nil
	}
	p := x.b[:n:n]
	x.b = x.b[n:]
	return p
}

// label prints the name of a field.
func (x *XDR) label(name string) {
	x.b = append(x.b, ' ')
	if name != "" {
		x.b = append(append(x.b, name...), '=')
	}
}

func (x *XDR) uint32(name string, v *uint32) {
	switch x.mode {
	case reading:
		if p := x.take(4); p != nil {
			*v = binary.BigEndian.Uint32(p)
		}
	case appending:
		x.b = binary.BigEndian.AppendUint32(x.b, *v)
	case printing:
		x.label(name)
		x.b = strconv.AppendUint(x.b, uint64(*v), 10)
	}
}

func (x *XDR) uint64(name string, v *uint64) {
	switch x.mode {
	case reading:
		if p := x.take(8); p != nil {
			*v = binary.BigEndian.Uint64(p)
		}
	case appending:
		x.b = binary.BigEndian.AppendUint64(x.b, *v)
	case printing:
		x.label(name)
		x.b = strconv.AppendUint(x.b, *v, 10)
	}
}

// enum is a uint32 that is below n, printed by name.
func (x *XDR) enum(name string, v *uint32, names []string) {
	if x.mode == printing {
		x.label(name)
		x.b = append(x.b, nameOf(names, *v)...)
		return
	}
	x.uint32(name, v)
	if x.mode == reading && *v >= uint32(len(names)) {
		x.fail()
	}
}

func nameOf(names []string, v uint32) string {
	if v < uint32(len(names)) && names[v] != "" {
		return names[v]
	}
	return strconv.FormatUint(uint64(v), 10)
}

// bool is printed by its name if it is true. It is read as false where it
// fails, so that nothing that depends on it is looked for.
func (x *XDR) bool(name string, v *bool) {
	switch x.mode {
	case reading:
		p := x.take(4)
		if p == nil {
			*v = false
			return
		}
		n := binary.BigEndian.Uint32(p)
		if *v = n == 1; n > 1 {
			x.fail()
		}
	case appending:
		var n uint32
		if *v {
			n = 1
		}
		x.b = binary.BigEndian.AppendUint32(x.b, n)
	case printing:
		if *v && name != "" {
			x.b = append(append(x.b, ' '), name...)
		}
	}
}

// opaque is variable-length data of at most limit bytes; it prints nothing.
func (x *XDR) opaque(v *[]byte, limit int) {
	switch x.mode {
	case reading:
		*v = nil
		p := x.take(4)
		if p == nil {
			return
		}
		n := binary.BigEndian.Uint32(p)
		if uint64(n) > uint64(limit) {
			x.fail()
			return
		}
		if p = x.take(padded(int(n))); p != nil {
			*v = p[:n:n]
		}
	case appending:
		x.b = binary.BigEndian.AppendUint32(x.b, uint32(len(*v)))
		x.b = appendPad(append(x.b, *v...), len(*v))
	}
}

// padded is the length of n bytes of opaque data on the wire.
func padded(n int) int { return (n + 3) &^ 3 }

func appendPad(b []byte, n int) []byte { return append(b, "\x00\x00\x00"[:padded(n)-n]...) }

func (x *XDR) string(name string, v *[]byte, limit int) {
	x.opaque(v, limit)
	if x.mode == printing {
		x.label(name)
		x.b = strconv.AppendQuote(x.b, string(*v))
	}
}

// text is a string that is kept; only replies that clients read have them.
func (x *XDR) text(name string, v *string, limit int) {
	p := []byte(*v)
	if x.string(name, &p, limit); x.mode == reading {
		*v = string(p)
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// data is printed as its length and CRC-32C.
func (x *XDR) data(name string, v *[]byte, limit int) {
	x.opaque(v, limit)
	if x.mode == printing {
		x.label(name)
		x.b = append(strconv.AppendInt(x.b, int64(len(*v)), 10), ':')
		x.b = appendHex(x.b, crc32.Checksum(*v, castagnoli))
	}
}

// handle is printed as its CRC-32C, which tells few thousands apart.
func (x *XDR) handle(name string, v *[]byte) {
	x.opaque(v, maxHandle)
	if x.mode == printing {
		x.label(name)
		x.b = appendHex(x.b, crc32.Checksum(*v, castagnoli))
	}
}

func appendHex(b []byte, v uint32) []byte {
	const digits = "0123456789abcdef"
	for s := 28; s >= 0; s -= 4 {
		b = append(b, digits[v>>s&15])
	}
	return b
}

// verifier is eight bytes that only who made them knows the meaning of; it
// prints nothing, since a server's is another one at each start.
func (x *XDR) verifier(v *[8]byte) {
	switch x.mode {
	case reading:
		if p := x.take(8); p != nil {
			copy(v[:], p)
		}
	case appending:
		x.b = append(x.b, v[:]...)
	}
}

// list is a linked list of XDR: each element has a true in front, the end is a
// false. more is called to go on to element i, which it makes when reading.
func list[T any](x *XDR, v *[]T, element func(*T)) {
	if x.mode == reading {
		*v = nil
		for more := false; ; {
			if x.bool("", &more); !more {
				return
			}
			var e T
			if element(&e); x.bad {
				return
			}
			*v = append(*v, e)
		}
	}
	for i := range *v {
		yes := true
		x.bool("", &yes)
		element(&(*v)[i])
	}
	no := false
	x.bool("", &no)
}

package gonfs

import (
	"encoding/binary"

	nfs "github.com/willscott/go-nfs"

	"deltafs/billyfs"
)

// args walks the arguments from r by shape, keeps in c what go-nfs cannot
// carry to the tree, and appends to out what go-nfs is to see.
func (c *call) args(shape string, r *reader, out, tag []byte) []byte {
	for _, item := range shape {
		switch item {
		case 'h':
			h := r.opaque(maxHandle)
			out = putOpaque(out, h, tag)
			if c.proc == nfs.NFSProcedureLink {
				c.link.file, c.link.dir = c.link.dir, h
			}
		case 'n':
			name := r.opaque(maxName)
			out = putOpaque(out, name)
			c.link.name = string(name)
		case 'p':
			out = putOpaque(out, r.opaque(billyfs.MaxTarget+1))
		case 'd':
			out = putOpaque(out, r.opaque(maxData))
		case '4':
			out = append(out, r.take(4)...)
		case '8':
			out = append(out, r.take(8)...)
		case 'w':
			c.stable = r.u32()
			out = put32(out, c.stable)
		case 'r':
			c.cookie = r.u64()
			out = binary.BigEndian.AppendUint64(out, innerCookie(c.cookie))
		case 'm':
			c.room = r.u32()
			out = put32(out, roomFor(c.proc, c.room))
		case 's':
			out = c.attributes(r, out)
		case 'g':
			c.guard(r)
			out = put32(out, 0)
		case 'c':
			out = c.create(r, out)
		case 'k':
			out = c.mknod(r, out)
		}
	}
	return out
}

// attributes takes an sattr3. go-nfs would lose the upper mode bits and set
// one attribute after the other, so it is shown none, and the tree gets them
// all at once: with the new object, or, for SETATTR, in Chtimes, which go-nfs
// calls whenever there is an atime to set.
func (c *call) attributes(r *reader, out []byte) []byte {
	c.set = readAttributes(r)
	if c.proc == nfs.NFSProcedureSetAttr {
		return put32(out, 0, 0, 0, 0, 2, 0, 0, 0)
	}
	return put32(out, 0, 0, 0, 0, 0, 0)
}

func readAttributes(r *reader) billyfs.SetAttr {
	var s billyfs.SetAttr
	word := func() *uint32 {
		if r.u32() == 0 {
			return nil
		}
		v := r.u32()
		return &v
	}
	s.Mode, s.UID, s.GID = word(), word(), word()
	if r.u32() != 0 {
		v := r.u64()
		s.Size = &v
	}
	s.Atime, s.AtimeNow = readTime(r)
	s.Mtime, s.MtimeNow = readTime(r)
	return s
}

func readTime(r *reader) (ns *int64, now bool) {
	switch r.u32() {
	case 0:
	case 1:
		now = true
	case 2:
		ns = readNano(r)
	default:
		r.bad = true
	}
	return ns, now
}

func readNano(r *reader) *int64 {
	sec, nsec := r.u32(), r.u32()
	if nsec >= 1e9 {
		r.bad = true
	}
	v := int64(sec)*1e9 + int64(nsec)
	return &v
}

// guard keeps the ctime that a SETATTR wants the object to have.
func (c *call) guard(r *reader) {
	if r.u32() != 0 {
		c.set.Guard = readNano(r)
	}
}

// create takes a createhow3. Whatever it is, go-nfs is shown UNCHECKED without
// attributes, the one kind that it hands on without doing something of its own.
func (c *call) create(r *reader, out []byte) []byte {
	switch r.u32() {
	case 0:
		c.how.Mode = billyfs.Unchecked
		c.how.Attr = readAttributes(r)
	case 1:
		c.how.Mode = billyfs.Guarded
		c.how.Attr = readAttributes(r)
	case 2:
		c.how.Mode = billyfs.Exclusive
		if v := r.take(8); v != nil {
			c.how.Verifier = binary.BigEndian.Uint64(v)
		}
	default:
		r.bad = true
	}
	return put32(out, 0, 0, 0, 0, 0, 0, 0)
}

// mknod takes a mknoddata3. go-nfs makes nothing for a character device, so it
// is shown a block device, which differs in nothing else.
func (c *call) mknod(r *reader, out []byte) []byte {
	const block, char, socket, fifo = 3, 4, 6, 7
	typ := r.u32()
	switch typ {
	case block, char:
		c.node = billyfs.TypeBlock
		if typ == char {
			c.node = billyfs.TypeChar
		}
		out = c.attributes(r, put32(out, block))
		return append(out, r.take(8)...)
	case socket, fifo:
		c.node = billyfs.TypeFIFO
		if typ == socket {
			c.node = billyfs.TypeSocket
		}
		return c.attributes(r, put32(out, typ))
	}
	return put32(out, typ) // BADTYPE
}

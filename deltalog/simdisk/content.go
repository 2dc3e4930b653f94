package simdisk

import (
	"hash/maphash"
	"slices"
	"sync/atomic"
)

const (
	// SectorSize is what the disk writes atomically, in bytes.
	SectorSize = 512
	pageSize   = 4096
)

// token stands for the right to change a page in place. It is compared by
// address, so it must not be empty.
type token struct{ _ byte }

type page struct {
	tok  *token
	hash atomic.Uint64 // of data; 0 if unknown
	data [pageSize]byte
}

// content is the content of a file. INVARIANT: bytes of pages at and behind
// size are zero; a nil page is all zero.
type content struct {
	size  int64
	pages []*page
	tok   *token // pages that carry it are c's alone
}

func newContent() *content { return &content{tok: new(token)} }

// share returns a copy that shares all pages; from then on either side copies
// a page before it changes it.
func (c *content) share() *content {
	c.tok = new(token)
	return &content{size: c.size, pages: slices.Clone(c.pages), tok: new(token)}
}

// writable returns page i, made if missing and copied if shared.
func (c *content) writable(i int) *page {
	for len(c.pages) <= i {
		c.pages = append(c.pages, nil)
	}
	p := c.pages[i]
	switch {
	case p == nil:
		p = &page{tok: c.tok}
	case p.tok != c.tok:
		q := &page{tok: c.tok}
		q.data = p.data
		p = q
	default:
		p.hash.Store(0)
		return p
	}
	c.pages[i] = p
	return p
}

// read fills p with the bytes from off on, zeros where there are none.
func (c *content) read(p []byte, off int64) {
	for len(p) > 0 {
		i, at := int(off/pageSize), int(off%pageSize)
		n := min(pageSize-at, len(p))
		if i < len(c.pages) && c.pages[i] != nil {
			copy(p[:n], c.pages[i].data[at:])
		} else {
			clear(p[:n])
		}
		p, off = p[n:], off+int64(n)
	}
}

// write puts p at off; the file grows if it ends before p does.
func (c *content) write(p []byte, off int64) {
	c.size = max(c.size, off+int64(len(p)))
	for len(p) > 0 {
		i, at := int(off/pageSize), int(off%pageSize)
		n := copy(c.writable(i).data[at:], p)
		p, off = p[n:], off+int64(n)
	}
}

// resize cuts the file, or makes it longer with zeros.
func (c *content) resize(size int64) {
	if size < c.size {
		i, at := int(size/pageSize), int(size%pageSize)
		if at > 0 && i < len(c.pages) && c.pages[i] != nil {
			clear(c.writable(i).data[at:])
			i++
		}
		if i < len(c.pages) {
			clear(c.pages[i:])
			c.pages = c.pages[:i]
		}
	}
	c.size = size
}

// sum hashes the content; unchanged pages are hashed once.
func (c *content) sum(seed maphash.Seed) uint64 {
	h := uint64(c.size) * 0x9e3779b97f4a7c15
	for i, p := range c.pages {
		if p == nil {
			continue
		}
		ph := p.hash.Load()
		if ph == 0 {
			ph = maphash.Bytes(seed, p.data[:]) | 1
			p.hash.Store(ph)
		}
		h += mix(ph ^ uint64(i+1)*0xbf58476d1ce4e5b9)
	}
	return mix(h)
}

func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

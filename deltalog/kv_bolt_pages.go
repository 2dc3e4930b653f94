package deltalog

import (
	"encoding/binary"
	"hash/fnv"
	"os"

	"go.etcd.io/bbolt"
)

// Of bbolt's file format (version 2, see its internal/common), in bytes. Numbers are of the machine's own byte order.
const (
	boltHeader   = 16 // of a page: id u64, flags u16, elements u16, pages behind it that are of it u32
	boltElement  = 16 // branch: position u32, key u32, page u64; leaf: flags u32, position u32, key u32, value u32
	boltMeta     = 64 // magic, version, page size, flags u32 each; root and its sequence, freelist, pages, transaction, checksum u64 each
	boltBucket   = 16 // value of a leaf element with flag 1: root u64, sequence u64; root 0: a page of its own follows
	boltBranch   = 1
	boltLeaf     = 2
	boltFreelist = 16
)

// boltPages walks the pages of a database that can be reached, and makes sure that all which they point to is inside
// of them, and they inside of the file: else who follows them reads what is not there, which is a memory fault.
type boltPages struct {
	file *os.File
	size int64 // of a page
	all  uint64
	seen []uint64 // a bit for each page
}

// checkLayout does so for the state that a transaction sees.
func checkLayout(tx *bbolt.Tx) error {
	f, err := os.Open(tx.DB().Path())
	if err != nil {
		return err
	}
	defer f.Close()
	size := int64(tx.DB().Info().PageSize)
	for i := range int64(2) {
		var b [boltMeta]byte
		if _, err := f.ReadAt(b[:], i*size+boltHeader); err != nil {
			return indexBad("meta page %d: %v", i, err)
		}
		sum := fnv.New64a()
		sum.Write(b[:56])
		u64 := func(at int) uint64 { return binary.NativeEndian.Uint64(b[at:]) }
		if sum.Sum64() != u64(56) || u64(48) != uint64(tx.ID()) {
			continue
		}
		p := &boltPages{file: f, size: size, all: u64(40)}
		if st, err := f.Stat(); err != nil {
			return err
		} else if uint64(st.Size())/uint64(size) < p.all {
			return indexBad("the file has %d bytes, and should have %d pages of %d", st.Size(), p.all, size)
		}
		p.seen = make([]uint64, p.all/64+1)
		if free := u64(32); free != ^uint64(0) {
			if err := p.page(free, true); err != nil {
				return err
			}
		}
		return p.page(u64(16), false)
	}
	return indexBad("no meta page is of transaction %d", tx.ID())
}

// page checks a page, and those below it; free says that it is to be that of the free list.
func (p *boltPages) page(id uint64, free bool) error {
	if id < 2 || id >= p.all {
		return indexBad("page %d of %d", id, p.all)
	}
	var h [boltHeader]byte
	if _, err := p.file.ReadAt(h[:], int64(id)*p.size); err != nil {
		return indexBad("page %d: %v", id, err)
	}
	more := uint64(binary.NativeEndian.Uint32(h[12:]))
	if more >= p.all-id || binary.NativeEndian.Uint64(h[:]) != id {
		return indexBad("page %d has no header of its own", id)
	}
	for i := id; i <= id+more; i++ {
		if p.seen[i/64]&(1<<(i%64)) != 0 {
			return indexBad("page %d is in two places", i)
		}
		p.seen[i/64] |= 1 << (i % 64)
	}
	return p.elements(int64(id)*p.size, int64(more+1)*p.size, free)
}

// elements checks what a page points to that has n bytes and begins at an offset of the file.
func (p *boltPages) elements(at, n int64, free bool) error {
	if n < boltHeader {
		return indexBad("a page of %d bytes", n)
	}
	b := make([]byte, min(n, p.size))
	if _, err := p.file.ReadAt(b, at); err != nil {
		return indexBad("page at %d: %v", at, err)
	}
	flags, count := binary.NativeEndian.Uint16(b[8:]), int64(binary.NativeEndian.Uint16(b[10:]))
	if free {
		if count == 0xffff && n >= boltHeader+8 { // then the first of them is how many there are
			count = int64(min(binary.NativeEndian.Uint64(b[boltHeader:]), 1<<40)) + 1
		}
		if flags != boltFreelist || count > (n-boltHeader)/8 {
			return indexBad("the free list at %d is none", at)
		}
		return nil
	}
	end := boltHeader + count*boltElement
	if flags != boltBranch && flags != boltLeaf || end > n || flags == boltBranch && count == 0 {
		return indexBad("page at %d: flags %d, %d elements", at, flags, count)
	}
	if end > int64(len(b)) {
		b = make([]byte, end)
		if _, err := p.file.ReadAt(b, at); err != nil {
			return indexBad("page at %d: %v", at, err)
		}
	}
	for e := int64(boltHeader); e < end; e += boltElement {
		u32 := func(i int64) int64 { return int64(binary.NativeEndian.Uint32(b[e+i:])) }
		if flags == boltBranch {
			if e+u32(0)+u32(4) > n {
				return indexBad("page at %d: a key that ends behind it", at)
			}
			if err := p.page(binary.NativeEndian.Uint64(b[e+8:]), false); err != nil {
				return err
			}
			continue
		}
		value := e + u32(4) + u32(8)
		if value+u32(12) > n {
			return indexBad("page at %d: a value that ends behind it", at)
		}
		if u32(0)&1 == 0 {
			continue
		}
		var bucket [boltBucket]byte
		if u32(12) < boltBucket {
			return indexBad("page at %d: a bucket of %d bytes", at, u32(12))
		}
		if _, err := p.file.ReadAt(bucket[:], at+value); err != nil {
			return indexBad("page at %d: %v", at, err)
		}
		var err error
		if root := binary.NativeEndian.Uint64(bucket[:]); root != 0 {
			err = p.page(root, false)
		} else {
			err = p.elements(at+value+boltBucket, u32(12)-boltBucket, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

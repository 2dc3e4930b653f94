// Package handle packs the identity of an object into an NFSv3 file handle
// and back.
//
// A handle is 64 bytes, all fields little-endian:
//
//	 0  1  version, 2
//	 1  1  number of ancestor bytes, 0 to 22
//	 2  6  store: the beginning of SHA-256 over the store id
//	 8  8  view id
//	16  8  inode number
//	24  4  generation
//	28  8  number of the parent in the base, 0 for objects of the delta
//	36 22  ancestor bytes, unused ones zero
//	58  6  MAC: CBC-MAC of AES-256 over bytes 0 to 57, and zeros up to 64, with the store's key, truncated
//
// There is one encoding for one object, byte for byte: clients tell inodes
// apart by it. The MAC means that a client can use only handles that it was
// given, so what a handle says need not be checked further than that the
// object is still there. Six bytes are enough: guessing one is 2^47 calls on
// average, each of them a round trip. CBC-MAC is as good as its cipher where all
// messages have one length (Bellare, Kilian, Rogaway, "The Security of the Cipher
// Block Chaining Message Authentication Code", 2000). Each call checks at least one:
// HMAC-SHA256, of version 1, took three times as long.
package handle

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"deltafs/billyfs"
)

// Size is the length of every handle in bytes.
const Size = 64

// MaxAncestors is how many ancestor bytes a handle holds.
const MaxAncestors = 22

// The tree must not make more of them than fit: this does not compile then.
const _ = uint(MaxAncestors - billyfs.MaxAncestors)

const (
	version     = 2
	storeAt     = 2
	viewAt      = 8
	inoAt       = 16
	genAt       = 24
	parentAt    = 28
	ancestorsAt = 36
	macAt       = ancestorsAt + MaxAncestors
)

// ErrBad says that bytes are no handle that this store gave out: NFS3ERR_BADHANDLE.
var ErrBad = errors.New("not a handle of this export")

// Codec packs and unpacks the handles of one view of one store. It may be used
// concurrently.
type Codec struct {
	store [viewAt - storeAt]byte
	view  uint64
	fsid  uint64
	// makers are *maker: each call takes one, so that none leaves garbage.
	makers sync.Pool
}

// New returns the codec of a view of the store with that id. key must be
// secret, and the same at each start.
func New(store [16]byte, view uint64, key [32]byte) *Codec {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // of the length of the key alone
	}
	c := &Codec{view: view}
	c.makers.New = func() any { return &maker{block: block} }
	sum := sha256.Sum256(store[:])
	copy(c.store[:], sum[:])
	sum = sha256.Sum256(binary.LittleEndian.AppendUint64(sum[:], view))
	c.fsid = binary.LittleEndian.Uint64(sum[:8])
	if c.fsid == 0 {
		c.fsid = 1
	}
	return c
}

// FSID returns the number of the file system that clients see: derived from
// store and view, never 0.
func (c *Codec) FSID() uint64 { return c.fsid }

// Append appends the handle of h to dst.
func (c *Codec) Append(dst []byte, h *billyfs.Handle) []byte {
	at := len(dst)
	dst = append(dst, empty[:]...)
	b := dst[at:]
	n := int(min(h.Depth, MaxAncestors))
	b[0], b[1] = version, byte(n)
	copy(b[storeAt:], c.store[:])
	binary.LittleEndian.PutUint64(b[viewAt:], c.view)
	binary.LittleEndian.PutUint64(b[inoAt:], uint64(h.Ino))
	binary.LittleEndian.PutUint32(b[genAt:], h.Gen)
	binary.LittleEndian.PutUint64(b[parentAt:], uint64(h.Parent))
	copy(b[ancestorsAt:], h.Ancestors[:n])
	c.mac(b[macAt:], b[:macAt])
	return dst
}

var empty [Size]byte

// Owns tells whether b says that it is a handle of this store and view. Whether
// that is true is for Parse to say.
func (c *Codec) Owns(b []byte) bool {
	return len(b) == Size && bytes.Equal(b[storeAt:viewAt], c.store[:]) && binary.LittleEndian.Uint64(b[viewAt:]) == c.view
}

// Related tells whether b is a handle of this store, whatever its view.
func (c *Codec) Related(b []byte) bool {
	return len(b) == Size && bytes.Equal(b[storeAt:viewAt], c.store[:]) && c.checked(b)
}

// Parse returns the identity in b. Its errors wrap ErrBad and say what is
// wrong: length, version, another store or view, or the MAC.
func (c *Codec) Parse(b []byte) (billyfs.Handle, error) {
	if len(b) != Size {
		return billyfs.Handle{}, fmt.Errorf("%w: %d bytes", ErrBad, len(b))
	}
	n := int(b[1])
	if b[0] != version || n > MaxAncestors {
		return billyfs.Handle{}, fmt.Errorf("%w: version %d", ErrBad, b[0])
	}
	if !bytes.Equal(b[storeAt:viewAt], c.store[:]) || binary.LittleEndian.Uint64(b[viewAt:]) != c.view {
		return billyfs.Handle{}, fmt.Errorf("%w: of another store or view", ErrBad)
	}
	if !c.checked(b) {
		return billyfs.Handle{}, fmt.Errorf("%w: forged or damaged", ErrBad)
	}
	for _, x := range b[ancestorsAt+n : macAt] {
		if x != 0 { // signed by us, so it cannot be; but one object has one handle
			return billyfs.Handle{}, fmt.Errorf("%w: not in its one form", ErrBad)
		}
	}
	h := billyfs.Handle{
		Ino:    billyfs.Ino(binary.LittleEndian.Uint64(b[inoAt:])),
		Gen:    binary.LittleEndian.Uint32(b[genAt:]),
		Parent: billyfs.Ino(binary.LittleEndian.Uint64(b[parentAt:])),
		Depth:  uint8(n),
	}
	copy(h.Ancestors[:], b[ancestorsAt:ancestorsAt+n])
	return h, nil
}

// maker makes MACs with one key, one after the other.
type maker struct {
	block cipher.Block
	sum   [aes.BlockSize]byte
}

// mac writes the MAC of msg to dst.
func (c *Codec) mac(dst, msg []byte) {
	m := c.makers.Get().(*maker)
	copy(dst, m.of(msg))
	c.makers.Put(m)
}

// checked tells whether the MAC of a handle is right.
func (c *Codec) checked(b []byte) bool {
	m := c.makers.Get().(*maker)
	ok := subtle.ConstantTimeCompare(m.of(b[:macAt])[:Size-macAt], b[macAt:]) == 1
	c.makers.Put(m)
	return ok
}

// of returns the MAC of msg, valid until the next one.
func (m *maker) of(msg []byte) []byte {
	clear(m.sum[:])
	for len(msg) > 0 {
		n := subtle.XORBytes(m.sum[:], m.sum[:], msg) // at most a block
		m.block.Encrypt(m.sum[:], m.sum[:])
		msg = msg[n:]
	}
	return m.sum[:]
}

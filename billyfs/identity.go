package billyfs

import (
	"encoding/binary"
	"math/bits"

	"deltafs/deltalog"
)

// RootIno is the number of the root directory in every tree.
const RootIno Ino = 1

// firstIno is the lowest number that a hash may give: those below are reserved.
const firstIno Ino = 16

// hashKey is a key of SipHash-2-4.
type hashKey struct{ k0, k1 uint64 }

// keysOf splits a secret of the store into the key of numbers, which clients
// see, and the key of all else.
func keysOf(secret [32]byte) (numbers, others hashKey) {
	u := func(i int) uint64 { return binary.LittleEndian.Uint64(secret[i:]) }
	return hashKey{u(0), u(8)}, hashKey{u(16), u(24)}
}

// Tags keep hashes of different meaning apart.
const (
	tagPlain     = 'n' // number of (parent, name)
	tagShared    = 's' // number of (mount point, inode number)
	tagGen       = 'g' // generation of (parent, name, type)
	tagGenShared = 'h' // generation of (number, inode number, type)
	tagCookie    = 'c' // cookie of a name
)

// identity gives numbers and generations to objects of the base. It has no
// state: the same base and key give the same numbers in every process.
type identity struct {
	numbers, others hashKey
	mask            uint64 // all ones; tests narrow it to make numbers collide
}

func newIdentity(secret [32]byte) identity {
	n, o := keysOf(secret)
	return identity{numbers: n, others: o, mask: ^uint64(0)}
}

// plain is the number of a directory, or of a file with one name: a function
// of its parent's number and its name.
func (d *identity) plain(parent Ino, name string) Ino {
	return d.fold(d.numbers.sum(tagPlain, uint64(parent), 0, name))
}

// shared is the number of a file with several names. mount is the number of
// the directory that its file system is mounted on (device numbers change
// over reboots, places do not).
func (d *identity) shared(mount Ino, inode uint64) Ino {
	return d.fold(d.numbers.sum(tagShared, uint64(mount), inode, ""))
}

// fold makes a number of the base out of a hash: top bit clear, none reserved.
func (d *identity) fold(h uint64) Ino {
	n := Ino(h&d.mask) &^ deltalog.Born
	if n < firstIno {
		n += firstIno
	}
	return n
}

// genPlain is the generation of the object with number plain(parent, name).
// It hashes what the number does and the type, under another key, so neither a
// collision nor a change of type lets a handle reach another object.
func (d *identity) genPlain(parent Ino, name string, typ uint32) uint32 {
	return uint32(d.others.sum(tagGen, uint64(parent), uint64(typ), name) >> 32)
}

// genShared is the generation of the object with number ino = shared(_, inode).
func (d *identity) genShared(ino Ino, inode uint64, typ uint32) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], inode)
	return uint32(d.others.sum(tagGenShared, uint64(ino), uint64(typ), string(b[:])) >> 32)
}

// sum is SipHash-2-4 of the tag, a, b and s.
func (k hashKey) sum(tag byte, a, b uint64, s string) uint64 {
	var buf [17 + 256]byte
	m := append(buf[:0], tag)
	m = binary.LittleEndian.AppendUint64(m, a)
	m = binary.LittleEndian.AppendUint64(m, b)
	return k.sip(append(m, s...))
}

// sip is SipHash-2-4. hash/maphash would be faster, but its values differ from
// process to process, and these must last as long as the store.
func (k hashKey) sip(m []byte) uint64 {
	v := [4]uint64{
		k.k0 ^ 0x736f6d6570736575, k.k1 ^ 0x646f72616e646f6d,
		k.k0 ^ 0x6c7967656e657261, k.k1 ^ 0x7465646279746573,
	}
	last := uint64(len(m)) << 56
	for ; len(m) >= 8; m = m[8:] {
		w := binary.LittleEndian.Uint64(m)
		v[3] ^= w
		sipRound(&v)
		sipRound(&v)
		v[0] ^= w
	}
	for i, c := range m {
		last |= uint64(c) << (8 * i)
	}
	v[3] ^= last
	sipRound(&v)
	sipRound(&v)
	v[0] ^= last
	v[2] ^= 0xff
	for range 4 {
		sipRound(&v)
	}
	return v[0] ^ v[1] ^ v[2] ^ v[3]
}

func sipRound(v *[4]uint64) {
	v[0] += v[1]
	v[1] = bits.RotateLeft64(v[1], 13) ^ v[0]
	v[0] = bits.RotateLeft64(v[0], 32)
	v[2] += v[3]
	v[3] = bits.RotateLeft64(v[3], 16) ^ v[2]
	v[0] += v[3]
	v[3] = bits.RotateLeft64(v[3], 21) ^ v[0]
	v[2] += v[1]
	v[1] = bits.RotateLeft64(v[1], 17) ^ v[2]
	v[2] = bits.RotateLeft64(v[2], 32)
}

// Package wire encodes, decodes and prints the messages of NFSv3 and MOUNT
// (RFC 1813), PORTMAP (RFC 1833, section 3) and the ONC RPC around them (RFC
// 5531), in XDR (RFC 4506).
//
// # One description of each message
//
// Each message is a struct with one method, code, which walks its fields in the
// order of the wire with an [XDR]. What the XDR does at each field depends on
// its mode: it reads the field, appends it, or prints it. So the encoder, the
// decoder and the readable form of a message cannot disagree. What a
// description could still get wrong in all three ways is tested against an
// independent implementation, generated from the RFC's text.
//
// # Reading
//
// Nothing is allocated or copied: names, handles and data are slices of the
// record, valid as long as it is. Each length is checked against its limit and
// against what is left before anything is sliced; the first failure sticks, and
// [XDR.OK] reports it at the end. Enumerations and booleans that have no such
// value are failures. What follows behind a message is ignored, as by other
// servers; padding is not looked at.
//
// Limits, in bytes: handles 64; names 4096, so that a server can answer
// NFS3ERR_NAMETOOLONG to what is too long for it; targets of symlinks 65536;
// paths of MOUNT 1024; credentials 400; names of machines 255; 16 groups.
//
// # Appending
//
// Append methods append to a slice and return it, as those of encoding/binary
// do. Results hold the status, and what goes with it is what the RFC defines
// for it: a failure's body is shorter. READ, READDIR and READDIRPLUS have an
// interface of their own ([AppendReadSpace], [BeginReaddir],
// [BeginReaddirplus]) with which data and entries are put into the reply
// itself, with no copy.
//
// Nothing in this package has state; all of it may be used concurrently.
package wire

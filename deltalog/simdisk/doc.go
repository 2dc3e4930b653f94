// Package simdisk is a disk in memory that can crash and fail: a disk.FS that
// records every change in a trace, makes the image that a crash at any place of
// the trace can leave, and fails operations on demand. It is for tests.
//
// # What a crash does
//
// What was synced stays. Of the rest, each 512-byte sector of each file is by
// itself lost (its content at the last sync), kept, or left in a state between
// (sectors are atomic, writes are not, and their order means nothing). File
// lengths and operations on directories are lost or kept by themselves, in ways
// that a journaling file system can: an operation is never kept without those
// it builds on. The name of a file is durable after SyncDir only, whatever was
// synced of the file.
//
// A sync that fails leaves what it was to write readable but clean, as Linux
// does: a later sync does not write it, and the next crash loses it.
//
// # Speed
//
// Contents are pages that images share until they are written to, so an image
// costs about as much as what is unsynced in it. Replay walks a trace once and
// yields images at every position.
package simdisk

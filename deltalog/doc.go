// Package deltalog is the log-structured store of a DeltaFS delta: an
// append-only log of segments that holds every change, and a bbolt database
// that is nothing but an index of it.
//
// It stores records of a file tree (inodes, directory entries, origins, file
// data), each owned by one layer, and knows nothing of file-system rules:
// who may call what, when a name may be removed and what a whiteout hides is
// package billyfs's business.
//
// # The idea
//
// The log is the truth. All changes go to one head in one total order, in
// batches that are atomic. What has stayed unchanged for long is moved to cold
// segments, so that the space of the rest comes back. The state after a crash, any crash, is a prefix of
// that order, and at least as long as the last batch that Sync has
// acknowledged. The index can be deleted at any time: it is rebuilt from the
// log alone.
//
// # Life of a batch
//
// Append encodes the batch as frames ended by a COMMIT frame, gives it the
// next LSN, writes it to the head segment with one write(2), applies it to the
// memtable and returns. A process that is killed loses nothing that was
// appended. Sync waits until an fdatasync that began after the append has
// returned; all callers that wait at one time share one fdatasync. Who has other
// work to do meanwhile is told (SyncLater): a goroutine that lives as long as somebody
// is to be told has the fdatasyncs made, one behind the other, and another one tells those
// who are due while the disk works for the next. A checkpoint
// freezes the memtable and moves it into bbolt, in key order; replay at the
// next open starts behind it.
//
// # Files of a store
//
//	STORE/store            the superblock: text, written once (see below)
//	STORE/lock             flock(2)ed by the process that has the store open; names it
//	STORE/index.db         bbolt; may be deleted while the store is closed
//	STORE/log/%016x.seg    segments, named by their id in hexadecimal
//	STORE/aside/           what recovery cut off a torn tail, and orphaned segments
//
// All integers on disk are little-endian, except in index keys, which are
// big-endian so that they sort. All CRCs are CRC-32C (Castagnoli).
//
// # Superblock
//
// Lines of text, each ended by a newline: "deltafs store", "version 1",
// "id HEX" (16 random bytes), "key HEX" (32 random bytes; keys of hashes and
// handles are derived from it), "segment N" (bytes of a segment), "created
// RFC3339" (UTC), any number of "label NAME VALUE" (sorted by NAME; VALUE in Go
// quoting), and last "crc HEX": the CRC of all bytes before that line. It is
// written under a temporary name, synced, renamed, and the directory synced,
// after log/ and the first segment exist: with it the store begins to exist.
//
// # Segment
//
// A segment is a file of a fixed size, clamp(limit/256, 4 MiB, 64 MiB),
// preallocated. Ids rise and are never reused; the file of a freed segment is
// reused (recycled) by renaming it to a new id, so its old bytes are still in
// it, which the salt tells from new ones. While the log is synced by small pieces,
// zeros are written ahead of its end: they are no frames either. A segment begins
// with a header of 512 bytes:
//
//	 0  8  magic "DFSSEG1\n"
//	 8  4  format version, 1
//	12  4  kind: 1 hot (user operations), 2 cold (what the cleaner has moved)
//	16 16  store id
//	32  8  segment id
//	40  4  salt: random, of this incarnation of the file; never 0
//	44  4  chain: the chained CRC before the first batch of this segment
//	48  8  id of the segment that the log comes from, 0 for the first
//	56  8  end of the log in that segment: bytes behind it are not part of the log
//	64  8  LSN of the first batch of this segment
//	72  8  next inode number: no born number at or above it was given out before
//	80  8  creation time, nanoseconds since 1970 UTC
//	88  8  bytes appended to the log before this segment, headers and padding included
//	96  8  id of the oldest segment that was part of the log when this one was begun
//	104 -  zero
//	508 4  CRC of bytes 0..507, unseeded
//
// A segment gets its name (by rename) only when the file has its full size,
// durably, so one that is shorter is damaged. A header whose sector is zero, or
// that is a valid header with another id (a recycled file), means that the
// segment was never begun: it is a spare. Anything else that does not validate
// is damage.
//
// The hot log is the chain of hot segments that is found by following, from the
// segment with the highest id whose header is valid, the ids at offset 48 back
// to the oldest (the first, or the start named by the last TRIM frame, or by
// offset 96 if that is later). A segment that was begun before a crash while
// the header of the segment before it was lost has no chain, and the next lower
// one is taken. Segments with valid headers that are not on the chain are
// orphans of a torn tail; recovery moves them aside.
//
// # Frame
//
// Frames follow each other at multiples of 8 from offset 512 on:
//
//	 0  1  type
//	 1  1  flags: 1 payload is compressed, 2 relocated, 4 CRC table
//	 2  2  zero
//	 4  4  payload length in bytes, without padding
//	 8  8  LSN of the batch; a relocated frame keeps that of its original
//	16  8  inode
//	24  8  offset: DATA file offset; TRUNCATE new length; ENTRY cookie; SEAL see below
//	32  4  layer
//	36  4  length: DATA bytes of file data (uncompressed); ENTRY bytes of name
//	40  4  CRC of the payload (with a CRC table: of the table alone), seeded with the salt
//	44  4  CRC of bytes 0..43, seeded with the salt
//	48  -  payload, zero padding to a multiple of 8
//
//	type          inode    payload
//	1 INODE       inode    inode record: the whole state of the inode
//	2 ENTRY       parent   name, then inode u64, type u8 (S_IFMT >> 12), kind u8 (1 entry, 2 whiteout, 3 nothing), 6 zero
//	3 ENTRYGONE   parent   name: neither entry nor whiteout any more
//	4 DATA        inode    [CRC table] file data
//	5 TRUNCATE    inode    none: no extent at or beyond the offset any more
//	6 DROP        inode    none: the inode's record and all its extents are gone
//	7 ORIGIN      inode    parent u64, flags u32 (1 pinned: overrides the hash; 2 has a home), generation u32,
//	                       [home: parent u64, depth u8, 22 bytes of ancestors, zero u8], name
//	8 LAYER       0        layer record: the whole state of the layer
//	9 TRIM        0        id u64 of the oldest segment that is part of the log
//	10 COMMIT     0        see below
//	11 SEAL       0        footer: see below
//	12, 13                 reserved
//	14 COLD       0        for each cold segment of the log, by id: id u64, end u32, offset of its SEAL u32 or 0
//	15 LAYERGONE  0        none: there is no such layer any more, nor anything in it
//
// The layer of ORIGIN is 0: where an object lies in the base is the same for all. An ENTRY
// of layer 0 is a pin: the inode that a name in the base stands for. An INODE of
// layer 0 is a note of the caller's, under a number of his choice: its target alone says
// something. A TRUNCATE of layer 0 forgets an origin. Notes and pins are the intents and the
// results of commits to the base.
//
// COMMIT's inode field is the next inode number: no born number at or above it
// was given out before. What the table does not give is zero.
//
// DATA of more than 16 KiB has flag 4 and, before the data, one CRC (4 bytes,
// seeded with the salt) per 16 KiB of it; the table is padded to a multiple of
// 8. The payload length counts table, padding and data.
//
// DATA with flag 1, which only cold segments have, has no table: its payload is one
// zstd frame (RFC 8878), whose CRC is that of the payload, shorter than the data.
//
// COMMIT ends a batch. Payload:
//
//	 0  4  CRC of the headers of all frames of the batch before this one, in order, seeded with the salt
//	 4  4  chain: CRC of (chain before, 4 bytes; bytes 0..3; LSN, 8 bytes), unseeded
//	 8  8  LSN up to which the log was known to be synced when this was written
//	16  4  number of frames of the batch before this one
//	20  4  length of the caller tag, 0..64
//	24  -  caller tag
//
// A cold segment has no batches and no COMMITs: it is a row of frames of types 1
// to 8 and 15, each with the flag relocated and the LSN of its original (of DATA that was
// joined from several, the highest of theirs), ended by a SEAL with that flag too. Its header's fields for the chain are 0, but "first LSN",
// which is that of the next batch when it was begun. Up to "end" in the last COLD
// frame of the log its frames are durable; behind that, those that validate are.
// A hot segment begins with a batch that is a COLD frame if there were cold
// segments when it was begun; cold segments that the last one does not list are
// not part of the log.
//
// The offset of the SEAL of a cold segment is by how much the data in the segment is
// longer than the payloads that hold it, because of compression; that of a hot one is 0.
//
// A batch never crosses segments. SEAL is the last frame of a full segment (a
// batch of its own, with a COMMIT behind it, so it has an LSN); payload: for
// each (layer, inode) with frames of types 1 to 8 and 15 in the segment, sorted, 24
// bytes: layer u32, zero u32, inode u64, lowest LSN u64. A segment that a crash
// or a full disk ended has no SEAL. Room for it is kept free in each segment,
// and 2 KiB for COMMITs that cover the tail and for TRIM.
//
// An empty batch, nothing but a COMMIT whose synced LSN is the one before its
// own, covers the tail: it is written at Close and within a second of the last
// sync, so that damage before it is told from tearing.
//
// # Example
//
// A batch with LSN 2 in a segment with salt 0x1badcafe, after a batch with chain
// 0x01020304, when LSN 1 is known to be synced and the next inode number is
// 0x8000000000000002: it writes "hi" at offset 5 of inode 0x8000000000000001 of
// layer 1 and enters it as "a", with cookie 7, into directory 1; the caller tag
// is "t". (TestExampleOfTheFormat compares.)
//
//	04 00 00 00 02 00 00 00 02 00 00 00 00 00 00 00  DATA, 2 bytes of payload, LSN 2
//	01 00 00 00 00 00 00 80 05 00 00 00 00 00 00 00  inode, offset
//	01 00 00 00 02 00 00 00 67 70 b3 ed 84 8e 63 d8  layer, length, CRCs
//	68 69 00 00 00 00 00 00                          "hi", padding
//	02 00 00 00 11 00 00 00 02 00 00 00 00 00 00 00  ENTRY, 17 bytes of payload, LSN 2
//	01 00 00 00 00 00 00 00 07 00 00 00 00 00 00 00  directory, cookie
//	01 00 00 00 01 00 00 00 e1 0f 64 f6 08 66 02 76  layer, length of name, CRCs
//	61 01 00 00 00 00 00 00 80 08 01 00 00 00 00 00  "a", inode
//	00 00 00 00 00 00 00 00                          rest of it, S_IFREG >> 12, entry
//	0a 00 00 00 19 00 00 00 02 00 00 00 00 00 00 00  COMMIT, 25 bytes of payload, LSN 2
//	02 00 00 00 00 00 00 80 00 00 00 00 00 00 00 00  next inode number, zero
//	00 00 00 00 00 00 00 00 19 78 c2 da d3 3c dc 9d  zero, CRCs
//	ba 77 34 6f 4f cd 11 a3 01 00 00 00 00 00 00 00  CRC of headers, chain, synced LSN
//	02 00 00 00 01 00 00 00 74 00 00 00 00 00 00 00  2 frames, 1 byte of tag, "t"
//
// # Records
//
// Inode record, 160 bytes and the symlink target; if there is none, then 8 bytes at the
// end that are zero are left out as often as there are any, but not the first 8:
//
//	  0 4 mode (S_IFMT and 07777)   4 4 flags    8 4 nlink   12 4 zero
//	 16 4 uid   20 4 gid           24 4 rdev major           28 4 rdev minor
//	 32 8 size  40 8 lower length  48 8 atime   56 8 mtime   64 8 ctime (ns since 1970)
//	 72 8 parent (directories)     80 8 create verifier
//	 88 8 base inode  96 8 base size  104 8 base mtime  112 8 base ctime (the fingerprint)
//	120 8 below: up to where data of layers below shows        128 - zero, reserved
//	160 - symlink target
//
// Flags: 1 dead, 2 has a verifier, 4 has a fingerprint, 8 there is no such inode (it
// hides that of a layer below; all else is zero), 16 the times are set so that clients look
// again, and are no change.
//
// Layer record: parent layer u32 (0: none), flags u32 (1 frozen, 2 made by a
// rollback), view id u64, created u64, highest layer that there ever was u32 (of
// those that are no more; 0: not said), zero u32, name.
//
// # Layers
//
// A store begins with layer 1, "main". A snapshot freezes a live layer, gives it the
// snapshot's name, and stacks a new layer on it that goes on with the line. A fork stacks
// another live layer on a frozen one. Going back freezes the live layer under a name of
// its own and stacks a new one on the snapshot. Each is one batch of LAYER frames.
// Ids are never given out again; those of layers that lie over another are even, the
// others odd.
//
// What can be seen in a layer is what its records say, and where they say nothing
// what can be seen in the layer below. ENTRY with kind 3 and INODE with flag 8 say
// that there is nothing, where a layer below has something; where none has, ENTRYGONE
// and DROP leave nothing behind. Of a file's data, what the layer has wins; the rest
// shows from below up to the inode record's "below". So whoever changes a file's data
// has an inode record in the layer, and whoever truncates it lowers "below". Nothing
// of this is known to what reads and merges: a chain of layers looks like one.
//
// A layer that was dropped loses its name. If nothing lies over it, it is gone
// (LAYERGONE), and its pairs are deleted from the index bit by bit; frames of a layer
// that there is not are dead, whoever finds them. If one frozen layer lies over it, the two
// become one: inode by inode and name by name, what the upper one says is logged for the
// lower one and dropped from the upper one, in an order in which what can be seen stays the
// same after every batch; then the lower one takes the upper one's name. That costs as much as
// changed between the two. So there are at most three times as many layers as snapshots and
// lines, and a crash at any moment leaves nothing to repair.
//
// # Index
//
// Buckets of index.db. Values of the first four end in 16 bytes more than they
// show: LSN u64, CRC u32 (of the bucket's number with the form as its top bit, a byte; key; value; LSN),
// and form u32: 1 for packed extents, else 0:
//
//	inode    layer u32, inode u64                     frame pointer (16 bytes), inode record
//	entry    layer u32, parent u64, cookie u64, name  frame pointer, entry payload behind the name
//	origin   layer u32, inode u64                     frame pointer, ORIGIN payload
//	extent   layer u32, inode u64, start u64          extents, packed
//	layer    layer u32                                frame pointer, layer record
//	(origin: the layer is 0)
//	meta     "checkpoint": see index_meta.go; "live": live bytes per segment;
//	         "sum:BUCKET": count and sum of the bucket's pairs, kept in every transaction
//
// A frame pointer is segment u64, offset u32, frame bytes u32 (header and
// padding included). An extent is file offset u64, length u32, frame offset
// u32, segment u64, LSN u64 - and the position of its first byte in the frame's
// data follows from the file offset in the frame's header. Extents of a file
// lie in chunks of at most 4 MiB of the file and 4 KiB (31 extents
// are put into one, since a change writes all of it): the
// value at key start s holds the extents that begin at or after s and before
// the next key; no extent crosses a multiple of 4 MiB or the next key. In memory, and with form 0,
// an extent has these 32 bytes. With form 1 it has five variable-length integers (7 bits a byte, the lowest
// first, the top bit set if more follow), for a block of 4 KiB about 11 bytes: file offset less
// the end of the extent before (at first: less s); length; segment less that before (at first 0),
// 0, -1, 1, -2 as 0, 1, 2, 3; frame offset with its lowest 3 bits, which are 0, moved to the top;
// LSN less that before (at first: the one behind the value), as the segment is. In the memtable a
// chunk also says up to where no other begins, so that a look among what was written lately ends there. Chunks of the
// database that were read are kept, packed, until a checkpoint changes it (index_chunks.go).
//
// Live bytes of a segment: the frame bytes of each metadata value that points
// into it, and the length of each extent that points into it. They are counted as
// batches are applied; what a checkpoint stores is the count as of its position.
// Frames that nothing points to are dead.
//
// # Recovery
//
// Open reads the checkpoint position from the index, follows the chain behind
// it and applies every complete batch to the memtable. Records are states and
// the newer LSN wins, so replay over a half-done checkpoint is harmless. At the
// first frame that does not validate it looks ahead: if a later COMMIT is valid
// and its synced LSN is at least that of the broken batch, then acknowledged
// data is damaged and the store opens read-only, naming the files; otherwise
// this is the torn tail of a crash. If there are frames of this incarnation
// behind the last COMMIT, they are copied aside, and the log goes on in a new
// segment whose header says where the old one ends, so that they can never be
// taken for a part of it; if there are none, it goes on in place. Segments
// behind the torn tail are moved aside.
//
// That look ahead is over the rest of a segment, which is most of what opening a store
// of few changes takes. So Close says in the checkpoint that the log ends there, and an
// Open that will write takes that back, durably, before it does; where it stands, and
// nothing but zeros follows, there is no need to look.
//
// What was replayed and is not known to be synced is written anew, byte for
// byte, and synced before Open returns: after a failed fsync of an earlier
// process the kernel may show data that it has given up. Inode numbers continue
// 2^20 above the highest that a COMMIT, a segment header or the index has seen,
// at every open: more than can be in what a crash loses, since at most 64 MiB of
// log are ever unsynced.
//
// Replay begins at the start of the segment that holds the checkpoint position,
// so that the chain is verified from a header on; batches up to the checkpoint
// are verified and not applied. What the cleaner has moved since then is moved again:
// the frames of cold segments from where the list at the start of that segment says that
// they end, up to where the last list does, take over the pointers of records that the index has
// with the same LSN, and of data that it has with no higher LSN. An index whose position is not a batch's end
// there does not belong to this log and is rebuilt; an index that has seen more
// than the log holds means that acknowledged log is missing.
//
// # Trim
//
// At a checkpoint, the oldest segments before it of which nothing is live are dropped
// from the log: a TRIM frame is synced first, then the files become spares.
// As long as there are no cold segments a tombstone can go with them: all that it
// shadows is older. Records of layers that are all that is live in the oldest
// segment are logged anew.
//
// # Cleaning
//
// The cleaner frees a segment of which a part is live: the oldest hot one, so that
// the hot log stays one chain, and only if the checkpoint has passed it, or any cold one.
// Which, it tells by cost and benefit. It
//
//  1. copies what is live to a cold segment: records and data that the index has
//     there, and tombstones (ENTRYGONE, TRUNCATE, DROP) if another cold segment
//     holds any frame, live or dead, of that inode with a lower LSN (footers tell;
//     what is hot is newer). What was overwritten while it was hot, or in a segment of what had been so, in
//     the last rounds, goes to a head of its own, in a log of 32 segments or more: it will die sooner. Ranges of a
//     file that touch are joined, up to 256 KiB. Their LSN is the highest of theirs: nothing that was logged
//     between has changed any of them, or it would not be live.
//  2. syncs the copies, and then moves the index's pointers, a few at a time under
//     the append lock, each only if it still points to the original.
//     A cold segment is listed by a COLD frame before anything points into it.
//  3. logs a COLD frame (and TRIM, for a hot segment) that says up to where copies are
//     durable and moved, and leaves the segment out. When that is synced the file becomes a
//     spare. The database may still point into it; recovery moves those pointers again.
//
// A crash before the end leaves copies that nobody knows of, or that the index knows
// and the log has twice; the next cleaning goes on from there. To rebuild the index,
// the frames of the cold segments are applied in order of their LSNs (tombstones of
// a batch first: what they were written after is dead), and then the hot log, all
// of which is newer or the same again.
//
// It works by itself when few segments are left of those that the limit allows, or
// when more than half of a log of some size is dead; at the limit, appends wait for
// it, and when that takes long are told to try again (ErrBusy). Two segments are kept for that: one takes changes without data, so that
// removing works, and the cleaner's copies need one.
//
// # Salvage
//
// A store whose log is damaged opens read-only. Salvage makes another of what can be
// read, with the same id and key: each record that the index has, or that is valid in
// the log, and of file data each block of 16 KiB whose checksum is right. What is
// lost is zeros in the new store, and named.
//
// # Failure
//
// A failed fsync, or a write that fails with anything but ENOSPC or EDQUOT,
// poisons the store: it is read-only from then on, every waiter gets an error,
// and nothing is retried. ENOSPC ends the batch that met it, and nothing else
// is lost; the head is closed behind the last COMMIT, and the next batch begins
// a segment. A disk that has no room for another segment is a limit: as many files as
// there are then. Two spares more than the log needs are made before data goes into
// another segment, so that two are there when that happens, one for changes without data
// and one for the cleaner; STORE/ballast is removed when the index has no room to grow.
//
// # Concurrency and lock order
//
// All methods of Store may be called concurrently. Order of the locks:
//
//	settling   (one Settle at a time)
//	cleaner    (one segment at a time is cleaned)
//	checkpoint (one checkpoint at a time)
//	  append   (one batch at a time: LSN, write, memtable)
//	    sync     (state of group commit; never held over fdatasync)
//	    mem      (memtable pointers)
//	    segments (table of open segments)
//	    kept     (a part of the chunks that are kept; a leaf)
//
// Readers take mem and segments only, and never wait for an fsync, a
// checkpoint or bbolt's writer.
package deltalog

//go:build !planted

package deltalog

// Bugs that a test binary built with the tag "planted" can switch on, to prove
// that the ordinary tests catch them. In every other build they are constants,
// and the compiler leaves no trace of them.
const (
	plantSkipSync       = false // skip the fdatasync of a group commit
	plantAckEarly       = false // acknowledge before the sync has returned
	plantIgnoreSalt     = false // checksums do not depend on the segment's salt
	plantAcceptBadCRC   = false // a frame whose checksum is wrong is taken
	plantReplayPastTorn = false // replay goes on behind a torn COMMIT
	plantCkptEarly      = false // the checkpoint's LSN is written before its keys
	plantSkipDirSync    = false // skip the sync of a directory
	plantDropExtent     = false // the last extent of a batch does not reach the index
	plantRetryFsync     = false // a failed fsync is tried again, and believed
	plantReuseID        = false // a number that was given out is given out again
	plantSkipColdSync   = false // what the cleaner copies is not synced
	plantDropTombstone  = false // the cleaner drops every tombstone
	plantNoCAS          = false // the cleaner moves a pointer whatever it points to by then
	plantListLate       = false // a segment that is begun behind a list of cold segments has an older one
	plantFreeEarly      = false // a segment is freed before it is durable that the log does without it
	plantNoRedo         = false // what the cleaner has moved since the checkpoint is looked for where it was
	plantReuseLayer     = false // the number of a layer that is gone is given out again
	plantFoldNoData     = false // folding layers forgets file data
	plantShowBelow      = false // what a truncated file has in layers below shows through
	plantHideNothing    = false // removing hides nothing of layers below
	plantBottomFirst    = false // the lowest layer of a chain wins
	plantKeepDropped    = false // a dropped layer stays in the index
	plantSkipHarden     = false // what was replayed is not written and synced again
	plantTrimUnsynced   = false // a segment is recycled before it is durable that it was trimmed
	plantNoTruncate     = false // TRUNCATE leaves the extents as they are
	plantNoLookAhead    = false // whatever does not validate is taken for a torn tail
	plantHalfBatch      = false // a batch is taken without its first frames
	plantSpareSync      = false // the name of a new segment is not made durable
	plantShortBatch     = false // the frames of a batch go to the index, and its write is not looked at
	plantNoCover        = false // nothing says at the end that all before it is synced
	plantBehindEnd      = false // the list of cold segments is taken from behind the end of the log
	plantThawed         = false // changes go to frozen layers
)

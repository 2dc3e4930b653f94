//go:build planted

package deltalog

// See planted_off.go.
var (
	plantSkipSync       bool
	plantAckEarly       bool
	plantIgnoreSalt     bool
	plantAcceptBadCRC   bool
	plantReplayPastTorn bool
	plantCkptEarly      bool
	plantSkipDirSync    bool
	plantDropExtent     bool
	plantRetryFsync     bool
	plantReuseID        bool
	plantSkipColdSync   bool
	plantDropTombstone  bool
	plantNoCAS          bool
	plantFreeEarly      bool
	plantNoRedo         bool
	plantListLate       bool
	plantReuseLayer     bool
	plantFoldNoData     bool
	plantShowBelow      bool
	plantHideNothing    bool
	plantBottomFirst    bool
	plantKeepDropped    bool
	plantSkipHarden     bool
	plantTrimUnsynced   bool
	plantNoTruncate     bool
	plantNoLookAhead    bool
	plantHalfBatch      bool
	plantSpareSync      bool
	plantShortBatch     bool
	plantNoCover        bool
	plantBehindEnd      bool
	plantThawed         bool
)

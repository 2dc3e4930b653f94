package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"deltafs/deltalog"
)

// storeInfo is the summary of a store, as "info --json" and the control socket
// give it. Sizes are bytes. The second block is empty of a store at rest.
type storeInfo struct {
	Store       string       `json:"store"`
	Base        string       `json:"base"`
	ID          string       `json:"id"`
	Version     int          `json:"version"`
	Created     string       `json:"created"`
	LogBytes    uint64       `json:"log_bytes"`
	LiveBytes   uint64       `json:"live_bytes"`
	DiskBytes   uint64       `json:"disk_bytes"`
	SegmentSize int64        `json:"segment_size"`
	Segments    int          `json:"segments"`
	Spares      int          `json:"spares"`
	LastLSN     deltalog.LSN `json:"last_lsn"`
	SyncedLSN   deltalog.LSN `json:"synced_lsn"`
	Checkpoint  deltalog.LSN `json:"checkpoint_lsn"`
	Inodes      int          `json:"inodes"`
	Pins        int          `json:"pins"` // names of the base whose number commits have fixed
	ReadOnly    string       `json:"read_only,omitempty"`
	BaseMissing bool         `json:"base_missing,omitempty"`

	Running bool   `json:"running"`
	PID     int    `json:"pid,omitempty"`
	Addr    string `json:"addr,omitempty"`
	Started string `json:"started,omitempty"`
	Limit   int64  `json:"limit,omitempty"`
}

const infoLong = `Show what a store is and holds: its base, its sizes, how far its log has got.
Works on a store that is being served and on one at rest alike.

log bytes are all that was ever appended to the log, with headers and padding;
live bytes are those of them that still count; on disk is what the store's
files take, with segments that are prepared but not used yet.`

func newInfo(u *ui) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "info [STORE]",
		Short: "Show what a store is and holds",
		Long:  infoLong,
		Example: `  deltafs info ~/delta
  deltafs info --json ~/delta | jq .log_bytes
  cd /mnt && deltafs info`,
		Args:              takesStore(),
		ValidArgsFunction: directories,
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := findStore(first(args))
			if err != nil {
				return err
			}
			info, err := readInfo(c.Context(), dir)
			if err != nil {
				return err
			}
			if asJSON {
				return u.json(info)
			}
			return u.table(info.rows())
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// readInfo asks the server of a store, or else the store itself.
func readInfo(ctx context.Context, dir string) (storeInfo, error) {
	var info storeInfo
	if r, ok := dialServer(ctx, dir); ok {
		var err error
		if info, err = r.info(ctx); err != nil {
			return info, err
		}
	} else {
		s, err := openAtRest(dir, slog.New(slog.DiscardHandler))
		if err != nil {
			return info, err
		}
		defer s.Close()
		i, err := s.Info()
		if err != nil {
			return info, err
		}
		info = summary(dir, i)
	}
	st, err := os.Stat(info.Base)
	info.BaseMissing = err != nil || !st.IsDir()
	return info, nil
}

// summary turns deltalog's summary into ours.
func summary(dir string, i deltalog.Info) storeInfo {
	return storeInfo{
		Store: dir, Base: i.Labels[baseLabel], ID: hex.EncodeToString(i.ID[:]), Version: i.Version,
		Created:  time.Unix(0, i.Created).UTC().Format(time.RFC3339),
		LogBytes: i.LogBytes, LiveBytes: i.LiveBytes, DiskBytes: i.DiskBytes,
		SegmentSize: i.SegmentSize, Segments: i.Segments, Spares: i.Spares,
		LastLSN: i.LastLSN, SyncedLSN: i.SyncedLSN, Checkpoint: i.Checkpoint,
		Inodes: i.Inodes, Pins: i.Pins, ReadOnly: i.ReadOnly,
	}
}

// rows is the summary for people.
func (i storeInfo) rows() [][2]string {
	base := quote(i.Base)
	if i.BaseMissing {
		base += " (missing)"
	}
	rows := [][2]string{
		{"store", quote(i.Store)},
		{"base", base},
		{"id", i.ID},
		{"format", fmt.Sprintf("version %d, made %s", i.Version, i.Created)},
		{"served", i.served()},
		{"log bytes", size(i.LogBytes)},
		{"live bytes", size(i.LiveBytes)},
		{"on disk", size(i.DiskBytes)},
		{"segments", fmt.Sprintf("%d of %s, and %d spare", i.Segments, size(uint64(i.SegmentSize)), i.Spares)},
		{"changed", fmt.Sprintf("%d objects", i.Inodes)},
		{"pinned", fmt.Sprintf("%d names of the base", i.Pins)},
		{"history", fmt.Sprintf("%d batches, synced to %d, index at %d", i.LastLSN, i.SyncedLSN, i.Checkpoint)},
	}
	if i.Limit > 0 {
		rows = append(rows, [2]string{"limit", size(uint64(i.Limit))})
	}
	if i.ReadOnly != "" {
		rows = append(rows, [2]string{"read-only", i.ReadOnly})
	}
	return rows
}

func (i storeInfo) served() string {
	if !i.Running {
		return "no"
	}
	return fmt.Sprintf("on %s by process %d, since %s", i.Addr, i.PID, i.Started)
}

// size is a number of bytes for people: exact while short, else rounded.
func size(n uint64) string {
	if n < 10000 {
		return fmt.Sprintf("%d B", n)
	}
	return humanize.IBytes(n)
}

package main

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"

	"deltafs/billyfs"
)

// Auto-commit, --commit-when-full: when the delta is half full, or finds no room, its changes are
// committed to the base. Half, so that clients have room for what they write meanwhile.
const (
	autoCommitAt    = 0.5
	autoCommitPoll  = 100 * time.Millisecond
	autoCommitAgain = 10 * time.Second // after one that has failed
)

// autoCommit commits an export by itself.
type autoCommit struct {
	e      *export
	log    *slog.Logger
	wake   chan struct{}
	failed atomic.Int64 // when the last one has, nanoseconds since 1970; 0: it has not
}

func newAutoCommit(e *export, log *slog.Logger) *autoCommit {
	a := &autoCommit{e: e, log: log, wake: make(chan struct{}, 1)}
	e.store.SetRelief(a.relief)
	return a
}

// relief asks for a commit, and tells whether there will be one.
func (a *autoCommit) relief() bool {
	if at := a.failed.Load(); at != 0 && time.Since(time.Unix(0, at)) < autoCommitAgain {
		return false
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
	return true
}

// run commits whenever that is due, until ctx ends.
func (a *autoCommit) run(ctx context.Context) {
	tick := time.NewTicker(autoCommitPoll)
	defer tick.Stop()
	for {
		due := false
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
			due = true
		case <-tick.C:
			u, err := a.e.store.Usage()
			due = err == nil && u.Limit > 0 && float64(u.Used) >= autoCommitAt*float64(u.Limit)
		}
		if at := a.failed.Load(); due && (at == 0 || time.Since(time.Unix(0, at)) >= autoCommitAgain) {
			a.once(ctx)
		}
	}
}

func (a *autoCommit) once(ctx context.Context) {
	began := time.Now()
	r := commitRequest{onConflict: string(billyfs.ConflictSkip)}
	var end commitLine
	err := a.e.lines.commit(ctx, r, func(l commitLine) error {
		end = l
		return nil
	})
	after, _ := a.e.store.Usage()
	if ctx.Err() != nil {
		return
	}
	if err == nil && (end.Committed == nil || end.Made+end.Moved+end.Written+end.Removed == 0) {
		// Nothing of it could be committed: once more would be no better.
		a.log.Error("--commit-when-full has made no room", "store", a.e.Store, "conflicts", len(end.Conflicts),
			"hint", "\"deltafs commit\" says why")
		a.failed.Store(time.Now().UnixNano())
		return
	}
	if err != nil {
		a.log.Error("--commit-when-full", "store", a.e.Store, "err", err)
		a.failed.Store(time.Now().UnixNano())
		return
	}
	a.failed.Store(0)
	a.log.Info("the delta was committed to the base", "store", a.e.Store, "took", time.Since(began).Round(time.Millisecond),
		"bytes", humanize.IBytes(uint64(end.Bytes)), "used", humanize.IBytes(after.Used), "conflicts", len(end.Conflicts))
}

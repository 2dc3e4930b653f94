package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"deltafs/deltalog"
)

// level says how full a store is.
type level int32

const (
	levelOK level = iota
	levelWarn
	levelCritical
)

func (l level) String() string { return [...]string{"ok", "warn", "critical"}[l] }

// thresholds are parts of the limit at which a store is nearly full, and what is
// run then.
type thresholds struct {
	warn, critical float64
	command        string // for a shell; empty: none
}

// slack is how far usage must fall below a threshold before it counts as passed:
// so that a store at a threshold does not send a message a second.
const slack = 0.05

// next returns the level of a store that was at level now and is used so far.
func (t thresholds) next(now level, used float64) level {
	reached := func(l level, at float64) bool {
		if now >= l {
			at -= slack
		}
		return used >= at
	}
	switch {
	case reached(levelCritical, t.critical):
		return levelCritical
	case reached(levelWarn, t.warn):
		return levelWarn
	}
	return levelOK
}

// percent reads a flag such as 80%.
func percent(flag, s string) (float64, error) {
	n, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	if err != nil || !(n > 0 && n <= 100) {
		return 0, badFlag("%s %q: not a percentage such as 80%%", flag, s)
	}
	return n / 100, nil
}

// thresholds reads --warn, --critical and --on-threshold.
func (f serveFlags) thresholds() (t thresholds, err error) {
	if t.warn, err = percent("--warn", f.warn); err != nil {
		return t, err
	}
	if t.critical, err = percent("--critical", f.critical); err != nil {
		return t, err
	}
	if t.warn > t.critical {
		return t, badFlag("--warn %s is above --critical %s", f.warn, f.critical)
	}
	t.command = f.onThreshold
	return t, nil
}

// watch looks how full the store of an export is, once a second, until ctx ends.
func (e *export) watch(ctx context.Context, t thresholds, log *slog.Logger) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		u, err := e.store.Usage()
		if err == nil && u.Limit > 0 {
			now := level(e.level.Load())
			if next := t.next(now, float64(u.Used)/float64(u.Limit)); next != now {
				e.level.Store(int32(next))
				e.crossed(ctx, t, now, next, u, log)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// crossed tells the world that a store has another level now.
func (e *export) crossed(ctx context.Context, t thresholds, was, now level, u deltalog.Usage, log *slog.Logger) {
	say := log.Warn
	switch {
	case now == levelCritical:
		say = log.Error
	case now < was:
		say = log.Info
	}
	say("the delta has reached another threshold", "store", e.Store, "level", now.String(), "was", was.String(),
		"used", humanize.IBytes(u.Used), "of", humanize.IBytes(u.Limit))
	if t.command == "" {
		return
	}
	shell, flag := "/bin/sh", "-c"
	if runtime.GOOS == "windows" {
		shell, flag = "cmd", "/C"
	}
	cmd := exec.CommandContext(ctx, shell, flag, t.command)
	cmd.Env = append(os.Environ(), "DELTAFS_LEVEL="+now.String(), "DELTAFS_STORE="+e.Store,
		fmt.Sprint("DELTAFS_USED=", u.Used), fmt.Sprint("DELTAFS_LIMIT=", u.Limit))
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if text := strings.TrimSpace(string(out)); err != nil || text != "" {
		log.Info("--on-threshold", "store", e.Store, "err", err, "output", text)
	}
}

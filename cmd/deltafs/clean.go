package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"deltafs/deltalog"
)

const cleanLong = `Give back the space of what was overwritten or deleted since. What is still live
in a segment of the log is moved, and the segment freed.

A server does this by itself as the limit comes near, or when more than half of a
log is dead. This command does it now and more thoroughly, on a store at rest and
on one that is being served alike; clients go on meanwhile.`

// cleaned is what "clean --json" prints: a line now and then, the last with end.
type cleaned struct {
	Segments int   `json:"segments"` // freed so far
	Copied   int64 `json:"copied"`   // bytes of them that were live
	statusEnd
}

func newClean(u *ui) *cobra.Command {
	var asJSON bool
	var dead int
	c := &cobra.Command{
		Use:   "clean [STORE]",
		Short: "Give back the space of what was overwritten or deleted",
		Long:  cleanLong,
		Example: `  deltafs clean ~/delta
  deltafs clean -m 50 ~/delta      # only segments that are half dead`,
		Args:              takesStore(),
		ValidArgsFunction: directories,
		RunE: func(c *cobra.Command, args []string) error {
			if dead < 1 || dead > 100 {
				return &fault{Err: usagef("--min-reclaimable-blocks %d: not a percentage from 1 to 100", dead), Code: exitUsage, Hint: "deltafs clean --help"}
			}
			dir, err := findStore(first(args))
			if err != nil {
				return err
			}
			return clean(c.Context(), u, dir, float64(dead)/100, asJSON)
		},
	}
	c.Flags().IntVarP(&dead, "min-reclaimable-blocks", "m", 10, "clean segments of which at least this `PERCENTAGE` is dead")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// clean cleans a store, through its server if there is one.
func clean(ctx context.Context, u *ui, dir string, dead float64, asJSON bool) error {
	if err := storeExists(dir); err != nil {
		return err
	}
	var last cleaned
	told := time.Now()
	tell := func(c cleaned) error {
		last = c
		if !c.End && time.Since(told) < time.Second {
			return nil
		}
		told = time.Now()
		switch {
		case asJSON:
			return u.json(c)
		case c.End:
			return nil
		}
		return u.printf("%d segments freed, %s moved\n", c.Segments, humanize.IBytes(uint64(c.Copied)))
	}
	var err error
	if r, ok := dialServer(ctx, dir); ok {
		err = r.clean(ctx, dead, tell)
	} else {
		err = cleanAtRest(ctx, dir, dead, tell)
	}
	if err != nil || asJSON {
		return err
	}
	return u.printf("%s: %d segments freed, %s moved\n", quote(dir), last.Segments, humanize.IBytes(uint64(last.Copied)))
}

func cleanAtRest(ctx context.Context, dir string, dead float64, tell func(cleaned) error) error {
	s, err := deltalog.Open(dir, deltalog.Options{})
	if err != nil {
		return err
	}
	err = cleanStore(ctx, s, dead, tell)
	return errors.Join(err, s.Close())
}

// cleanStore cleans an open store until ctx ends.
func cleanStore(ctx context.Context, s *deltalog.Store, dead float64, tell func(cleaned) error) error {
	var told error
	sum, err := s.Clean(dead, func(c deltalog.Cleaned) bool {
		told = tell(cleaned{Segments: c.Segments, Copied: c.Copied})
		return told == nil && ctx.Err() == nil
	})
	if err = errors.Join(err, told, ctx.Err()); err != nil {
		return err
	}
	return tell(cleaned{Segments: sum.Segments, Copied: sum.Copied, statusEnd: statusEnd{End: true}})
}

// handleClean answers POST /v1/clean?dead=FRACTION with lines of cleaned.
func handleClean(w http.ResponseWriter, r *http.Request, e *export) {
	dead, err := strconv.ParseFloat(r.URL.Query().Get("dead"), 64)
	if err != nil || dead <= 0 || dead > 1 {
		replyError(w, fmt.Errorf("dead=%q is not a fraction", r.URL.Query().Get("dead")))
		return
	}
	enc := json.NewEncoder(w)
	flush := http.NewResponseController(w)
	err = cleanStore(r.Context(), e.store, dead, func(c cleaned) error {
		if err := enc.Encode(c); err != nil {
			return err
		}
		return flush.Flush()
	})
	if err != nil {
		_ = enc.Encode(cleaned{statusEnd: statusEnd{Error: err.Error()}}) // a client that has gone away notices the missing end
	}
}

// clean asks the server to clean.
func (r *remote) clean(ctx context.Context, dead float64, tell func(cleaned) error) error {
	path := "/v1/clean?dead=" + url.QueryEscape(strconv.FormatFloat(dead, 'g', -1, 64))
	return r.call(ctx, http.MethodPost, path, func(body io.Reader) error { return eachLine(body, tell) })
}

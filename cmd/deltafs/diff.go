package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"deltafs/billyfs"
	"deltafs/deltalog"
)

const diffLong = `Show what a line changes of the base, as a patch: "git apply" takes all of it, in a
copy of the base, and patch(1) the texts. Binary files are in it whole, renames as
renames. Lines that begin with # name what a patch cannot hold: special files, and
files of more than 64 MiB, with the ranges that have changed; both programs skip them.
Owners, times, empty directories and all of modes but x are not in it: see status.`

// alwaysIgnored is what systems leave behind: files that are open and removed, and those
// of the Finder.
var alwaysIgnored = []string{".nfs*", "._*", ".DS_Store"}

// ignoring tells which paths stay out: those of which a part matches a pattern, or the
// whole, if the pattern has a slash.
func ignoring(patterns []string) (func(string) bool, error) {
	ignored, err := billyfs.Ignored(slices.Concat(patterns, alwaysIgnored))
	if err != nil {
		return nil, &fault{Err: usagef("--ignore: %v: not a pattern such as *.o or build/*", err), Code: exitUsage}
	}
	return ignored, nil
}

// ignoreFlag is --ignore.
func ignoreFlag(c *cobra.Command, patterns *[]string) {
	c.Flags().StringArrayVar(patterns, "ignore", nil, "leave out paths that match this `PATTERN`, such as *.o or build/*; may be repeated")
}

func newDiff(u *ui) *cobra.Command {
	var fork string
	var ignore []string
	c := &cobra.Command{
		Use:   "diff [STORE] [PATH...]",
		Short: "Show the changes as a patch",
		Long:  diffLong,
		Example: `  deltafs diff ~/delta
  cp -a base copy && deltafs diff ~/delta | git -C copy apply
  deltafs diff --fork try-this --ignore '*.o' ~/delta`,
		ValidArgsFunction: directories,
		RunE: func(c *cobra.Command, args []string) error {
			dir, paths, err := storeAndPaths(args)
			if err != nil {
				return err
			}
			if _, err := ignoring(ignore); err != nil {
				return err
			}
			w := bufio.NewWriter(u.out)
			if err := diff(c.Context(), w, dir, fork, paths, ignore); err != nil {
				return err
			}
			return w.Flush()
		},
	}
	forkFlag(c, &fork)
	ignoreFlag(c, &ignore)
	return c
}

// diff asks the server of a store, or else the store itself.
func diff(ctx context.Context, w io.Writer, dir, fork string, paths, ignore []string) error {
	if r, ok := dialServer(ctx, dir); ok {
		return r.diff(ctx, w, fork, paths, ignore)
	}
	return withLines(dir, deltalog.Options{ReadOnly: true}, func(ls *lines) error { return ls.diff(w, fork, paths, ignore) })
}

func (ls *lines) diff(w io.Writer, fork string, paths, ignore []string) error {
	skip, err := ignoring(ignore)
	if err != nil {
		return err
	}
	t, err := ls.tree(fork)
	if err != nil {
		return err
	}
	return t.Diff(w, func(p string) bool { return skip(p) || !leadingTo(paths, p) })
}

// diffTrailer is the trailer of a patch from a server: "ok", or why it ends early.
const diffTrailer = "Deltafs-End"

// handleDiff answers GET /v1/diff?fork=LINE&path=PATH&ignore=PATTERN.
func handleDiff(w http.ResponseWriter, r *http.Request, e *export) {
	q := r.URL.Query()
	w.Header().Set("Trailer", diffTrailer)
	w.Header().Set("Content-Type", "text/x-diff")
	b := bufio.NewWriterSize(w, 64<<10)
	err := e.lines.diff(b, q.Get("fork"), q["path"], q["ignore"])
	if err = errors.Join(err, b.Flush()); err != nil {
		w.Header().Set(diffTrailer, strings.ReplaceAll(err.Error(), "\n", "; "))
		return
	}
	w.Header().Set(diffTrailer, "ok")
}

func (r *remote) diff(ctx context.Context, w io.Writer, fork string, paths, ignore []string) error {
	q := url.Values{"fork": {fork}, "path": paths, "ignore": ignore}
	return r.callFor(ctx, http.MethodGet, "/v1/diff?"+q.Encode(), func(resp *http.Response) error {
		if _, err := io.Copy(w, resp.Body); err != nil {
			return err
		}
		return ended(resp)
	})
}

// ended says how the body of a reply has ended, once it is read.
func ended(resp *http.Response) error {
	switch end := resp.Trailer.Get(diffTrailer); end {
	case "ok":
		return nil
	case "":
		return io.ErrUnexpectedEOF
	default:
		return errors.New(end)
	}
}

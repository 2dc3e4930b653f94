package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"deltafs/billyfs"
	"deltafs/deltalog"
)

func newTop(u *ui) *cobra.Command {
	var fork string
	var n int
	var asJSON bool
	c := &cobra.Command{
		Use:   "top [STORE]",
		Short: "Show the files of which the delta holds most",
		Long: `Show the files of which the delta holds most: bytes that are its own, bytes of the
whole file, path. What snapshots and other lines hold besides is not in it.`,
		Example: `  deltafs top ~/delta
  deltafs top -n 3 --json ~/delta | jq -r '.[].path'`,
		Args:              takesStore(),
		ValidArgsFunction: directories,
		RunE: func(c *cobra.Command, args []string) error {
			if n < 1 {
				return &fault{Err: usagef("-n %d: not a number of files", n), Code: exitUsage, Hint: "deltafs top --help"}
			}
			dir, err := findStore(first(args))
			if err != nil {
				return err
			}
			list, err := readTop(c.Context(), dir, fork, n)
			if err != nil {
				return err
			}
			if asJSON {
				return u.json(list)
			}
			for _, e := range list {
				if err := u.printf("%9s  %9s  %s\n", humanize.IBytes(e.Bytes), humanize.IBytes(e.Size), quote(e.Path)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().IntVarP(&n, "number", "n", 20, "how many files to show")
	forkFlag(c, &fork)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// readTop asks the server of a store, or else the store itself.
func readTop(ctx context.Context, dir, fork string, n int) (list []billyfs.TopEntry, err error) {
	if r, ok := dialServer(ctx, dir); ok {
		q := url.Values{"fork": {fork}, "n": {strconv.Itoa(n)}}
		err = r.call(ctx, http.MethodGet, "/v1/top?"+q.Encode(), func(body io.Reader) error {
			return json.NewDecoder(body).Decode(&list)
		})
		return list, err
	}
	err = withLines(dir, deltalog.Options{ReadOnly: true}, func(ls *lines) error {
		list, err = ls.top(fork, n)
		return err
	})
	return list, err
}

func (ls *lines) top(fork string, n int) ([]billyfs.TopEntry, error) {
	t, err := ls.tree(fork)
	if err != nil {
		return nil, err
	}
	return t.Top(n)
}

// handleTop answers GET /v1/top?fork=LINE&n=N.
func handleTop(w http.ResponseWriter, r *http.Request, e *export) {
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil || n < 1 {
		replyError(w, fmt.Errorf("n=%q is not a number of files", r.URL.Query().Get("n")))
		return
	}
	list, err := e.lines.top(r.URL.Query().Get("fork"), n)
	if err != nil {
		replyError(w, err)
		return
	}
	reply(w, list)
}

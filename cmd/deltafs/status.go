package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"deltafs/billyfs"
	"deltafs/billyfs/rootfs"
	"deltafs/deltalog"
)

// change is one changed path, as "status --json" and the control socket give it.
type change struct {
	Code     string `json:"code"`
	Path     string `json:"path"`
	From     string `json:"from,omitempty"` // where a renamed object was
	Size     uint64 `json:"size"`           // bytes
	Conflict string `json:"conflict,omitempty"`
}

func changeOf(e billyfs.StatusEntry) change {
	return change{Code: string(rune(e.Code)), Path: e.Path, From: e.From, Size: e.Size, Conflict: e.Conflict}
}

const statusLong = `List what the delta changes of its base, one path a line. It takes as long as
there are changes, however large the base is (but the base is walked for the other names
of a changed file that has lost the one that it was known by). The codes are

  A  added              M  content changed        m  mode, owner or times changed
  D  deleted            R  renamed (from -> to)   T  type changed

A directory that was deleted is one line, whatever was in it. A conflict means
that the base has changed underneath the change. What systems leave behind (.nfs*, ._*,
.DS_Store) stays out.`

func newStatus(u *ui) *cobra.Command {
	var asJSON bool
	var fork string
	var ignore []string
	c := &cobra.Command{
		Use:   "status [STORE] [PATH...]",
		Short: "List the changed paths",
		Long:  statusLong,
		Example: `  deltafs status ~/delta
  deltafs status --json ~/delta | jq -r 'select(.code == "A") | .path'
  cd /mnt && deltafs status`,
		ValidArgsFunction: directories,
		RunE: func(c *cobra.Command, args []string) error {
			dir, paths, err := storeAndPaths(args)
			if err != nil {
				return err
			}
			skip, err := ignoring(ignore)
			if err != nil {
				return err
			}
			return u.buffered(func(u *ui) error {
				return eachChange(c.Context(), dir, fork, func(ch change) error {
					if skip(ch.Path) || !billyfs.Under(paths, ch.Path) {
						return nil
					}
					if asJSON {
						return u.json(ch)
					}
					return u.printf("%s\n", ch.line())
				})
			})
		},
	}
	forkFlag(c, &fork)
	ignoreFlag(c, &ignore)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object a line")
	return c
}

// eachChange asks the server of a store, or else the store itself.
func eachChange(ctx context.Context, dir, fork string, fn func(change) error) error {
	if r, ok := dialServer(ctx, dir); ok {
		return r.status(ctx, fork, fn)
	}
	return withLines(dir, deltalog.Options{ReadOnly: true}, func(ls *lines) error {
		tree, err := ls.tree(fork)
		if err != nil {
			return err
		}
		return tree.Status(func(e billyfs.StatusEntry) error { return fn(changeOf(e)) })
	})
}

// withLines calls fn with the lines of a store at rest.
func withLines(dir string, o deltalog.Options, fn func(*lines) error) (err error) {
	if err := storeExists(dir); err != nil {
		return err
	}
	o.Log = slog.New(slog.DiscardHandler)
	s, err := deltalog.Open(dir, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	dirBase, err := realBase(s.Label(baseLabel))
	if err != nil {
		return err
	}
	base, err := rootfs.Open(dirBase)
	if err != nil {
		return &fault{Op: "open", Path: dirBase, Err: bare(err), Code: exitBase}
	}
	defer base.Close()
	ls := newLines(base, s, dir, billyfs.Options{Log: o.Log})
	defer ls.close()
	return fn(ls)
}

// line is the change for people.
func (c change) line() string {
	s := c.Code + " " + quote(c.Path)
	if c.From != "" {
		s = c.Code + " " + quote(c.From) + " -> " + quote(c.Path)
	}
	if c.Conflict != "" {
		s += fmt.Sprintf("  (conflict: %s)", c.Conflict)
	}
	return s
}

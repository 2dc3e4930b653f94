package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"deltafs/billyfs"
)

func newDiscard(u *ui) *cobra.Command {
	v := verb{Do: "discard"}
	c := &cobra.Command{
		Use:   "discard [STORE] [PATH...]",
		Short: "Give up changes for good, all of a line or those of some paths",
		Long: `Give up changes for good: all of a line, which shows what the base is again, or those
at and below some paths, with what they cannot be given up without: what was renamed gets
its old name back, and with a new directory goes all that is in it. Snapshots and
other lines stay. Clients of a running server see it when they look again; files that
the base does not have are gone. Take a snapshot before if you may want them back.`,
		Example: `  deltafs discard ~/delta
  deltafs discard ~/delta etc/hosts
  deltafs discard --fork try-this ~/delta`,
		ValidArgsFunction: directories,
		RunE: func(c *cobra.Command, args []string) (err error) {
			var dir string
			if dir, v.Paths, err = storeAndPaths(args); err != nil {
				return err
			}
			d, err := changeLines(c.Context(), dir, v)
			if err != nil {
				return err
			}
			if len(v.Paths) == 0 {
				return u.printf("%s is what the base is; changes given up: %d\n", v.Fork, d.Changes)
			}
			for _, p := range d.Paths {
				if err := u.printf("given up: %s\n", quote(p)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	forkFlag(c, &v.Fork)
	return c
}

func newAcceptBase(u *ui) *cobra.Command {
	v := verb{Do: "accept-base"}
	c := &cobra.Command{
		Use:   "accept-base [STORE] PATH...",
		Short: "Take the base as it is now under changes that are in conflict with it",
		Long: `Take the base as it is now under changes that are in conflict with it: what the delta
holds of a file lies over the content that the base has now, and what the delta has removed or
replaced stays so. Status shows no conflict any more, and commit goes through. If
that is not what the file should be, "deltafs discard" gives the change up instead,
and "deltafs export" writes it elsewhere.`,
		Example: `  deltafs status ~/delta
  deltafs accept-base ~/delta etc/hosts`,
		ValidArgsFunction: directories,
		RunE: func(c *cobra.Command, args []string) (err error) {
			var dir string
			if dir, v.Paths, err = storeAndPaths(args); err != nil {
				return err
			}
			if len(v.Paths) == 0 {
				return &fault{Err: usagef("deltafs accept-base: takes [STORE] PATH..."), Code: exitUsage, Hint: "deltafs accept-base --help"}
			}
			d, err := changeLines(c.Context(), dir, v)
			if err != nil {
				return err
			}
			if len(d.Paths) == 0 {
				return u.printf("nothing there is in conflict with the base\n")
			}
			for _, p := range d.Paths {
				if err := u.printf("accepted: %s\n", quote(p)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	forkFlag(c, &v.Fork)
	return c
}

// changePaths is discard, and accept-base.
func changePaths(t *billyfs.Tree, v verb) (d done, err error) {
	switch {
	case v.Do == "accept-base" && len(v.Paths) == 0:
		return d, fmt.Errorf("accept-base: no path")
	case v.Do == "accept-base":
		d.Paths, err = t.AcceptBase(v.Paths)
		d.Changes = len(d.Paths)
		return d, err
	case len(v.Paths) > 0:
		d.Paths, err = t.DiscardPaths(v.Paths)
		d.Changes = len(d.Paths)
		return d, err
	}
	err = t.Status(func(billyfs.StatusEntry) error {
		d.Changes++
		return nil
	})
	if err != nil {
		return d, err
	}
	return d, t.Discard()
}

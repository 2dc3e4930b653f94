package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"deltafs/billyfs"
	"deltafs/deltalog"
)

// forkFlag is --fork.
func forkFlag(c *cobra.Command, fork *string) {
	c.Flags().StringVar(fork, "fork", billyfs.MainLine, "the line that it is about, by its `NAME`")
}

// verbCommand is a command that changes lines or snapshots: [STORE] NAME.
type verbCommand struct {
	verb
	nameless                  bool // [STORE] alone
	use, short, long, example string
	flags                     func(c *cobra.Command, v *verb)
	say                       func(v verb, d done) string
}

func (vc verbCommand) command(u *ui) *cobra.Command {
	v := vc.verb
	takesArgs := takes(1, 2, "[STORE] NAME")
	if vc.nameless {
		takesArgs = takesStore()
	}
	c := &cobra.Command{
		Use: vc.use, Short: vc.short, Long: vc.long, Example: vc.example,
		Args:              takesArgs,
		ValidArgsFunction: directories,
		RunE: func(c *cobra.Command, args []string) error {
			if !vc.nameless {
				v.Name, args = args[len(args)-1], args[:len(args)-1]
			}
			dir, err := findStore(first(args))
			if err != nil {
				return err
			}
			d, err := changeLines(c.Context(), dir, v)
			if err != nil {
				return err
			}
			return u.printf("%s\n", vc.say(v, d))
		},
	}
	if vc.flags != nil {
		vc.flags(c, &v)
	}
	return c
}

// changeLines asks the server of a store, or else changes the store itself.
func changeLines(ctx context.Context, dir string, v verb) (d done, err error) {
	if r, ok := dialServer(ctx, dir); ok {
		return r.change(ctx, v)
	}
	err = withLines(dir, deltalog.Options{}, func(ls *lines) error {
		d, err = ls.change(v)
		return err
	})
	return d, err
}

// newVerbs are the commands of all verbs.
func newVerbs(u *ui) []*cobra.Command {
	fork := func(c *cobra.Command, v *verb) { forkFlag(c, &v.Fork) }
	var cs []*cobra.Command
	for _, vc := range []verbCommand{
		{
			verb: verb{Do: "snapshot"}, flags: fork,
			use: "snapshot [STORE] NAME", short: "Keep what a line is now under a name",
			long: `Keep what a line is now under a name, to come back to with rollback or to begin a
fork with. It takes well under a millisecond whatever the line holds, clients go on
meanwhile, and nothing is copied: from then on the snapshot costs the space of what it
has and the line has not any more.`,
			example: `  deltafs snapshot ~/delta before-upgrade
  cd /mnt && deltafs snapshot before-upgrade`,
			say: func(v verb, _ done) string { return fmt.Sprintf("%s is kept as %s", v.Fork, v.Name) },
		},
		{
			verb: verb{Do: "rollback"}, flags: fork,
			use: "rollback [STORE] NAME", short: "Make a line what a snapshot is",
			long: `Make a line what a snapshot is. What it was is kept as a snapshot of its own, so
that a rollback can be rolled back; drop gives that up. Clients of a running server
see the change when they look again: what has changed has new times, and files that
the snapshot does not have are gone.`,
			example: `  deltafs rollback ~/delta before-upgrade`,
			say: func(v verb, d done) string {
				return fmt.Sprintf("%s is what %s is; what it was is kept as %s", v.Fork, v.Name, d.Saved)
			},
		},
		{
			verb: verb{Do: "fork"}, flags: func(c *cobra.Command, v *verb) {
				forkFlag(c, &v.Fork)
				c.Flags().StringVar(&v.From, "from", "", "begin with what this `SNAPSHOT` is, and not with the line as it is")
			},
			use: "fork [STORE] NAME", short: "Begin another line, with changes of its own",
			long: `Begin another line: it shows what the line that it comes from is now, or what a
snapshot is, and its changes are its own. A server shows it as HOST:/@NAME, beside the
others. Nothing is copied.`,
			example: `  deltafs fork ~/delta try-this
  sudo mount -t nfs -o vers=3,proto=tcp,mountproto=tcp,port=2049,mountport=2049,nolock localhost:/@try-this /mnt`,
			say: func(v verb, _ done) string {
				of := v.From
				if of == "" {
					of = v.Fork
				}
				return fmt.Sprintf("%s begins as %s is; a server shows it as /@%s", v.Name, of, v.Name)
			},
		},
		{
			verb: verb{Do: "accept"}, flags: fork,
			use: "accept [STORE] NAME", short: "Make a line what a fork of it is",
			long: `Make a line what a fork of it is, and give up the fork: what was tried is kept. If
the line itself has changed since the fork was begun, nothing happens, and the changes
are named. Mounts of the fork are stale; those of the line see the change when they
look again. Nothing is copied.`,
			example: `  deltafs fork ~/delta try-this
  deltafs accept ~/delta try-this`,
			say: func(v verb, _ done) string { return fmt.Sprintf("%s is what %s was", v.Fork, v.Name) },
		},
		{
			verb: verb{Do: "drop"},
			use:  "drop [STORE] NAME", short: "Give up a snapshot or a fork for good",
			long: `Give up a snapshot or a fork for good. What only it held is deleted, and its space
comes back by and by. Mounts of a fork that is dropped are stale. The line main stays.`,
			example: `  deltafs drop ~/delta before-upgrade`,
			say:     func(v verb, _ done) string { return v.Name + " is dropped" },
		},
		{
			verb: verb{Do: "flatten"}, flags: fork, nameless: true,
			use: "flatten [STORE]", short: "Give up all snapshots that a line goes back to",
			long: `Give up all snapshots that a line goes back to, at once: what the line shows stays as it
is, and what only they held is deleted; its space comes back by and by. Forks stay, and so do
snapshots that a rollback has kept.`,
			example: `  deltafs flatten ~/delta`,
			say: func(v verb, d done) string {
				if len(d.Dropped) == 0 {
					return v.Fork + " goes back to no snapshot"
				}
				return "dropped: " + strings.Join(d.Dropped, ", ")
			},
		},
	} {
		cs = append(cs, vc.command(u))
	}
	return cs
}

func newList(u *ui) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list [STORE]",
		Short: "List lines and snapshots",
		Long: `List what lines and snapshots a store has. A line is live: main, and those that fork
has begun. A snapshot is marked "automatic" if a rollback has made it.`,
		Example: `  deltafs list ~/delta
  deltafs list --json ~/delta | jq -r '.[] | select(.kind == "snapshot") | .name'`,
		Args:              takesStore(),
		ValidArgsFunction: directories,
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := findStore(first(args))
			if err != nil {
				return err
			}
			list, err := readLines(c.Context(), dir)
			if err != nil {
				return err
			}
			if asJSON {
				return u.json(list)
			}
			for _, l := range list {
				if err := u.printf("%s\n", l.line()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func readLines(ctx context.Context, dir string) ([]lineInfo, error) {
	if r, ok := dialServer(ctx, dir); ok {
		return r.list(ctx)
	}
	s, err := openAtRest(dir, nil)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return listLines(s), nil
}

// line is what there is to say for people.
func (l lineInfo) line() string {
	s := fmt.Sprintf("%-8s  %s  %s", l.Kind, l.Created[:min(len(l.Created), 19)], quote(l.Name))
	if l.On != "" {
		s += "  on " + quote(l.On)
	}
	if l.Auto {
		s += "  automatic"
	}
	return s
}

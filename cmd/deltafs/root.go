package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
)

const rootLong = `DeltaFS shows a read-only directory, the base, as if it were writeable.

It serves the base over NFSv3 on this machine. Every change goes to a store of
its own, the delta, and never to the base. Nothing of a file is copied until it
is written, and then only what is written.

Serve a directory, and mount it with the line that is printed:

  deltafs serve --base /srv/image --delta ~/delta

Or let deltafs do both (as root where the system asks for it):

  deltafs mount /srv/image /mnt
  cd /mnt; ...change things...; deltafs status
  cd; deltafs umount /mnt

STORE, wherever a command takes it, is the directory given as --delta, or a
mount point made by "deltafs mount", or any path inside it. Left out, it is the
mount that the current directory lies in.`

// run runs one command line and returns the exit code.
func run(ctx context.Context, args []string, u *ui) int {
	root := newRoot(u)
	root.SetArgs(args)
	return u.fail(root.ExecuteContext(ctx))
}

// newRoot makes the command tree.
func newRoot(u *ui) *cobra.Command {
	root := &cobra.Command{
		Use:           "deltafs",
		Short:         "Make a read-only directory writeable, or at least seem so",
		Long:          rootLong,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          unknownCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetOut(u.out)
	root.SetErr(u.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &fault{Err: err, Code: exitUsage, Hint: c.CommandPath() + " --help"}
	})
	root.AddCommand(newServe(u), newMount(u), newUmount(u), newTry(u), newInfo(u), newStatus(u), newDiff(u), newTop(u), newExport(u), newBench(u),
		newCommit(u), newDiscard(u), newAcceptBase(u), newList(u), newClean(u), newFsck(u), newDump(u), newVersion(u), newExitCodes())
	root.AddCommand(newVerbs(u)...)
	return root
}

// newExitCodes is a help topic: "deltafs help exit-codes".
func newExitCodes() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long:  "Exit codes of every command:\n\n" + exitHelp(),
	}
}

// unknownCommand refuses arguments of the root command, with what was meant.
func unknownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	f := &fault{Err: usagef("unknown command %q", args[0]), Code: exitUsage, Hint: "deltafs --help"}
	c.SuggestionsMinimumDistance = 2
	if s := c.SuggestionsFor(args[0]); len(s) > 0 {
		f.Hint = "deltafs " + strings.Join(s, ", or deltafs ")
	}
	return f
}

// takes checks the number of arguments; names are those of the usage line.
func takes(atLeast, atMost int, names string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		hint := c.CommandPath() + " --help"
		switch {
		case len(args) < atLeast:
			return &fault{Err: usagef("%s: takes %s", c.CommandPath(), names), Code: exitUsage, Hint: hint}
		case len(args) > atMost && atMost == 0:
			return &fault{Err: usagef("%s: takes no argument, but got %q", c.CommandPath(), args[0]), Code: exitUsage, Hint: hint}
		case len(args) > atMost:
			return &fault{Err: usagef("%s: %q is one argument too many, it takes %s", c.CommandPath(), args[atMost], names), Code: exitUsage, Hint: hint}
		}
		return nil
	}
}

// takesStore is takes for the commands whose only argument is [STORE].
func takesStore() cobra.PositionalArgs { return takes(0, 1, "[STORE]") }

// first returns the first argument, or "".
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// directories completes a STORE or BASE argument with directories.
func directories(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

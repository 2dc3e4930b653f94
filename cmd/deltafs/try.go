package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"deltafs/billyfs"
	"deltafs/deltalog"
)

const tryLong = `Run a command on a fork of BASE that is thrown away afterwards, unless you like
what it has done. The command runs in the mount, as if BASE were writeable; then what it has
changed is listed, and you are asked what is to become of it:

  commit    the changes go to the base
  accept    they go to the delta of this base, as if made in its mount
  keep      the fork stays; deltafs accept, diff and drop work on it
  discard   nothing has happened

--commit, --accept, --keep and --discard answer before. If the command fails, --commit and
--accept keep the fork. The exit code is that of the command.

The delta is that of "deltafs mount BASE", or the one given as --delta: the command sees
what has been changed there. On Linux mounting needs root: call it through sudo; the command
runs as you.`

const tryExample = `  sudo deltafs try ~/src/project -- make install
  sudo deltafs try --discard /srv/image -- sh -c 'apt-get -y upgrade; dpkg -l'
  sudo deltafs try --mount /mnt --commit ~/src/project -- ./codemod.sh`

// tryFlags are the flags of try; base and cmd are its arguments.
type tryFlags struct {
	base, delta, at               string
	cmd                           []string
	commit, accept, keep, discard bool
}

func newTry(u *ui) *cobra.Command {
	var f tryFlags
	c := &cobra.Command{
		Use:               "try BASE -- COMMAND...",
		Short:             "Run a command on a fork, and keep what it has done or not",
		Long:              tryLong,
		Example:           tryExample,
		ValidArgsFunction: directories,
		RunE: func(c *cobra.Command, args []string) error {
			if c.ArgsLenAtDash() != 1 || len(args) < 2 {
				return &fault{Err: usagef("deltafs try: takes BASE -- COMMAND..."), Code: exitUsage, Hint: "deltafs try --help"}
			}
			f.base, f.cmd = args[0], args[1:]
			return f.try(c.Context(), u, os.Stdin)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.delta, "delta", "", "the store of the changes (default one in your state directory, by base)")
	fl.StringVar(&f.at, "mount", "", "mount the fork at this `DIR` (default one that is made for it)")
	fl.BoolVar(&f.commit, "commit", false, "commit the changes to the base if the command succeeds")
	fl.BoolVar(&f.accept, "accept", false, "accept the changes into the delta if the command succeeds")
	fl.BoolVar(&f.keep, "keep", false, "keep the fork")
	fl.BoolVar(&f.discard, "discard", false, "throw the changes away")
	c.MarkFlagsMutuallyExclusive("commit", "accept", "keep", "discard")
	_ = c.MarkFlagDirname("delta") // fails only for a flag that does not exist
	_ = c.MarkFlagDirname("mount")
	return c
}

// try does it all, and takes back what it has made for it.
func (f tryFlags) try(ctx context.Context, u *ui, answers io.Reader) (err error) {
	base, err := realBase(f.base)
	if err != nil {
		return err
	}
	id := invoker()
	dir, err := userState(id.home)
	if err != nil {
		return err
	}
	if err := canMount("sudo deltafs try " + quote(f.base) + " -- " + strings.Join(f.cmd, " ")); err != nil {
		return err
	}
	store := f.delta
	if store == "" {
		store = dir.deltaOf(base)
	}
	if store, err = realNew(store); err != nil {
		return &fault{Op: "try", Path: f.delta, Err: bare(err)}
	}
	at, made, err := f.mountDir()
	if err != nil {
		return err
	}
	if made {
		defer os.Remove(at)
	}
	if inside(base, at) {
		return &fault{Op: "try", Path: at, Err: errors.New("the mount point lies in the base " + quote(base)), Code: exitUsage, Hint: "--mount names another"}
	}
	wasThere := isStore(store)
	addr, started, err := f.server(ctx, base, store, dir, id)
	if err != nil {
		return err
	}
	fork := "try-" + time.Now().UTC().Format("20060102T150405.000Z")
	empty := false
	defer func() {
		if started {
			err = errors.Join(err, stopServer(context.WithoutCancel(ctx), store))
		}
		if empty && !wasThere {
			err = errors.Join(err, os.RemoveAll(store))
		}
	}()
	if _, err := changeLines(ctx, store, verb{Do: "fork", Name: fork, Fork: billyfs.MainLine}); err != nil {
		return err
	}
	if err := mountNFS(addr, "/@"+fork, at); err != nil {
		_, derr := changeLines(ctx, store, verb{Do: "drop", Name: fork})
		return errors.Join(err, derr)
	}
	cmdErr := f.runCommand(at, store, fork, id)
	if err := unmountSoon(at); err != nil {
		return err
	}
	if err := f.report(ctx, u, store, fork); err != nil {
		return err
	}
	empty, err = f.decide(ctx, u, store, fork, cmdErr, bufio.NewReader(answers))
	if err != nil {
		return err
	}
	var exit *exec.ExitError
	if errors.As(cmdErr, &exit) && exit.ExitCode() > 0 {
		return &quietError{exit.ExitCode()}
	}
	if cmdErr != nil {
		return &fault{Op: "run", Path: f.cmd[0], Err: bare(cmdErr)}
	}
	return nil
}

func (f tryFlags) mountDir() (at string, made bool, err error) {
	if f.at != "" {
		at, err = mountPoint(f.at)
		return at, false, err
	}
	if at, err = os.MkdirTemp("", "deltafs-try-"); err != nil {
		return "", false, &fault{Op: "try", Path: os.TempDir(), Err: bare(err), Hint: "--mount names a mount point"}
	}
	return at, true, nil
}

// server returns where the store is served, by a server of its own if it is not yet.
func (f tryFlags) server(ctx context.Context, base, store string, dir stateDir, id identity) (*net.TCPAddr, bool, error) {
	if r, ok := dialServer(ctx, store); ok {
		info, err := r.info(ctx)
		if err != nil {
			return nil, false, err
		}
		if info.Base != base {
			return nil, false, otherBase(store, info.Base, base)
		}
		return ready{Addr: info.Addr}.tcpAddr(), false, nil
	}
	b := background{base: base, store: store, listen: "127.0.0.1:0", log: dir.logOf(store), id: id}
	r, err := b.start(ctx)
	if err != nil {
		return nil, false, err
	}
	return r.tcpAddr(), true, nil
}

// runCommand runs the command in the mount. An interrupt from the terminal is for the command.
func (f tryFlags) runCommand(at, store, fork string, id identity) error {
	cmd := exec.Command(f.cmd[0], f.cmd[1:]...)
	cmd.Dir = at
	cmd.Env = append(os.Environ(), "PWD="+at, "DELTAFS_STORE="+store, "DELTAFS_FORK="+fork)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	asUser(cmd, id)
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	return cmd.Run()
}

// unmountSoon unmounts; what the command has left running is waited for, some seconds.
func unmountSoon(at string) error {
	var err error
	for range 50 {
		if err = unmountNFS(at, false); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	if ferr := unmountNFS(at, true); ferr != nil {
		return errors.Join(err, ferr)
	}
	return nil
}

// report lists what the command has changed, to standard error: standard output is the command's.
func (f tryFlags) report(ctx context.Context, u *ui, store, fork string) error {
	n := 0
	skip, err := ignoring(nil)
	if err != nil {
		return err
	}
	err = eachChange(ctx, store, fork, func(c change) error {
		if !skip(c.Path) {
			n++
			fmt.Fprintln(u.err, c.line())
		}
		return nil
	})
	if err == nil {
		fmt.Fprintf(u.err, "%d changed\n", n)
	}
	return err
}

// decide does what was asked for with the fork, and tells whether nothing of it is left in the store.
func (f tryFlags) decide(ctx context.Context, u *ui, store, fork string, cmdErr error, answers *bufio.Reader) (empty bool, err error) {
	answer := f.answer(u, cmdErr, answers)
	do := func(v string) error {
		_, err := changeLines(ctx, store, verb{Do: v, Name: fork, Fork: billyfs.MainLine})
		return err
	}
	switch answer {
	case "discard":
		if err := do("drop"); err != nil {
			return false, err
		}
		u.note("discarded: nothing has happened")
	case "keep":
		u.note("kept as the fork %s of %s", fork, quote(store))
		return false, nil
	case "accept", "commit":
		if err := do("accept"); err != nil {
			return false, err
		}
		if answer == "accept" {
			u.note("accepted into %s", quote(store))
			return false, nil
		}
		if err := commit(ctx, &ui{out: u.err, err: u.err}, store, commitRequest{onConflict: string(billyfs.ConflictFail)}, false); err != nil {
			return false, err
		}
	}
	left := 0
	err = eachChange(ctx, store, "", func(change) error {
		left++
		return nil
	})
	if errors.Is(err, deltalog.ErrNotStore) {
		err = nil
	}
	return left == 0, err
}

// answer is what flags say, or who sits at the terminal.
func (f tryFlags) answer(u *ui, cmdErr error, answers *bufio.Reader) string {
	switch {
	case f.discard:
		return "discard"
	case f.keep:
		return "keep"
	case (f.commit || f.accept) && cmdErr != nil:
		fmt.Fprintf(u.err, "the command has failed: %v\n", cmdErr)
		return "keep"
	case f.commit:
		return "commit"
	case f.accept:
		return "accept"
	}
	for {
		fmt.Fprint(u.err, "commit, accept, keep or discard? ")
		line, err := answers.ReadString('\n')
		line = strings.TrimSpace(line)
		for _, a := range []string{"commit", "accept", "keep", "discard"} {
			if line != "" && strings.HasPrefix(a, line) {
				return a
			}
		}
		if err != nil {
			fmt.Fprintln(u.err)
			return "keep"
		}
	}
}

// note says what has happened where standard output is somebody else's.
func (u *ui) note(format string, args ...any) { fmt.Fprintf(u.err, format+"\n", args...) }

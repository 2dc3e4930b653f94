package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

const mountLong = `Serve BASE in the background and mount it at MOUNTPOINT, with the options that
this system needs. Changes go to the store given as --delta, or to one in your
state directory that belongs to this base; where it is, is printed.

On Linux mounting needs root: call it through sudo. The server itself then runs
as you, not as root. Set-user-id bits and devices have no effect in the mount.

If the server of a mount has died, the same command starts it again on the same
port, and the mount goes on where it was.`

const mountExample = `  sudo deltafs mount /srv/image /mnt
  sudo deltafs mount /srv/image /mnt --delta ~/delta --limit 20GB
  sudo deltafs umount /mnt`

// mountFlags are the flags of mount; base and at are its arguments.
type mountFlags struct {
	base, at, delta, limit string
	immutable, compress    bool
	commitWhenFull         bool
}

func newMount(u *ui) *cobra.Command {
	var f mountFlags
	c := &cobra.Command{
		Use:               "mount BASE MOUNTPOINT",
		Short:             "Serve a directory in the background and mount it",
		Long:              mountLong,
		Example:           mountExample,
		Args:              takes(2, 2, "BASE MOUNTPOINT"),
		ValidArgsFunction: directories,
		RunE: func(c *cobra.Command, args []string) error {
			f.base, f.at = args[0], args[1]
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return f.mount(ctx, u)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.delta, "delta", "", "the store of the changes (default one in your state directory, by base)")
	fl.StringVar(&f.limit, "limit", "", "`SIZE` that the delta may take (default 90% of what is free)")
	fl.BoolVar(&f.commitWhenFull, "commit-when-full", false, "commit the changes to the base whenever the delta is half full")
	fl.BoolVar(&f.compress, "compress", false, "compress file data when cleaning moves it")
	fl.BoolVar(&f.immutable, "immutable", false, "the base can never change: do not check it for changes")
	_ = c.MarkFlagDirname("delta") // fails only for a flag that does not exist
	return c
}

// mount does it all: check, start the server, mount, or take all back.
func (f mountFlags) mount(ctx context.Context, u *ui) error {
	base, err := realBase(f.base)
	if err != nil {
		return err
	}
	id := invoker()
	dir, err := userState(id.home)
	if err != nil {
		return err
	}
	at, err := filepath.Abs(f.at)
	if err != nil {
		return &fault{Op: "mount", Path: f.at, Err: bare(err)}
	}
	if r, ok := dir.mountOf(at); ok && r.Mountpoint == at {
		return f.again(ctx, u, id, r, base)
	}
	if at, err = mountPoint(f.at); err != nil {
		return err
	}
	if inside(base, at) || sameFile(base, at) {
		return &fault{Op: "mount", Path: at, Err: errors.New("the mount point lies in the base " + quote(base)), Code: exitUsage,
			Hint: "mount it elsewhere: a mount over its own base hides it from the server"}
	}
	if err := canMount(f.sudoLine()); err != nil {
		return err
	}
	store := f.delta
	if store == "" {
		store = dir.deltaOf(base)
	}
	if store, err = realNew(store); err != nil {
		return &fault{Op: "mount", Path: f.delta, Err: bare(err)}
	}
	b := background{base: base, store: store, at: at, listen: "127.0.0.1:0", limit: f.limit, immutable: f.immutable, compress: f.compress, commitWhenFull: f.commitWhenFull,
		log: dir.logOf(store), id: id}
	r, err := b.start(ctx)
	if err != nil {
		return err
	}
	if err := mountNFS(r.tcpAddr(), "/", at); err != nil {
		return errors.Join(err, stopServer(ctx, store))
	}
	return u.printf("mounted %s at %s\ndelta %s\nserver %s, process %d, log %s\n",
		quote(base), quote(at), quote(store), r.Addr, r.PID, quote(b.log))
}

// again is mount for a mount point that has a mount already: it brings a dead
// server back to life.
func (f mountFlags) again(ctx context.Context, u *ui, id identity, r mountRecord, base string) error {
	already := &fault{Op: "mount", Path: r.Mountpoint, Hint: "deltafs umount " + quote(r.Mountpoint)}
	if base != r.Base {
		already.Err = errors.New("there is a mount of " + quote(r.Base) + " already")
		return already
	}
	if _, ok := dialServer(ctx, r.Store); ok {
		already.Err = errors.New("it is mounted already")
		return already
	}
	b := background{base: base, store: r.Store, at: r.Mountpoint, listen: r.Addr, limit: f.limit, immutable: f.immutable, compress: f.compress, commitWhenFull: f.commitWhenFull, log: r.Log, id: id}
	n, err := b.start(ctx)
	if err != nil {
		return err
	}
	if mounted, known := isMounted(r.Mountpoint); known && !mounted {
		if err := canMount(f.sudoLine()); err != nil {
			return errors.Join(err, stopServer(ctx, r.Store))
		}
		if err := mountNFS(n.tcpAddr(), "/", r.Mountpoint); err != nil {
			return errors.Join(err, stopServer(ctx, r.Store))
		}
	}
	return u.printf("server of %s started again on %s, process %d\n", quote(r.Mountpoint), n.Addr, n.PID)
}

// mountPoint checks the directory to mount at.
func mountPoint(path string) (string, error) {
	refuse := func(err error, hint string) (string, error) {
		return "", &fault{Op: "mount", Path: path, Err: err, Hint: hint}
	}
	real, err := realPath(path)
	if err != nil {
		return refuse(bare(err), "make the mount point first: mkdir "+path)
	}
	st, err := os.Stat(real)
	if err != nil {
		return refuse(bare(err), "")
	}
	if !st.IsDir() {
		return refuse(errors.New("the mount point is not a directory"), "")
	}
	return real, nil
}

// sudoLine is the command line that does the same as root.
func (f mountFlags) sudoLine() string {
	words := []string{"sudo", "deltafs", "mount", quote(f.base), quote(f.at)}
	if f.delta != "" {
		words = append(words, "--delta", quote(f.delta))
	}
	if f.limit != "" {
		words = append(words, "--limit", f.limit)
	}
	if f.immutable {
		words = append(words, "--immutable")
	}
	if f.commitWhenFull {
		words = append(words, "--commit-when-full")
	}
	if f.compress {
		words = append(words, "--compress")
	}
	return strings.Join(words, " ")
}

func (r ready) tcpAddr() *net.TCPAddr {
	addr, err := net.ResolveTCPAddr("tcp", r.Addr)
	if err != nil {
		panic(fmt.Sprintf("address %q of our own server: %v", r.Addr, err)) // it has printed its listener's
	}
	return addr
}

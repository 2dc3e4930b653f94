package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"deltafs/deltalog"
)

const umountLong = `Unmount what "deltafs mount" has mounted at MOUNTPOINT, and stop its server.
The changes stay in the delta: mounting the same base again shows them.

A mount that is busy stays as it is, and so does its server. --force unmounts
even if programs use the mount or the server has died; what they have not
written yet is lost.`

func newUmount(u *ui) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:               "umount MOUNTPOINT",
		Aliases:           []string{"unmount"},
		Short:             "Unmount, and stop the server",
		Long:              umountLong,
		Example:           "  sudo deltafs umount /mnt",
		Args:              takes(1, 1, "MOUNTPOINT"),
		ValidArgsFunction: directories,
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return umount(ctx, u, args[0], force)
		},
	}
	c.Flags().BoolVar(&force, "force", false, "unmount even if it is in use or its server is dead")
	return c
}

func umount(ctx context.Context, u *ui, path string, force bool) error {
	id := invoker()
	dir, err := userState(id.home)
	if err != nil {
		return err
	}
	at, err := filepath.Abs(path)
	if err != nil {
		return &fault{Op: "umount", Path: path, Err: bare(err)}
	}
	r, ok := dir.mountOf(at)
	if !ok || r.Mountpoint != at {
		// Symlinks are followed only now: on a mount with a dead server that hangs.
		if real, rerr := realPath(path); rerr == nil {
			r, ok = dir.mountOf(real)
			ok = ok && r.Mountpoint == real
		}
	}
	if !ok {
		return &fault{Op: "umount", Path: path, Err: errors.New("deltafs has not mounted anything there"),
			Hint: "a mount that was made by hand is unmounted by hand: umount " + path}
	}
	if mounted, known := isMounted(r.Mountpoint); mounted || !known {
		if err := unmountNFS(r.Mountpoint, force); err != nil {
			return err
		}
	}
	if err := stopServer(ctx, r.Store); err != nil {
		return err
	}
	if err := dir.forget(r.Mountpoint); err != nil { // the server has, unless it was dead
		return err
	}
	return u.printf("unmounted %s\nthe changes are in %s\n", quote(r.Mountpoint), quote(r.Store))
}

// inUse tells whether a process has the store open.
func inUse(store string) bool {
	s, err := deltalog.Open(store, deltalog.Options{ReadOnly: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return errors.Is(err, deltalog.ErrInUse)
	}
	s.Close()
	return false
}

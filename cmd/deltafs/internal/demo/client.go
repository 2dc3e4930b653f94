package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/willscott/go-nfs-client/nfs"
	"github.com/willscott/go-nfs-client/nfs/rpc"

	nfsdial "deltafs/nfsserver/dial"
)

// client speaks NFSv3 to a server, as a kernel would. It caches nothing.
type client struct {
	rpc *rpc.Client
	*nfs.Target
}

// dial mounts the export of the server at addr.
func dial(addr string) (*client, error) {
	conn, err := nfsdial.TCP(addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	m := nfs.Mount{Client: conn}
	uid, gid := owner()
	target, err := m.Mount("/", rpc.NewAuthUnix("demo", uid, gid).Auth())
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("mount %s: %w", addr, err)
	}
	return &client{rpc: conn, Target: target}, nil
}

func (c *client) close() { c.rpc.Close() }

func (c *client) mkdir(name string) error {
	_, err := c.Mkdir(name, 0o755)
	return err
}

func (c *client) remove(name string) error          { return c.Remove(name) }
func (c *client) rename(from, to string) error      { return c.Rename(from, to) }
func (c *client) symlink(target, name string) error { return c.Symlink(target, name) }

func (c *client) chmod(name string, mode uint32) error {
	return c.Setattr(name, nfs.Sattr3{Mode: nfs.SetMode{SetIt: true, Mode: mode}})
}

// writeAt writes into a file, which is made if it is missing, and commits.
func (c *client) writeAt(name, text string, off int64) error {
	f, err := c.OpenFile(name, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Seek(off, io.SeekStart); err != nil {
		return err
	}
	if _, err := f.Write([]byte(text)); err != nil {
		return err
	}
	return f.Close()
}

// readTree reads every name, attribute and byte that the server shows.
func (c *client) readTree() (tree, error) {
	t := tree{}
	if err := c.readDir(t, ""); err != nil {
		return nil, err
	}
	return t, nil
}

func (c *client) readDir(t tree, at string) error {
	entries, err := c.ReadDirPlus("/" + at)
	if err != nil {
		return fmt.Errorf("list /%s over NFS: %w", at, err)
	}
	for _, e := range entries {
		name := path.Join(at, e.FileName)
		if at == "" {
			name = e.FileName // Join would take "..." and the like for its own
		}
		n, err := c.readNode(name)
		if err != nil {
			return fmt.Errorf("read /%s over NFS: %w", name, err)
		}
		t[name] = n
		if n.kind == dir {
			if err := c.readDir(t, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *client) readNode(name string) (node, error) {
	a, err := c.Getattr("/" + name)
	if err != nil {
		return node{}, err
	}
	n := node{kind: special, mode: fs.FileMode(a.FileMode & 0o7777)}
	switch a.Type {
	case nfs.NF3Dir:
		n.kind = dir
	case nfs.NF3Lnk:
		n.kind, n.mode = symlink, 0
		f, err := c.Open("/" + name)
		if err != nil {
			return n, err
		}
		n.target, err = f.Readlink()
		return n, err
	case nfs.NF3Reg:
		n.kind, n.size = file, int64(a.Filesize)
		n.sum, err = c.sum("/"+name, n.size)
	}
	return n, err
}

// sum reads a file to its end.
func (c *client) sum(name string, size int64) (sum [32]byte, err error) {
	f, err := c.Open(name)
	if err != nil {
		return sum, err
	}
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for off := int64(0); off < size; {
		n, err := f.ReadAt(buf, off)
		h.Write(buf[:n])
		off += int64(n)
		if err != nil && !errors.Is(err, io.EOF) {
			return sum, err
		}
		if n == 0 || err != nil && off < size {
			return sum, io.ErrUnexpectedEOF
		}
	}
	return [32]byte(h.Sum(nil)), nil
}

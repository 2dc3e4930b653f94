package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/osfs"
	nfs "github.com/willscott/go-nfs"
	nfshelper "github.com/willscott/go-nfs/helpers"

	"deltafs/cmd/deltafs/internal/bench"
)

// spawn starts a program that is ended with all the others. What it prints goes to
// a file in the working directory.
func (p *peers) spawn(name string, args ...string) error {
	log, err := os.Create(p.path(filepath.Base(name) + ".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	c := exec.Command(name, args...)
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		return err
	}
	p.pids = append(p.pids, c.Process.Pid)
	p.undo = append(p.undo, func() error {
		_ = c.Process.Signal(syscall.SIGTERM) // it may have ended
		t := time.AfterFunc(20*time.Second, func() { _ = c.Process.Kill() })
		defer t.Stop()
		_ = c.Wait() // it was told to end
		return nil
	})
	return nil
}

// serve starts a server that listens at an address of its own, and makes it a target.
func (p *peers) serve(t bench.Target, export, program string, args func(addr string) []string) error {
	addr, err := freePort()
	if err != nil {
		return err
	}
	if err := p.spawn(program, args(addr)...); err != nil {
		return err
	}
	if err := await(p.ctx, addr); err != nil {
		log, _ := os.ReadFile(p.path(filepath.Base(program) + ".log")) // only to say more
		return fmt.Errorf("%w\n%s", err, bytes.TrimSpace(log))
	}
	t.At = addr + ":" + export
	p.targets = append(p.targets, t)
	return nil
}

// startDeltaFS serves the base with a new delta of this name.
func (p *peers) startDeltaFS(delta string) error {
	v, err := exec.Command(p.deltafs, "version").Output()
	if err != nil {
		return err
	}
	p.versions = append(p.versions, firstLine(v))
	return p.serve(bench.Target{Name: "deltafs"}, "/", p.deltafs, func(addr string) []string {
		return []string{"serve", "--base", p.path("base"), "--delta", p.path(delta), "--listen", addr, "--limit", "16GiB", "--trust-loopback"}
	})
}

func firstLine(b []byte) string {
	s, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return s
}

// portmapper starts one, if there is none: ganesha does not serve without. (Told to
// listen on loopback alone, Debian's ends with a double free.)
func (p *peers) portmapper() error {
	const addr = "127.0.0.1:111"
	if c, err := net.Dial("tcp", addr); err == nil {
		return c.Close()
	}
	if err := os.MkdirAll("/run/rpcbind", 0o755); err != nil {
		return err
	}
	if err := p.spawn("rpcbind", "-f", "-w"); err != nil {
		return err
	}
	return await(p.ctx, addr)
}

func (p *peers) startGanesha() error {
	const program = "ganesha.nfsd"
	v, err := exec.Command(program, "-v").CombinedOutput()
	if err != nil {
		return err
	}
	if err := p.portmapper(); err != nil {
		return fmt.Errorf("portmapper: %w", err)
	}
	if err := os.MkdirAll("/run/ganesha", 0o755); err != nil {
		return err
	}
	mount, err := freePort()
	if err != nil {
		return err
	}
	port := func(addr string) string { _, port, _ := net.SplitHostPort(addr); return port }
	conf := p.path("ganesha.conf")
	err = p.serve(bench.Target{Name: "ganesha"}, p.path("plain"), program, func(addr string) []string {
		text := fmt.Sprintf(`NFS_CORE_PARAM { Protocols = 3; NFS_Port = %s; MNT_Port = %s; Bind_addr = 127.0.0.1; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }
EXPORT { Export_Id = 1; Path = %s; Pseudo = /plain; Protocols = 3; Access_Type = RW; Squash = None; SecType = sys; Transports = TCP; FSAL { Name = VFS; } }
LOG { Default_Log_Level = WARN; }
`, port(addr), port(mount), p.path("plain"))
		err = os.WriteFile(conf, []byte(text), 0o644)
		return []string{"-F", "-L", p.path("ganesha.log"), "-f", conf, "-p", p.path("ganesha.pid")}
	})
	if err == nil {
		p.versions = append(p.versions, "nfs-ganesha "+strings.TrimPrefix(firstLine(v), "NFS-Ganesha Release = "))
	}
	return err
}

func (p *peers) startNull() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return p.serve(bench.Target{Name: "null", Null: true}, "/", self, func(addr string) []string { return []string{"null", addr} })
}

func (p *peers) startGoNFS() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return p.serve(bench.Target{Name: "go-nfs"}, "/", self, func(addr string) []string { return []string{"go-nfs", addr, p.path("plain")} })
}

// serveGoNFS is the example server of go-nfs.
func serveGoNFS(addr, dir string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	h := nfshelper.NewNullAuthHandler(changeable{osfs.New(dir)})
	return nfs.Serve(l, nfshelper.NewCachingHandler(h, 1<<18))
}

// changeable is a file system whose attributes can be changed.
type changeable struct{ billy.Filesystem }

func (c changeable) path(name string) string { return filepath.Join(c.Root(), name) }

func (c changeable) Chmod(name string, mode os.FileMode) error { return os.Chmod(c.path(name), mode) }
func (c changeable) Lchown(name string, uid, gid int) error    { return os.Lchown(c.path(name), uid, gid) }
func (c changeable) Chown(name string, uid, gid int) error     { return os.Chown(c.path(name), uid, gid) }
func (c changeable) Chtimes(name string, atime, mtime time.Time) error {
	return os.Chtimes(c.path(name), atime, mtime)
}

// overlay makes the directories of an overlay over the base.
func (p *peers) overlay(name string) (options, at string, err error) {
	for _, d := range []string{name + "-upper", name + "-work", name} {
		err = errors.Join(err, os.Mkdir(p.path(d), 0o755))
	}
	return fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", p.path("base"), p.path(name+"-upper"), p.path(name+"-work")), p.path(name), err
}

func (p *peers) mountOverlay() error {
	options, at, err := p.overlay("overlayfs")
	if err != nil {
		return err
	}
	return p.mounted("overlayfs", at, exec.Command("mount", "-t", "overlay", "overlay", "-o", options, at))
}

func (p *peers) mountFuseOverlay() error {
	options, at, err := p.overlay("fuse-overlayfs")
	if err != nil {
		return err
	}
	return p.mounted("fuse-overlayfs", at, exec.Command("fuse-overlayfs", "-o", options, at))
}

// mounted runs a command that mounts at a directory, and makes that a target.
func (p *peers) mounted(name, at string, c *exec.Cmd) error {
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	p.undo = append(p.undo, func() error { return exec.Command("umount", at).Run() })
	p.targets = append(p.targets, bench.Target{Name: name, At: at})
	return nil
}

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// machine is what canMount looks at.
type machine struct {
	root        bool
	filesystems string // content of /proc/filesystems
	modprobe    func(module string) error
}

// canMount says what this machine lacks for mounting, before anything is
// started. No helper program is needed: mountNFS asks the kernel itself.
func canMount(sudoLine string) error {
	text, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		text = []byte("nodev\tnfs\n") // unknown: let mount(2) say it
	}
	m := machine{root: os.Geteuid() == 0, filesystems: string(text), modprobe: modprobe}
	return m.canMount(sudoLine)
}

func (m machine) canMount(sudoLine string) error {
	f := &fault{Op: "mount", Code: exitMachine}
	if !m.root {
		f.Err = errors.New("only root may mount on Linux")
		f.Hint = sudoLine
		return f
	}
	if m.hasNFS() || m.modprobe("nfsv3") == nil || m.modprobe("nfs") == nil {
		return nil
	}
	f.Err = errors.New("the kernel has no NFS client: there is no nfs in /proc/filesystems and no module to load")
	f.Hint = "use a kernel with CONFIG_NFS_V3 (in a container: load the module on the host), or deltafs serve and a client elsewhere"
	return f
}

func (m machine) hasNFS() bool {
	for line := range strings.Lines(m.filesystems) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[len(fields)-1] == "nfs" {
			return true
		}
	}
	return false
}

// modprobe loads a module. It looks in the directories of root's PATH, which
// sudo and cron may have left out.
func modprobe(module string) error {
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/bin", "/bin"} {
		path := dir + "/modprobe"
		if _, err := os.Stat(path); err == nil {
			return exec.Command(path, "-q", module).Run()
		}
	}
	return exec.ErrNotFound
}

// mountNFS mounts an export of the server at addr through mount(2), whose text options are
// those of mount.nfs with the address added. Set-user-id bits and devices are
// off: any user of the machine can make such files through the port.
func mountNFS(addr *net.TCPAddr, export, at string) error {
	host := addr.IP.String()
	source := host + ":" + export
	if addr.IP.To4() == nil {
		source = "[" + host + "]:" + export
	}
	options := linuxOptions(addr) + ",addr=" + host
	err := unix.Mount(source, at, "nfs", unix.MS_NOSUID|unix.MS_NODEV, options)
	if err == nil {
		return nil
	}
	f := &fault{Op: "mount", Path: at, Err: fmt.Errorf("the kernel refuses %s: %w", options, err)}
	switch {
	case errors.Is(err, unix.ENODEV):
		f.Err, f.Code = errors.New("the kernel has no NFS client"), exitMachine
	case errors.Is(err, unix.EPERM):
		f.Code, f.Hint = exitMachine, "containers may not mount unless they have CAP_SYS_ADMIN"
	case errors.Is(err, unix.EPROTONOSUPPORT):
		f.Code, f.Hint = exitMachine, "the kernel's NFS client lacks version 3 (CONFIG_NFS_V3)"
	}
	return f
}

// unmountNFS unmounts. With force it does not wait for the server, and leaves
// programs that use the mount with errors.
func unmountNFS(at string, force bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if force {
		flags |= unix.MNT_FORCE | unix.MNT_DETACH
	}
	err := unix.Unmount(at, flags)
	if err == nil {
		return nil
	}
	f := &fault{Op: "umount", Path: at, Err: err}
	switch {
	case errors.Is(err, unix.EBUSY):
		f.Err = errors.New("programs still use the mount")
		f.Hint = "end them (fuser -vm " + at + " lists them), or use --force"
	case errors.Is(err, unix.EPERM):
		f.Err, f.Code = errors.New("only root may unmount on Linux"), exitMachine
		f.Hint = "sudo deltafs umount " + at
	}
	return f
}

// isMounted tells whether something is mounted at a path, without looking at
// the path itself.
func isMounted(at string) (mounted, known bool) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return false, false
	}
	defer f.Close()
	return mountedIn(f, at)
}

func mountedIn(mountinfo io.Reader, at string) (mounted, known bool) {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	sc := bufio.NewScanner(mountinfo)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		if fields := strings.Fields(sc.Text()); len(fields) > 4 && unescape.Replace(fields[4]) == at {
			return true, true
		}
	}
	return false, sc.Err() == nil
}

//go:build linux || darwin || freebsd

package billyfs

import (
	"os/exec"
	"syscall"
)

// childCommand runs a program as nobody.
func childCommand(exe string, args ...string) *exec.Cmd {
	cmd := exec.Command(exe, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return cmd
}

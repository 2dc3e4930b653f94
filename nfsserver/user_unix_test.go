//go:build unix

package nfsserver

import (
	"os/exec"
	"syscall"
)

// setUser makes a program run as another user.
func setUser(cmd *exec.Cmd, uid uint32) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
}

//go:build !windows

package main

import (
	"os/exec"
	"syscall"
)

// detach makes cmd the leader of a session of its own, so that no terminal's
// end reaches it, and under sudo gives it the user's rights alone.
func detach(cmd *exec.Cmd, id identity) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if id.drop {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(id.uid), Gid: uint32(id.gid)}
	}
}

// asUser gives cmd, under sudo, the rights of the user alone.
func asUser(cmd *exec.Cmd, id identity) {
	if id.drop {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(id.uid), Gid: uint32(id.gid)}}
	}
}

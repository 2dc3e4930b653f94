package main

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// detach gives cmd no console, so that closing ours does not end it.
func detach(cmd *exec.Cmd, _ identity) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
}

// asUser has nothing to do: there is no sudo.
func asUser(*exec.Cmd, identity) {}

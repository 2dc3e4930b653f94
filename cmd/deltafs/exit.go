package main

import (
	"errors"
	"fmt"
	"strings"

	"deltafs/deltalog"
)

// Exit codes. They are an interface: a number never changes its meaning.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitInUse   = 3
	exitDamaged = 4
	exitStore   = 5
	exitBase    = 6
	exitMachine = 7
)

// exitCodes documents the codes for help and docs/commands.md; a test holds
// the two together.
var exitCodes = []struct {
	code    int
	meaning string
}{
	{exitOK, "success"},
	{exitFailed, "failure: the message says why"},
	{exitUsage, "usage: unknown command, flag or argument"},
	{exitInUse, "the store is in use by another process"},
	{exitDamaged, "the store is damaged, or fsck found problems"},
	{exitStore, "not a store, or a store of another format version"},
	{exitBase, "the base is missing, unreadable, or not the one of this store"},
	{exitMachine, "this machine cannot mount: no NFS client, or not root"},
}

// exitCode derives the code from the innermost reason.
func exitCode(err error) int {
	var f *fault
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &f) && f.Code != 0:
		return f.Code
	case errors.Is(err, deltalog.ErrInUse):
		return exitInUse
	case errors.Is(err, deltalog.ErrNotStore), errors.Is(err, deltalog.ErrVersion):
		return exitStore
	case errors.Is(err, deltalog.ErrDamaged):
		return exitDamaged
	}
	return exitFailed
}

// exitHelp is the table of exit codes as help shows it.
func exitHelp() string {
	var b strings.Builder
	for _, e := range exitCodes {
		fmt.Fprintf(&b, "  %d  %s\n", e.code, e.meaning)
	}
	return b.String()
}

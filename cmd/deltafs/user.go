package main

import (
	"os"
	"os/user"
	"strconv"
)

// identity is on whose behalf the program runs. Under sudo that is the user
// who called it: mounting needs root, but serving does not, and a server that
// runs as root would lend root's eyes to every user of the machine.
type identity struct {
	uid, gid int
	home     string
	drop     bool // the server must be started as this user
}

// invoker finds out on whose behalf the program runs. home is empty unless it
// differs from that of the process.
func invoker() identity {
	id := identity{uid: os.Geteuid(), gid: os.Getegid()}
	if id.uid != 0 {
		return id
	}
	uid, err1 := strconv.Atoi(os.Getenv("SUDO_UID"))
	gid, err2 := strconv.Atoi(os.Getenv("SUDO_GID"))
	if err1 != nil || err2 != nil || uid <= 0 {
		return id
	}
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil || u.HomeDir == "" {
		return id
	}
	return identity{uid: uid, gid: gid, home: u.HomeDir, drop: true}
}

package main

import (
	"fmt"
	"net"
	"runtime"
	"strings"
)

// mountLine is how one system mounts a server.
type mountLine struct {
	System string `json:"system"`
	Line   string `json:"line"`
	Note   string `json:"note,omitempty"`
}

// mountLines returns the lines for a server at addr, that of this system
// first. Set-user-id bits and devices are switched off, since any user of the
// machine can make such files through the port.
func mountLines(addr *net.TCPAddr) []mountLine {
	host := addr.IP.String()
	if addr.IP.To4() == nil {
		host = "[" + host + "]"
	}
	fill := strings.NewReplacer("PORT", fmt.Sprint(addr.Port), "HOST", host, "OPTIONS", linuxOptions(addr))
	lines := []mountLine{
		{"linux", "sudo mount -t nfs -o OPTIONS,nosuid,nodev HOST:/ /mnt", ""},
		{"darwin", "/sbin/mount_nfs -o vers=3,tcp,port=PORT,mountport=PORT,locallocks,noresvport,nfc,nobrowse,hard,intr,nosuid,nodev HOST:/ ~/mnt", ""},
		{"windows", `mount -o anon,nolock,mtype=hard,timeout=60,rsize=32,wsize=32,casesensitive,fileaccess=755 \\HOST\! Z:`,
			"Windows has no option for the port and asks port 111, which this engine does not serve"},
		{"freebsd", "sudo mount_nfs -o nfsv3,tcp,port=PORT,mountport=PORT,nolockd,rdirplus,nosuid HOST:/ /mnt", ""},
	}
	for i := range lines {
		lines[i].Line = fill.Replace(lines[i].Line)
		if lines[i].System == runtime.GOOS {
			lines[0], lines[i] = lines[i], lines[0]
		}
	}
	return lines
}

// linuxOptions are the mount options of Linux, as mount.nfs, busybox and the
// kernel alike understand them.
func linuxOptions(addr *net.TCPAddr) string {
	proto := "tcp"
	if addr.IP.To4() == nil {
		proto = "tcp6"
	}
	return fmt.Sprintf("vers=3,proto=%s,mountproto=%s,port=%d,mountport=%d,nolock,hard", proto, proto, addr.Port, addr.Port)
}

// title is the name of a system as people write it.
func title(system string) string {
	names := map[string]string{"linux": "Linux", "darwin": "macOS", "windows": "Windows", "freebsd": "FreeBSD"}
	return names[system]
}

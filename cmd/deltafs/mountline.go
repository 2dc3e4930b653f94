package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
)

// mountLine is how one system mounts a server.
type mountLine struct {
	System string `json:"system"`
	Line   string `json:"line"`
	Note   string `json:"note,omitempty"`
}

// mountLines returns the lines for an export of a server at addr, that of this
// system first. Set-user-id bits and devices are switched off: whoever wants
// those of the base can leave that out.
func mountLines(addr *net.TCPAddr, export string, portmap bool) []mountLine {
	host := addr.IP.String()
	switch name, err := os.Hostname(); {
	case addr.IP.IsUnspecified() && err == nil:
		host = name
	case addr.IP.To4() == nil:
		host = "[" + host + "]"
	}
	note := ""
	if !portmap {
		note = "Windows has no option for the port: serve with --portmap"
	}
	share := "!"
	if export != "/" {
		share = strings.ReplaceAll(strings.TrimPrefix(export, "/"), "/", `\`)
	}
	fill := strings.NewReplacer("PORT", fmt.Sprint(addr.Port), "HOST", host, "OPTIONS", linuxOptions(addr), "EXPORT", export, "SHARE", share)
	lines := []mountLine{
		{"linux", "sudo mount -t nfs -o OPTIONS,nosuid,nodev HOST:EXPORT /mnt", ""},
		{"darwin", "/sbin/mount_nfs -o vers=3,tcp,port=PORT,mountport=PORT,locallocks,noresvport,nfc,nobrowse,hard,intr,nosuid,nodev HOST:EXPORT ~/mnt", ""},
		{"windows", `mount -o anon,nolock,mtype=hard,timeout=60,rsize=32,wsize=32,casesensitive,fileaccess=755 \\HOST\SHARE Z:`, note},
		{"freebsd", "sudo mount_nfs -o nfsv3,tcp,port=PORT,mountport=PORT,nolockd,rdirplus,nosuid HOST:EXPORT /mnt", ""},
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
	if addr.IP.To4() == nil && !addr.IP.IsUnspecified() {
		proto = "tcp6"
	}
	return fmt.Sprintf("vers=3,proto=%s,mountproto=%s,port=%d,mountport=%d,nolock,hard", proto, proto, addr.Port, addr.Port)
}

// title is the name of a system as people write it.
func title(system string) string {
	names := map[string]string{"linux": "Linux", "darwin": "macOS", "windows": "Windows", "freebsd": "FreeBSD"}
	return names[system]
}

package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMountLinesInDocs: docs/nfs.md has the lines that serve prints.
func TestMountLinesInDocs(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "docs/nfs.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := mountLines(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 54321}, "/", true)
	if len(lines) != 4 {
		t.Errorf("%d systems", len(lines))
	}
	for _, l := range lines {
		row := "| " + title(l.System) + " | `" + strings.ReplaceAll(l.Line, "54321", "P") + "` |"
		if !strings.Contains(string(b), row) {
			t.Errorf("docs/nfs.md lacks the row\n%s", row)
		}
		if l.Note != "" {
			t.Errorf("%s: %q although there is a portmapper", l.System, l.Note)
		}
	}
}

// TestMountLines: exports by name, addresses of IPv6 and of any kind.
func TestMountLines(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	for _, k := range []struct {
		ip     string
		export string
		want   []string
	}{
		{"127.0.0.1", "/img", []string{"127.0.0.1:/img /mnt", `\\127.0.0.1\img Z:`}},
		{"::1", "/", []string{"proto=tcp6,", "[::1]:/ /mnt"}},
		{"0.0.0.0", "/", []string{"proto=tcp,", host + ":/ /mnt"}},
		{"::", "/", []string{"proto=tcp,", host + ":/ /mnt"}},
	} {
		var all strings.Builder
		for _, l := range mountLines(&net.TCPAddr{IP: net.ParseIP(k.ip), Port: 1}, k.export, false) {
			all.WriteString(l.Line + "\n")
			if (l.System == "windows") != (l.Note != "") {
				t.Errorf("%s: note %q", l.System, l.Note)
			}
		}
		for _, w := range k.want {
			if !strings.Contains(all.String(), w) {
				t.Errorf("%s %s: no %q in\n%s", k.ip, k.export, w, &all)
			}
		}
	}
}

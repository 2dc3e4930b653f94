package main

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFilesOfAServer: the kernel has room for all that a server opens from the start; what the process may not have it does
// without. Each process has its own limit and table, so each case is one.
func TestFilesOfAServer(t *testing.T) {
	const child = "DELTAFS_TEST_FILES"
	if s := os.Getenv(child); s != "" {
		limit, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			t.Fatal(err)
		}
		open := func() int {
			all, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Fatal(err)
			}
			return len(all)
		}
		before := open()
		tuneFiles()
		if n := open(); n != before {
			t.Errorf("%d files are open, %d before", n, before)
		}
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`FDSize:\s*(\d+)`).FindSubmatch(status)
		if m == nil {
			t.Skip("the kernel does not say how large the table is")
		}
		if n, _ := strconv.ParseUint(string(m[1]), 10, 64); n < min(limit, manyFiles) {
			t.Errorf("of at most %d descriptors there is room for %d", limit, n)
		}
		return
	}
	for _, limit := range []string{"64", "1024", "4096"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFilesOfAServer$", "-test.v")
		cmd.Env = append(os.Environ(), child+"="+limit)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "PASS: TestFilesOfAServer") && !strings.Contains(string(out), "SKIP") {
			t.Errorf("a limit of %s: %v\n%s", limit, err, out)
		}
	}
}

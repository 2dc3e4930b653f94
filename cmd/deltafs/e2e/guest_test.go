//go:build e2e && linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// guestTimeout is generous: a loaded machine is slow, a hung one stays hung. In a soak it is so
// many times as long.
const guestTimeout = 30 * time.Minute

// built are the files that all guests share, made once by TestMain.
var built struct {
	dir  string // holds bin/, guest/, base.tar
	root string // of the repository
}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "deltafs-e2e")
		if err == nil {
			defer os.RemoveAll(dir)
			err = build(dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "e2e: set-up:", err)
			return 1
		}
		return m.Run()
	}())
}

// build makes the programs that run in the guest and the sample base.
func build(dir string) error {
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	built.dir, built.root = dir, filepath.Join(wd, "../../..")
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	// DELTAFS_E2E_BIN tests a binary that was built elsewhere.
	if other := os.Getenv("DELTAFS_E2E_BIN"); other != "" {
		err = command(built.root, "cp", other, filepath.Join(bin, "deltafs"))
	} else {
		err = command(built.root, "go", "build", "-trimpath", "-o", filepath.Join(bin, "deltafs"), "./cmd/deltafs")
	}
	if err != nil {
		return err
	}
	base := filepath.Join(dir, "base")
	for _, args := range [][]string{
		{"go", "build", "-trimpath", "-o", filepath.Join(bin, "probe"), "./cmd/deltafs/e2e/internal/probe"},
		{"cp", "-r", "cmd/deltafs/e2e/guest", filepath.Join(dir, "guest")},
		{".ci/make-base", base},
		{"tar", "-C", base, "--sparse", "-cf", filepath.Join(dir, "base.tar"), "."},
		{"rm", "-rf", base},
	} {
		if err := command(built.root, args...); err != nil {
			return err
		}
	}
	return nil
}

// command runs a program on the host; its output is part of the error.
func command(dir string, args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// A guest is one virtual machine with a directory shared with the host. Several
// runs one after the other are boots of the same machine.
type guest struct {
	t       *testing.T
	out     string // shared as /out
	memory  string
	modules string
	disks   []string
	fs      string // of the disk; "": ext4
	cut     bool   // power goes when the script makes /out/cut
}

func newGuest(t *testing.T) *guest {
	t.Helper()
	g := &guest{t: t, out: t.TempDir(), memory: "1536M"}
	g.host("cp", "-r", filepath.Join(built.dir, "bin"), filepath.Join(built.dir, "guest"),
		filepath.Join(built.dir, "base.tar"), g.out)
	return g
}

// host runs a program in the shared directory.
func (g *guest) host(args ...string) {
	g.t.Helper()
	if err := command(g.out, args...); err != nil {
		g.t.Fatal(err)
	}
}

// addDisk gives the guest an empty disk of size bytes, /dev/ubdb being the first.
func (g *guest) addDisk(name string, size int64) {
	g.t.Helper()
	path := filepath.Join(g.out, name)
	f, err := os.Create(path)
	if err != nil {
		g.t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		g.t.Fatal(err)
	}
	g.disks = append(g.disks, path)
}

// makeRepo makes /out/repo, a small git repository with some history.
func (g *guest) makeRepo() {
	g.t.Helper()
	g.host("sh", "-ec", `
		export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_DATE=2020-01-01T00:00:00Z GIT_COMMITTER_DATE=2020-01-01T00:00:00Z
		git="git -c user.name=A -c user.email=a@example.org -c init.defaultBranch=main"
		mkdir repo && cd repo && $git init -q
		tar -xf ../base.tar ./cmd ./internal ./docs ./examples ./links ./go.mod ./README.md
		$git add -A && $git commit -qm first
		for i in $(seq 1 20); do
			mkdir -p "gen/d$i" && seq 1 "$i"00 > "gen/d$i/numbers" && echo "line $i" >> README.md
			$git add -A && $git commit -qm "change $i"
		done
		$git tag v1`)
}

// makeGoCache makes /out/gocache, with the packages of the standard library that the
// program of the sample base needs, compiled as the guest would compile them.
func (g *guest) makeGoCache() {
	g.t.Helper()
	g.host("sh", "-ec", `
		mkdir tally && tar -C tally -xf base.tar ./cmd ./internal ./go.mod && cd tally
		export GOCACHE="$(pwd)/../gocache" GOFLAGS=-mod=mod GOTOOLCHAIN=local GOPROXY=off
		go build $(go list -deps -f '{{if .Standard}}{{.ImportPath}}{{end}}' ./cmd/tally)`)
}

// run boots the guest, runs one of the scripts in it and reports its checks as
// subtests.
func (g *guest) run(script string) {
	t := g.t
	t.Helper()
	rep, exit := g.boot(script)
	if err := rep.verdict(exit, g.cut); err != nil {
		t.Errorf("%s: %v", script, err)
	}
	rep.subtests(t)
	if t.Failed() {
		logs, err := filepath.Glob(filepath.Join(g.out, "server*.log"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range logs {
			b, err := os.ReadFile(name)
			t.Logf("%s (error %v), its end:\n%s", filepath.Base(name), err, b[max(0, len(b)-6000):])
		}
	}
}

// boot runs script in the guest and returns what it said and how it ended.
func (g *guest) boot(script string) (*report, error) {
	t := g.t
	t.Helper()
	args := []string{"-m", g.memory, "-t", strconv.Itoa(int(guestTimeout.Seconds()) * soak())}
	for _, d := range g.disks {
		args = append(args, "-d", d)
	}
	if g.modules != "" {
		args = append(args, "-M", g.modules)
	}
	if g.cut {
		args = append(args, "-k", filepath.Join(g.out, "cut"))
	}
	args = append(args, "--", g.environment()+"exec bash /out/guest/"+script)
	cmd := exec.Command(filepath.Join(built.root, ".ci/uml-run"), args...)
	cmd.Env = append(os.Environ(), "UML_OUT="+g.out)
	cmd.Stderr = os.Stderr
	console, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// DELTAFS_E2E_CONSOLE shows what the guest says while it says it.
	live := os.Getenv("DELTAFS_E2E_CONSOLE") != ""
	rep, err := readReport(console, func(line string) {
		if live {
			fmt.Fprintln(os.Stderr, line)
		}
	})
	if err != nil {
		t.Errorf("console: %v", err)
	}
	return rep, cmd.Wait()
}

// environment is what the scripts know of the host, as shell assignments.
func (g *guest) environment() string {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		g.t.Fatalf("go env GOROOT: %v", err)
	}
	return fmt.Sprintf("export PATH=/out/bin:%s/bin:$PATH GOROOT=%[1]s SOAK=%d FS=%s\n",
		strings.TrimSpace(string(goroot)), soak(), g.fs)
}

// soak is how many times as long as for a push the tests run.
func soak() int {
	if n, err := strconv.Atoi(os.Getenv("DELTAFS_SOAK")); err == nil && n > 0 {
		return n
	}
	return 1
}

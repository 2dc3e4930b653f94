//go:build e2e && linux

package e2e

import (
	"os"
	"testing"
)

// TestFunctional runs every operation that the client of the kernel knows.
func TestFunctional(t *testing.T) {
	t.Parallel()
	newGuest(t).run("functional.sh")
}

// TestRealWork runs git, tar, the Go compiler and sqlite over a mount, deletes
// thousands of files, and proves that the base is bit for bit what it was.
func TestRealWork(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.memory = "3072M"
	g.makeRepo()
	g.makeGoCache()
	g.run("realwork.sh")
}

// TestKill kills the server with SIGKILL under load, several times.
func TestKill(t *testing.T) {
	t.Parallel()
	newGuest(t).run("kill.sh")
}

// TestProtocol shows what only the protocol can get wrong: two mounts and two
// exports, a server found without its port, calls that are sent twice, and data that
// a server has lost.
func TestProtocol(t *testing.T) {
	t.Parallel()
	newGuest(t).run("protocol.sh")
}

// TestCopyOnWrite shows that a small write into a base file costs the same space
// and time whatever the size of the file.
func TestCopyOnWrite(t *testing.T) {
	t.Parallel()
	newGuest(t).run("cow.sh")
}

// TestReadOnlyBase serves bases that nobody can write, as a user who owns nothing.
func TestReadOnlyBase(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.modules = "loop squashfs"
	g.run("readonly.sh")
}

// onFileSystems runs a test with a store on each kind of file system that it may lie on:
// all in a soak, else the commonest.
func onFileSystems(t *testing.T, modules string, test func(g *guest)) {
	kinds := []string{"ext4"}
	if os.Getenv("DELTAFS_SOAK") != "" {
		kinds = append(kinds, "xfs", "btrfs")
	}
	for _, fs := range kinds {
		t.Run(fs, func(t *testing.T) {
			t.Parallel()
			g := newGuest(t)
			g.addDisk("store.img", 512<<20)
			g.fs, g.modules = fs, modules
			test(g)
		})
	}
}

// TestPowerCut cuts the power of a machine that writes, and starts it again.
func TestPowerCut(t *testing.T) {
	onFileSystems(t, "", func(g *guest) {
		g.cut = true
		g.run("powercut.sh")
		g.cut = false
		g.run("powercut-after.sh")
	})
}

// TestFlakyDisk lets the disk of the store fail.
func TestFlakyDisk(t *testing.T) {
	onFileSystems(t, "dm-mod dm-flakey", func(g *guest) { g.run("flaky.sh") })
}

// TestWear counts the bytes that reach the disk.
func TestWear(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.addDisk("store.img", 1<<30)
	g.run("wear.sh")
}

// TestLines goes back to snapshots and forks under a client that caches what it knows.
func TestLines(t *testing.T) {
	t.Parallel()
	newGuest(t).run("lines.sh")
}

// TestCommit brings changes to the base under a client that goes on, kills the server
// on the way, and lets a small delta take much more than it holds.
func TestCommit(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.addDisk("disk.img", 3<<30)
	g.run("commit.sh")
}

// TestPace measures how long calls of a client take while a commit goes on; it checks what it reads.
func TestPace(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.addDisk("disk.img", 6<<30)
	g.run("pace.sh")
}

// TestForks lets four clients write to forks of one image.
func TestForks(t *testing.T) {
	t.Parallel()
	newGuest(t).run("forks.sh")
}

// TestRoom fills disks that commits make room on.
func TestRoom(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.addDisk("disk.img", 2<<30)
	g.run("room.sh")
}

// TestTry runs a build on forks.
func TestTry(t *testing.T) {
	t.Parallel()
	newGuest(t).run("try.sh")
}

// TestFull fills the disk that the store is on, and then a store up to its limit:
// what was acknowledged stays, removing works, and space comes back.
func TestFull(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.addDisk("store.img", 256<<20)
	g.run("full.sh")
}

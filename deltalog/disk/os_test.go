package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"deltafs/deltalog/disk"
	"deltafs/deltalog/disk/disktest"
)

func TestOS(t *testing.T) {
	disktest.Run(t, func(t *testing.T) disk.FS { return disk.OS(filepath.Join(t.TempDir(), "deep", "er")) })
}

func TestOSFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	d := disk.OS(dir)
	if err := d.Mkdir("."); err != nil {
		t.Fatal(err)
	}
	f, err := d.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	for name, bits := range map[string]os.FileMode{".": 0o700, "a": 0o600} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm()&^bits != 0 && os.PathSeparator == '/' {
			t.Errorf("%s has mode %o, want at most %o", name, st.Mode().Perm(), bits)
		}
	}
}

// A file that is longer than what fits under the file size limit of the file
// system fails, and not by a panic or a silent short file.
func TestOSAllocateTooMuch(t *testing.T) {
	d := disk.OS(t.TempDir())
	f, err := d.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = f.Allocate(1 << 62)
	if err == nil {
		t.Skip("the file system takes a file of 4 EiB")
	}
	if !errors.Is(err, disk.ErrNoSpace) && !errors.Is(err, syscall.EFBIG) && !errors.Is(err, syscall.EINVAL) {
		t.Errorf("error %v, want one that says that it is too big", err)
	}
}

func TestOSRefusesDevices(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	// A device is no file of a store, whoever puts one there.
	dir := t.TempDir()
	if err := os.Symlink("/dev/full", filepath.Join(dir, "full")); err != nil {
		t.Fatal(err)
	}
	if f, err := disk.OS(dir).Open("full", true); err == nil {
		f.Close()
		t.Error("a device can be opened")
	}
}

package disk

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"testing"
)

func TestWrap(t *testing.T) {
	if Wrap(nil) != nil {
		t.Error("no error becomes one")
	}
	eio := &fs.PathError{Op: "write", Path: "x", Err: syscall.EIO}
	if err := Wrap(eio); err != eio {
		t.Errorf("EIO becomes %v", err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for _, cause := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		err := Wrap(&os.PathError{Op: "write", Path: "x", Err: cause})
		if !errors.Is(err, ErrNoSpace) || !errors.Is(err, cause) {
			t.Errorf("%v becomes %v, which is not both", cause, err)
		}
	}
}

//go:build !linux

package rootfs

import "os"

var sameFile = os.SameFile

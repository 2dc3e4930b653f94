//go:build !linux

package rootfs

import "os"

func newWalker(root *os.Root) (walker, error) { return rootWalk{root}, nil }

//go:build !linux

package bench

import "os"

// settleDisk is of Linux.
func settleDisk() {}

// dataSync makes the data of a file durable.
func dataSync(f *os.File) error { return f.Sync() }

//go:build !linux

package bench

import "time"

// cpuOf is how processor time is found on Linux.
func cpuOf(string) (used func() time.Duration, ok bool) { return nil, false }

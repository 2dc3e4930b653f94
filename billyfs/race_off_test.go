//go:build !race

package billyfs

const raceEnabled = false

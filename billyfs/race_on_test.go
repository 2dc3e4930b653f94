//go:build race

package billyfs

const raceEnabled = true

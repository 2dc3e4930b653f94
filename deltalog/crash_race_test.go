//go:build race

package deltalog

const raceDetector = true

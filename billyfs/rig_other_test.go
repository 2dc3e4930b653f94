//go:build !linux

package billyfs

import "io/fs"

func populateSpecial(string) error { return nil }

func changeTime(fs.FileInfo) string { return "" }

//go:build !linux

package main

// tuneFiles has nothing to do.
func tuneFiles() {}

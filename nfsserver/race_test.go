//go:build race

package nfsserver

func init() { raced = true }

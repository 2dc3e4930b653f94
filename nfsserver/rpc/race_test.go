//go:build race

package rpc

func init() { raced = true }

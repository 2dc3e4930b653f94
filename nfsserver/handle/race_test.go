//go:build race

package handle

func init() { raced = true }

//go:build !unix

package deltalog

func isReadOnlyFS(error) bool { return false }

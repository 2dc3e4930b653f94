// Command deltafs shows a read-only directory as if it were writeable: it
// serves the directory over NFSv3 and keeps every change in a store of its own.
//
// One file is one command (serve.go, mount.go, info.go, ...); server.go holds
// what a running server is made of, control.go the socket through which the
// other commands reach it, and ui.go all printing.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], &ui{out: os.Stdout, err: os.Stderr}))
}

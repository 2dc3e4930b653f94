// Command demo shows DeltaFS at work, without root and without a kernel that
// can mount NFS: it serves the sample base, changes it over NFS on loopback as
// a client does, stops and starts the server, and checks each step. It ends
// with 0 only if all that a client sees is exactly what was done, and the base
// is bit for bit what it was.
//
//	go run ./cmd/deltafs/internal/demo -deltafs BINARY -base DIR
//
// DIR is a base as .ci/make-base makes it.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	bin := flag.String("deltafs", "", "the deltafs `binary` to show")
	base := flag.String("base", "", "a sample base, made by .ci/make-base")
	flag.Parse()
	if err := run(os.Stdout, *bin, *base); err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

// run shows everything on w.
func run(w io.Writer, bin, base string) error {
	if bin == "" || base == "" {
		return fmt.Errorf("usage: demo -deltafs BINARY -base DIR")
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "deltafs-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	d := &demo{w: w, bin: bin, base: base, store: filepath.Join(tmp, "delta")}
	defer d.kill()
	return d.run()
}

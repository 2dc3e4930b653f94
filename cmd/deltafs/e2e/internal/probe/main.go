//go:build linux

// Command probe does in an end-to-end guest what a shell cannot do, or cannot do
// fast enough: one static program, where each fork of the guest costs 20 ms.
//
//	probe tree [-atime] DIR       one line for each object below DIR, contents hashed
//	probe mk DIR N SIZE           create N files
//	probe mmap FILE               write through a shared mapping and read it back
//	probe sock FILE               make a socket
//	probe excl FILE               create with O_EXCL
//	probe direct FILE             write and read with O_DIRECT
//	probe readdir-delete DIR      delete while listing
//	probe patch BYTES OFFSET FILE...  write and sync in each file; prints the fastest
//	probe scatter FILE BYTES      overwrite so much in blocks of 4 KiB, anywhere in it
//	probe blocks write|check FILE SEED N  blocks of 4 KiB that tell whose they are, and where
//	probe json KEY                a number of the JSON object on stdin
//	probe write DIR N LOG         write and sync N files, log each once it is synced
//	probe written DIR LOG         what is logged is there
//	probe history DIR LOG         a history of changes without end, each step logged
//	probe prefix DIR LOG          DIR is a prefix of that history, with all that was synced
//	probe resend FILE SOURCE LOST copy and send, wait for LOST, sync
//	probe get URL                 what an HTTP server answers
//	probe names DIR STOP          make and remove names in DIR until STOP is there
//	probe lots DIR N SIZE         N files that tell whose their bytes are, in directories of 500
//	probe pace LOTS N SIZE OWN STOP  read of those and write to OWN, unhurried; how long calls took
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	commands := map[string]func([]string) error{
		"tree": tree, "mk": mk, "mmap": mmap, "sock": sock, "excl": excl, "direct": direct,
		"readdir-delete": readdirDelete, "patch": patch, "json": jsonNumber, "write": write,
		"written": written, "history": history, "prefix": prefix, "resend": resend, "names": names,
		"get": get, "scatter": scatter, "blocks": blocks, "lots": lots, "pace": pace,
	}
	if len(args) == 0 || commands[args[0]] == nil {
		return fmt.Errorf("no such command: %q", args)
	}
	return commands[args[0]](args[1:])
}

func get(args []string) error {
	if err := need(args, 1, "get URL"); err != nil {
		return err
	}
	r, err := http.Get(args[0])
	if err != nil {
		return err
	}
	defer r.Body.Close()
	_, err = io.Copy(os.Stdout, r.Body)
	return err
}

// need checks the number of arguments.
func need(args []string, n int, usage string) error {
	if len(args) < n {
		return fmt.Errorf("usage: probe %s", usage)
	}
	return nil
}

// number is a decimal argument.
func number(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("number %q: %w", s, err)
	}
	return n, nil
}

package main

// This file owns all printing. Its rules:
//
//   - What a command was asked for goes to standard output, and nothing else
//     does: output can be piped. A writer that fails there is an error.
//   - An error is one line on standard error, "deltafs: <op> <path>: <why>",
//     and, where there is a way out, a second one, "hint: <what to do>".
//   - A warning is "deltafs: warning: <what>"; it never changes the exit code.
//   - With --json standard output is JSON alone, one object a line.
//   - Names of files come from other people: those with control characters, or
//     that could be taken for something else, are quoted as Go strings.
//   - No colours, no progress bars: scripts read this too. Only "try" asks a question, if no flag answers it.
//   - Logs of a server are not output: they go through slog, to standard error.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"deltafs/deltalog"
)

// ui is where a command prints.
type ui struct {
	out, err io.Writer
}

// printf prints to standard output.
func (u *ui) printf(format string, args ...any) error {
	if _, err := fmt.Fprintf(u.out, format, args...); err != nil {
		return &fault{Op: "write", Path: "standard output", Err: err}
	}
	return nil
}

// buffered calls fn with a ui that writes standard output in large pieces: for many lines.
func (u *ui) buffered(fn func(*ui) error) error {
	w := bufio.NewWriterSize(u.out, 32<<10)
	err := fn(&ui{out: w, err: u.err})
	if ferr := w.Flush(); err == nil && ferr != nil {
		err = &fault{Op: "write", Path: "standard output", Err: ferr}
	}
	return err
}

// lines returns what prints lines to standard error; it may be called
// concurrently.
func (u *ui) lines() func(string) {
	var mu sync.Mutex
	return func(line string) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = io.WriteString(u.err, line+"\n") // where logs go, which may fail as well
	}
}

// json prints v as one line of JSON to standard output.
func (u *ui) json(v any) error {
	enc := json.NewEncoder(u.out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return &fault{Op: "write", Path: "standard output", Err: err}
	}
	return nil
}

// table prints rows of two columns, the first padded to the same width.
func (u *ui) table(rows [][2]string) error {
	width := 0
	for _, r := range rows {
		width = max(width, len(r[0]))
	}
	for _, r := range rows {
		if err := u.printf("%-*s  %s\n", width, r[0], r[1]); err != nil {
			return err
		}
	}
	return nil
}

// warn prints a warning. Nobody can be told that standard error is broken.
func (u *ui) warn(format string, args ...any) {
	fmt.Fprintf(u.err, "deltafs: warning: "+format+"\n", args...)
}

// fail prints err, if it is one, and returns the exit code.
func (u *ui) fail(err error) int {
	if err == nil {
		return exitOK
	}
	var quiet *quietError
	if errors.As(err, &quiet) {
		return quiet.code
	}
	why, hint := explain(err)
	fmt.Fprintf(u.err, "deltafs: %s\n", why)
	if hint != "" {
		fmt.Fprintf(u.err, "hint: %s\n", hint)
	}
	return exitCode(err)
}

// logger makes the logger of a server.
func (u *ui) logger(level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usagef("--log-level %q: not one of debug, info, warn, error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(u.err, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(u.err, o)), nil
	}
	return nil, usagef("--log-format %q: not one of text, json", format)
}

// fault is an error of the command line. Op and Path say what was done to
// what; Hint says the way out. Code is the exit code, 0 to derive it from Err.
type fault struct {
	Op, Path string
	Err      error
	Hint     string
	Code     int
}

func (f *fault) Error() string {
	why, _ := explain(f)
	return why
}

func (f *fault) Unwrap() error { return f.Err }

// usagef is an error in how the command was called.
func usagef(format string, args ...any) error {
	return &fault{Err: fmt.Errorf(format, args...), Code: exitUsage}
}

// quietError ends the program with a code when all has been said already.
type quietError struct{ code int }

func (e *quietError) Error() string { return "exit code " + strconv.Itoa(e.code) }

// explain splits an error into the line that says why and the hint. The hint
// nearest to the user wins.
func explain(err error) (why, hint string) {
	var op, path string
	var cause error
	switch e := err.(type) {
	case *fault:
		op, path, cause, hint = e.Op, e.Path, e.Err, e.Hint
	case *deltalog.Error:
		op, path, cause, hint = e.Op, e.Path, e.Err, e.Hint
	default:
		return err.Error(), ""
	}
	head := strings.TrimSpace(op + " " + quote(path))
	if cause == nil {
		return head, hint
	}
	why, inner := explain(cause)
	if hint == "" {
		hint = inner
	}
	if head != "" {
		why = head + ": " + why
	}
	return why, hint
}

// quote returns name as it can be printed on a line of its own words: names
// with control characters, invalid UTF-8, quotes or blanks at an end as Go strings.
func quote(name string) string {
	if name == "" {
		return ""
	}
	plain := utf8.ValidString(name) && strings.TrimSpace(name) == name && name[0] != '"'
	for _, r := range name {
		plain = plain && unicode.IsPrint(r)
	}
	if plain {
		return name
	}
	return strconv.Quote(name)
}

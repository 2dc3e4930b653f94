//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// contentOf is what file number i holds: up to 96 KiB that only i gives.
func contentOf(i int) []byte {
	r := rand.New(rand.NewPCG(uint64(i), 2))
	b := make([]byte, 1+r.IntN(96<<10))
	for j := range b {
		b[j] = byte(r.Uint32())
	}
	return b
}

func fileName(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("file%06d", i)) }

// writeSynced makes a file whole and on disk.
func writeSynced(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// write makes N files and logs the number of each after its fsync. Another file
// stays open all the time and gets one line for each, so that a handle that has gone
// stale shows.
func write(args []string) error {
	if err := need(args, 3, "write DIR N LOG"); err != nil {
		return err
	}
	n, err := number(args[1])
	if err != nil {
		return err
	}
	log, err := os.Create(args[2])
	if err != nil {
		return err
	}
	defer log.Close()
	open, err := os.OpenFile(filepath.Join(args[0], "journal"), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	for i := range int(n) {
		if err := writeSynced(fileName(args[0], i), contentOf(i)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(open, "%06d\n", i); err != nil {
			return err
		}
		if err := open.Sync(); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(log, i); err != nil {
			return err
		}
	}
	return open.Close()
}

// written checks that each file that was logged by write is there, whole, as well as
// its line in the journal, and prints how many.
func written(args []string) error {
	if err := need(args, 2, "written DIR LOG"); err != nil {
		return err
	}
	log, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	journal, err := os.ReadFile(filepath.Join(args[0], "journal"))
	if err != nil {
		return err
	}
	lines := strings.Fields(string(log))
	for i := range lines {
		got, err := os.ReadFile(fileName(args[0], i))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, contentOf(i)) {
			return fmt.Errorf("%s: content differs", fileName(args[0], i))
		}
		if at := i * 7; len(journal) < at+7 || string(journal[at:at+7]) != fmt.Sprintf("%06d\n", i) {
			return fmt.Errorf("journal: line %d is lost", i)
		}
	}
	if len(lines) == 0 {
		return errors.New("nothing was logged")
	}
	fmt.Println(len(lines), "files")
	return nil
}

// kept is how many files history leaves; step i deletes file i-kept.
const kept = 50

// history runs until it is killed: step i writes a file under a temporary name,
// syncs it, renames it and deletes an old one. Each step is logged by a line at its
// end.
func history(args []string) error {
	if err := need(args, 2, "history DIR LOG"); err != nil {
		return err
	}
	log, err := os.Create(args[1])
	if err != nil {
		return err
	}
	defer log.Close()
	for i := 0; ; i++ {
		temp := filepath.Join(args[0], "temp")
		if err := writeSynced(temp, contentOf(i)); err != nil {
			return err
		}
		if err := os.Rename(temp, fileName(args[0], i)); err != nil {
			return err
		}
		if i >= kept {
			if err := os.Remove(fileName(args[0], i-kept)); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintln(log, i); err != nil {
			return err
		}
	}
}

// prefix checks that a directory is what it was after some step of history, with no
// later change in it without all earlier ones, and prints the step. It must not be
// older than the last step whose every change was followed by an fsync: that of the
// step after it. (The renames and removals of the last step were followed by none.)
func prefix(args []string) error {
	if err := need(args, 2, "prefix DIR LOG"); err != nil {
		return err
	}
	log, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	must := bytes.Count(log, []byte("\n")) - 2
	if must < 0 {
		return fmt.Errorf("%s: history ended before its second step", args[1])
	}
	first, last, err := span(args[0])
	if err != nil {
		return err
	}
	// At step last, last-kept is deleted after the rename: it may be there still.
	if want := max(0, last-kept+1); first != want && first != max(0, want-1) {
		return fmt.Errorf("files %d to %d: not a state that was ever there", first, last)
	}
	for i := first; i <= last; i++ {
		got, err := os.ReadFile(fileName(args[0], i))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, contentOf(i)) {
			return fmt.Errorf("file %d: content differs, though it was renamed after it was written", i)
		}
	}
	if last < must {
		return fmt.Errorf("last step is %d, but an fsync returned after step %d", last, must)
	}
	fmt.Printf("step %d, at least %d\n", last, must)
	return nil
}

// span is the lowest and the highest number of a file in dir.
func span(dir string) (first, last int, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "file*"))
	if err != nil {
		return 0, 0, err
	}
	if len(names) == 0 {
		return 0, 0, fmt.Errorf("%s: no files", dir)
	}
	first, last = int(^uint(0)>>1), -1
	for _, n := range names {
		i, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(n), "file"))
		if err != nil {
			return 0, 0, err
		}
		first, last = min(first, i), max(last, i)
	}
	return first, last, nil
}

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"deltafs/deltalog"
)

const fsckLong = `Verify a store: every checksum of its log, the index by its own checksums and
against the log. Nothing is changed. The store must not be in use.

The log is the truth, and the index can be made anew from it at any time:
--rebuild does so, if the log is whole.

--salvage NEW makes a new store of all that can be read of a damaged one: of every
record, and of every file all but the ranges that are named, which are zeros. Serve
it in the place of the old one, which stays as it is.

The exit code is 0 if the store is sound and 4 if anything is wrong with it.
Each problem is a line that names the file, what is wrong, and what follows.`

// fsckReport is what "fsck --json" prints.
type fsckReport struct {
	Store string `json:"store"`
	Sound bool   `json:"sound"`
	deltalog.Report
}

func newFsck(u *ui) *cobra.Command {
	var asJSON, rebuild bool
	var salvage string
	c := &cobra.Command{
		Use:   "fsck [STORE]",
		Short: "Verify a store",
		Long:  fsckLong,
		Example: `  deltafs fsck ~/delta
  deltafs fsck --rebuild ~/delta
  deltafs fsck --salvage ~/delta2 ~/delta
  deltafs fsck --json ~/delta | jq .problems`,
		Args:              takesStore(),
		ValidArgsFunction: directories,
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := findStore(first(args))
			if err != nil {
				return err
			}
			if salvage != "" {
				if rebuild {
					return &fault{Err: usagef("--salvage and --rebuild do not go together"), Code: exitUsage, Hint: "deltafs fsck --help"}
				}
				return salvageStore(u, dir, salvage, asJSON)
			}
			return fsck(u, dir, rebuild, asJSON)
		},
	}
	c.Flags().BoolVar(&rebuild, "rebuild", false, "make the index anew from the log")
	c.Flags().StringVar(&salvage, "salvage", "", "make a new store in this `DIRECTORY` of what can be read")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// salvageStore makes a new store and says what could not be saved.
func salvageStore(u *ui, dir, to string, asJSON bool) error {
	if err := storeExists(dir); err != nil {
		return err
	}
	r, err := deltalog.Salvage(dir, to)
	if err != nil {
		return err
	}
	if asJSON {
		err = u.json(r)
	} else {
		for _, l := range r.Lost {
			name := l.Path
			if name == "" {
				name = fmt.Sprintf("inode %d", uint64(l.Ino))
			}
			if err := u.printf("lost: %s, %d bytes at %d: %s\n", quote(name), l.Length, l.Offset, l.Err); err != nil {
				return err
			}
		}
		err = u.printf("%s: %d objects, %d names and %s of data saved; %d ranges lost\n",
			quote(to), r.Inodes, r.Entries, size(uint64(r.Bytes)), len(r.Lost))
	}
	if err == nil && len(r.Lost) > 0 {
		err = &quietError{exitDamaged}
	}
	return err
}

func fsck(u *ui, dir string, rebuild, asJSON bool) error {
	if err := storeExists(dir); err != nil {
		return err
	}
	r, err := deltalog.Check(dir, deltalog.CheckOptions{Rebuild: rebuild})
	if err != nil {
		return err
	}
	sound := len(r.Problems) == 0
	if sound {
		r.Problems = []deltalog.Problem{} // [] in JSON, not null
	}
	if asJSON {
		err = u.json(fsckReport{Store: dir, Sound: sound, Report: r})
	} else {
		err = printReport(u, dir, r)
	}
	if err == nil && !sound {
		err = &quietError{exitDamaged}
	}
	return err
}

// printReport prints a report for people: the problems, then the verdict.
func printReport(u *ui, dir string, r deltalog.Report) error {
	for _, p := range r.Problems {
		if err := u.printf("%s\n", p); err != nil {
			return err
		}
	}
	if n := len(r.Affected); n > 0 {
		if err := u.printf("%d objects are affected; \"deltafs dump\" shows what of them is in the log\n", n); err != nil {
			return err
		}
	}
	for _, n := range r.Notes {
		if err := u.printf("note: %s\n", n); err != nil {
			return err
		}
	}
	verdict := "sound"
	if n := len(r.Problems); n == 1 {
		verdict = "1 problem"
	} else if n > 1 {
		verdict = fmt.Sprintf("%d problems", n)
	}
	return u.printf("%s: %s: %d batches in %d segments, %s of log verified, index %s\n",
		quote(dir), verdict, r.Batches, r.Segments, size(uint64(max(0, r.LogBytes))), r.Index)
}

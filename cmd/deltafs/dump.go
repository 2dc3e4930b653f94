package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"deltafs/deltalog"
)

const dumpLong = `Print the log of a store record by record, in the order in which it was written:
the superblock, each segment, the frames in it, and what in it does not validate.
The index is not looked at. Nothing is changed. A store that is in use can be
dumped too; its newest records may then look like a torn tail.

The meaning of every field is in deltalog/doc.go.`

func newDump(u *ui) *cobra.Command {
	var asJSON bool
	var segment string
	c := &cobra.Command{
		Use:   "dump [STORE]",
		Short: "Print the log of a store, record by record",
		Long:  dumpLong,
		Example: `  deltafs dump ~/delta | less
  deltafs dump --segment 0x2 ~/delta
  deltafs dump --json ~/delta | jq -c 'select(.frame.type == "ENTRY") | .frame'`,
		Args:              takesStore(),
		ValidArgsFunction: directories,
		RunE: func(_ *cobra.Command, args []string) error {
			only, err := segmentID(segment)
			if err != nil {
				return err
			}
			dir, err := findStore(first(args))
			if err != nil {
				return err
			}
			return dump(u, dir, only, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object a line")
	c.Flags().StringVar(&segment, "segment", "", "only this segment, `N` decimal, or hexadecimal with 0x")
	return c
}

// segmentID reads the --segment flag; 0 stands for all segments, since no
// segment has that id.
func segmentID(flag string) (uint64, error) {
	if flag == "" {
		return 0, nil
	}
	id, err := strconv.ParseUint(flag, 0, 64)
	if err != nil || id == 0 {
		return 0, &fault{Err: usagef("--segment %q: not the id of a segment", flag), Code: exitUsage,
			Hint: "ids are numbers from 1 on; the names of the files in log/ are ids in hexadecimal"}
	}
	return id, nil
}

func dump(u *ui, dir string, only uint64, asJSON bool) error {
	if err := storeExists(dir); err != nil {
		return err
	}
	found := false
	err := deltalog.Dump(dir, func(i deltalog.DumpItem) error {
		id, inSegment := segmentOf(i)
		if only != 0 && (!inSegment || id != only) {
			return nil
		}
		found = true
		if asJSON {
			return u.json(i)
		}
		return u.printf("%s\n", i)
	})
	if err == nil && only != 0 && !found {
		err = &fault{Op: "dump", Path: dir, Err: fmt.Errorf("there is no segment %d", only), Hint: "deltafs dump without --segment lists them"}
	}
	return err
}

// segmentOf returns the id of the segment that an item is or lies in.
func segmentOf(i deltalog.DumpItem) (uint64, bool) {
	switch {
	case i.Segment != nil:
		return i.Segment.ID, true
	case i.Frame != nil:
		return i.Frame.Segment, true
	case i.Broken != nil:
		return i.Broken.Segment, true
	}
	return 0, false
}

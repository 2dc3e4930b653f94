package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"deltafs/cmd/deltafs/internal/bench"
)

func newBench(u *ui) *cobra.Command {
	var compare, rows []string
	var prepare, size, touch string
	var asJSON, list, verbose bool
	o := bench.Options{}
	c := &cobra.Command{
		Use:   "bench HOST:PORT:/EXPORT",
		Short: "Measure NFSv3 servers, one beside the other",
		Long: `Measure an NFSv3 server, and others or directories of this machine beside it: round by
round in turns, so that what else the machine does meets all of them. All data that is
read is compared with what must be there; what was written is read back, outside of the
time that is measured.

The load needs files below deltafs-bench in the export. Where they are missing they are
made through the server. To have them in the base, make them there first: --prepare.
What is written goes to a directory of its own there, which is removed in the end.`,
		Example: `  deltafs bench --prepare /srv/base
  deltafs bench 127.0.0.1:2049:/
  deltafs bench 127.0.0.1:2049:/ --compare ganesha=127.0.0.1:3049:/export --compare ext4=/srv/plain
  deltafs bench 127.0.0.1:2049:/ --row getattr-32 --row read-4k --rounds 9 --json | jq -c '.figures[]'`,
		Args: func(_ *cobra.Command, args []string) error {
			if want := prepare == "" && !list; (len(args) == 1) != want || len(args) > 1 {
				return &fault{Err: usagef("bench takes one HOST:PORT:/EXPORT, or --prepare DIR, or --list"), Code: exitUsage, Hint: "deltafs bench --help"}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.Sizes, err = benchSizes(size); err != nil {
				return err
			}
			switch {
			case list:
				return u.benchRows()
			case prepare != "":
				if err := bench.Prepare(prepare, o.Sizes); err != nil {
					return &fault{Op: "prepare", Path: prepare, Err: err, Hint: "it takes 6 GiB, and " + bench.Dir + " must not be there yet"}
				}
				return nil
			}
			if o.Targets, err = benchTargets(args[0], compare); err != nil {
				return err
			}
			if touch != "" {
				n, err := humanize.ParseBytes(touch)
				if err != nil || n > 1<<40 {
					return usagef("--touch-memory %q: not a number of bytes", touch)
				}
				o.Touch = int64(n)
			}
			if o.Rows = rows; verbose {
				o.Progress = u.lines()
			}
			results, err := bench.Run(c.Context(), o)
			switch {
			case errors.Is(err, bench.ErrUnknownRow):
				return &fault{Err: usagef("%v", err), Code: exitUsage, Hint: "deltafs bench --list"}
			case err != nil:
				return &fault{Op: "bench", Err: err, Hint: "is the server running, and does it export that to this host? Of DeltaFS, root needs one with --trust-loopback"}
			}
			return u.benchResults(o.Targets, results, asJSON)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&compare, "compare", nil, "another one, as NAME=HOST:PORT:/EXPORT or NAME=DIRECTORY; may be given again")
	f.StringArrayVar(&rows, "row", nil, "measure only this; may be given again (default all, see --list)")
	f.IntVar(&o.Rounds, "rounds", 5, "how often each is measured; the median is shown")
	f.DurationVar(&o.For, "for", time.Second, "how long rows are measured that have no size, each round")
	f.IntVar(&o.Conns, "connections", 4, "connections to each server")
	f.StringVar(&size, "size", "full", "full, or small: a hundredth, for a try")
	f.StringVar(&touch, "touch-memory", "", "touch and release so much memory before each sample of write-1m and write-4k")
	f.StringVar(&prepare, "prepare", "", "only make the files that the load needs, below this directory")
	f.BoolVar(&list, "list", false, "only list what can be measured")
	f.BoolVarP(&verbose, "verbose", "v", false, "say on standard error what is being measured")
	f.BoolVar(&asJSON, "json", false, "print JSON, a line for each row")
	return c
}

func benchSizes(name string) (*bench.Sizes, error) {
	switch name {
	case "full":
		return &bench.Full, nil
	case "small":
		return &bench.Small, nil
	}
	return nil, usagef("--size %q: not one of full, small", name)
}

// benchTargets are the server and what it is compared with.
func benchTargets(at string, compare []string) ([]bench.Target, error) {
	if _, _, ok := bench.Remote(at); !ok {
		return nil, &fault{Err: usagef("%q is not HOST:PORT:/EXPORT", at), Code: exitUsage, Hint: "such as 127.0.0.1:2049:/"}
	}
	ts := []bench.Target{{Name: at, At: at}}
	for _, s := range compare {
		name, at, ok := strings.Cut(s, "=")
		if !ok || name == "" || at == "" {
			return nil, usagef("--compare %q: not NAME=HOST:PORT:/EXPORT or NAME=DIRECTORY", s)
		}
		for _, t := range ts {
			if t.Name == name {
				return nil, usagef("--compare %q: the name is taken", s)
			}
		}
		ts = append(ts, bench.Target{Name: name, At: at})
	}
	return ts, nil
}

// benchRows lists what can be measured.
func (u *ui) benchRows() error {
	var rows [][2]string
	for _, r := range bench.Rows {
		rows = append(rows, [2]string{r.Name, r.What})
	}
	return u.table(rows)
}

// benchResults prints a row for each thing that was measured. Where one failed, that is
// the error in the end.
func (u *ui) benchResults(ts []bench.Target, results []bench.Result, asJSON bool) error {
	var failed error
	w := tabwriter.NewWriter(u.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if !asJSON {
		fmt.Fprint(w, "\t\t")
		for i, t := range ts {
			if fmt.Fprintf(w, "%s\t", t.Name); i > 0 {
				fmt.Fprint(w, "ratio\t")
			}
		}
		fmt.Fprintln(w, "cpu/op\t")
	}
	for _, r := range results {
		for _, f := range r.Figures {
			if f.Error != "" && failed == nil {
				failed = &fault{Op: "bench", Path: r.Name, Err: fmt.Errorf("%s: %s", f.Target, f.Error)}
			}
		}
		if asJSON {
			if err := u.json(r); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t", r.What, r.Unit)
		for i, t := range ts {
			f, ok := r.Of(t.Name)
			switch {
			case !ok:
				fmt.Fprint(w, "-\t")
			case f.Error != "":
				fmt.Fprint(w, "failed\t")
			default:
				fmt.Fprintf(w, "%s\t", benchNumber(f.Value))
			}
			if i > 0 && f.Ratio > 0 {
				fmt.Fprintf(w, "%.2f\t", f.Ratio)
			} else if i > 0 {
				fmt.Fprint(w, "-\t")
			}
		}
		cpu := "-"
		if len(r.Figures) > 0 && r.Figures[0].CPU > 0 {
			cpu = r.Figures[0].CPU.Round(100 * time.Nanosecond).String()
		}
		fmt.Fprintf(w, "%s\t\n", cpu)
	}
	if err := w.Flush(); err != nil {
		return &fault{Op: "write", Path: "standard output", Err: err}
	}
	return failed
}

// benchNumber prints three or more significant digits.
func benchNumber(v float64) string {
	if v >= 100 {
		return humanize.Comma(int64(v + 0.5))
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"deltafs/cmd/deltafs/internal/bench"
)

// marks are the lines in a file between which a table stands.
type marks struct{ begin, end string }

var (
	peersMarks = marks{"<!-- make bench-peers: begin -->\n", "<!-- make bench-peers: end -->\n"}
	scaleMarks = marks{"<!-- make bench-scale: begin -->\n", "<!-- make bench-scale: end -->\n"}
)

// replace puts a table between the marks of a file.
func replace(name string, m marks, text string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(b, []byte(m.begin))
	_, after, ok2 := bytes.Cut(rest, []byte(m.end))
	if !ok || !ok2 {
		return fmt.Errorf("%s has no marks %q and %q", name, strings.TrimSpace(m.begin), strings.TrimSpace(m.end))
	}
	return os.WriteFile(name, []byte(string(before)+m.begin+text+m.end+string(after)), 0o644)
}

// unfs3 is how many times as fast as nfs-ganesha unfs3 is, as it was measured once:
// it is not packaged.
var unfs3 = map[string]float64{
	"getattr-32": 67.6 / 30.7, "lookup-32": 46.9 / 24, "read-1m": 1810. / 1860, "read-4k": 45.1 / 26.2,
	"write-4k": 25.1 / 16.5, "sync-4k": 3250. / 3090, "sync-4k-16": 3980. / 11400, "small": 1330. / 691, "small-16": 2050. / 1590,
}

// goal is what a figure is to be, and why.
type goal struct {
	value float64
	why   string
}

// goals of a row: all of them must be reached.
func goals(r *bench.Result) (gs []goal) {
	value := func(target string) float64 {
		f, _ := r.Of(target)
		return f.Value
	}
	less := r.Unit == bench.Millis
	peer, name := value("ganesha"), "ganesha"
	if u := peer * unfs3[r.Name]; u > peer && !less {
		peer, name = u, "unfs3"
	}
	if peer > 0 && !less {
		g := goal{1.5 * peer, "1.5 " + name}
		if c := ceiling(r.Name, value); c > 0 && .85*c < g.value {
			g = goal{.85 * c, "0.85 of the ceiling"}
		}
		gs = append(gs, g)
	}
	if v := value("go-nfs"); v > 0 {
		switch r.Name {
		case "lookup-32", "read-1m", "read-4k", "write-4k":
			gs = append(gs, goal{5 * v, "5 go-nfs"})
		}
	}
	switch r.Name {
	case "small":
		gs = append(gs, goal{value("overlayfs"), "overlayfs"})
	case "small-16":
		gs = append(gs, goal{value("ext4"), "ext4"})
	case "sync-4k-16":
		gs = append(gs, goal{value("disk"), "disk"})
	case "first-1m", "first-1g", "first-10g":
		gs = append(gs, goal{.6, "0.6 ms"})
	}
	return gs
}

// ceiling is what client, socket and disk allow; 0: unknown.
func ceiling(row string, value func(string) float64) float64 {
	null, disk := value("null"), value("disk")
	switch row {
	case "sync-4k", "small": // one after the other
		if null > 0 && disk > 0 {
			return 1 / (1/null + 1/disk)
		}
		return 0
	case "sync-4k-16", "small-16":
		return 0
	case "write-1m":
		if disk > 0 && disk < null {
			return disk
		}
	}
	return null
}

// report is the table.
func report(results []bench.Result, targets []bench.Target, versions []string, rounds int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d processors, %s/%s; %s. Medians of %d rounds.\n\n", time.Now().Format(time.DateOnly), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, strings.Join(versions, ", "), rounds)
	fmt.Fprint(&b, "| row | |")
	for _, t := range targets {
		fmt.Fprintf(&b, " %s |", t.Name)
	}
	fmt.Fprintln(&b, " CPU for each, deltafs / ganesha | asked | |")
	fmt.Fprintln(&b, "|---|---|"+strings.Repeat("---|", len(targets)+3))
	for i := range results {
		r := &results[i]
		fmt.Fprintf(&b, "| %s | %s |", r.What, r.Unit)
		for _, t := range targets {
			f, ok := r.Of(t.Name)
			switch {
			case !ok:
				fmt.Fprint(&b, " |")
			case f.Error != "":
				fmt.Fprint(&b, " failed |")
			default:
				fmt.Fprintf(&b, " %s |", number(f.Value))
			}
		}
		own, _ := r.Of("deltafs")
		theirs, _ := r.Of("ganesha")
		fmt.Fprintf(&b, " %s / %s |", micros(own.CPU), micros(theirs.CPU))
		var asked, met []string
		for _, g := range goals(r) {
			asked = append(asked, fmt.Sprintf("%s (%s)", number(g.value), g.why))
			if ok := own.Value >= g.value; ok != (r.Unit == bench.Millis) {
				met = append(met, "yes")
			} else {
				met = append(met, "**no**")
			}
		}
		fmt.Fprintf(&b, " %s | %s |\n", strings.Join(asked, ", "), strings.Join(met, ", "))
	}
	for _, r := range results {
		for _, f := range r.Figures {
			if f.Error != "" {
				fmt.Fprintf(&b, "\n%s, %s: %s\n", f.Target, r.Name, f.Error)
			}
		}
	}
	return b.String()
}

func number(v float64) string {
	if v >= 100 {
		return humanize.Comma(int64(v + .5))
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

func micros(d time.Duration) string {
	if d == 0 {
		return "?"
	}
	return strconv.FormatFloat(float64(d)/1e3, 'g', 3, 64) + " us"
}

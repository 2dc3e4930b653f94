package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"deltafs/cmd/deltafs/internal/bench"
)

// scaleSizes are numbers of files, entries of a directory, extents and connections that
// go together: each is ten times the one before.
var scaleSizes = []struct{ files, entries, extents, conns int }{
	{10_000, 1_000, 10_000, 1}, {100_000, 10_000, 100_000, 6}, {1_000_000, 100_000, 1_000_000, 64},
}

// runScale measures what operations cost as things grow, and writes a table and a plot.
func runScale(args []string) (err error) {
	f := flag.NewFlagSet("peers scale", flag.ContinueOnError)
	deltafs := f.String("deltafs", "bin/deltafs", "the program to measure")
	dir := f.String("dir", "", "work below this directory (default a temporary one)")
	table := f.String("table", "", "write the table into this file, between its marks, too")
	plot := f.String("plot", "", "write the plot into this file (SVG)")
	rounds := f.Int("rounds", 3, "how often each size is measured, in turns, on a new server; the median is shown")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 {
		return errors.New("at least one round is needed")
	}
	peak := ""
	measured := make([][]bench.Point, *rounds)
	for r := range measured {
		for i := range scaleSizes {
			ps, mem, err := scaleOnce(*deltafs, *dir, i, r == 0 && i == len(scaleSizes)-1)
			if err != nil {
				return err
			}
			measured[r] = append(measured[r], ps...)
			peak = cmp.Or(mem, peak)
		}
	}
	all := bench.Medians(measured)
	text := scaleReport(all, *rounds, peak)
	fmt.Print(text)
	if *plot != "" {
		if err := os.WriteFile(*plot, []byte(scalePlot(all)), 0o644); err != nil {
			return err
		}
	}
	if *table == "" {
		return nil
	}
	return replace(*table, scaleMarks, text)
}

// scaleOnce measures one size, on a server of its own, and, if asked, what memory takes.
func scaleOnce(deltafs, dir string, i int, memory bool) (ps []bench.Point, peak string, err error) {
	z := scaleSizes[i]
	work, err := os.MkdirTemp(dir, "deltafs-scale-")
	if err != nil {
		return nil, "", err
	}
	p := &peers{ctx: context.Background(), dir: work, deltafs: deltafs}
	defer func() { err = errors.Join(err, p.end()) }()
	say("a base of %d files", z.files)
	if err := os.Mkdir(p.path("base"), 0o755); err != nil {
		return nil, "", err
	}
	if err := bench.PrepareScale(p.path("base"), z.files, z.entries); err != nil {
		return nil, "", err
	}
	// What the system has not written of the base yet it would write beside what is measured, the more the larger it is.
	if err := exec.Command("sync").Run(); err != nil {
		return nil, "", fmt.Errorf("sync: %w", err)
	}
	if err := p.startDeltaFS("delta"); err != nil {
		return nil, "", err
	}
	at := p.targets[0].At
	say("measuring")
	status := func() (time.Duration, error) {
		var took [31]time.Duration
		for i := range took {
			began := time.Now()
			if err := exec.Command(deltafs, "status", p.path("delta")).Run(); err != nil {
				return 0, fmt.Errorf("status: %w", err)
			}
			took[i] = time.Since(began)
		}
		slices.Sort(took[:])
		return took[len(took)/2], nil
	}
	if ps, err = bench.Scale(p.ctx, at, z.files, z.entries, z.extents, status); err != nil {
		return nil, "", err
	}
	c, err := bench.ScaleConnections(p.ctx, at, z.conns)
	if err != nil {
		return nil, "", err
	}
	bare, err := bench.ScaleLocal(p.ctx, p.path("base"), p.dir, z.files, z.entries, z.extents)
	if err != nil {
		return nil, "", err
	}
	if ps = append(append(ps, c), bare...); !memory {
		return ps, "", nil
	}
	peak, err = p.memory(z.files)
	return ps, peak, err
}

// memory returns the most MiB that another server takes for a walk of the tree and 4 GiB
// written in sequence.
func (p *peers) memory(files int) (string, error) {
	if err := p.startDeltaFS("another-delta"); err != nil {
		return "", err
	}
	say("measuring memory")
	stop, most := make(chan struct{}), make(chan int)
	go func() { most <- watchMemory(p.pids[1], stop) }()
	err := bench.WalkAndWrite(p.ctx, p.targets[1].At, files, 4096)
	close(stop)
	return strconv.Itoa(<-most >> 10), err
}

// watchMemory returns the most KiB of anonymous memory that a process has had resident.
func watchMemory(pid int, stop chan struct{}) (most int) {
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // as long as it lives
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, "RssAnon:"); ok {
				n, _ := strconv.Atoi(strings.Fields(v)[0]) // the kernel's number
				most = max(most, n)
			}
		}
		select {
		case <-stop:
			return most
		case <-t.C:
		}
	}
}

// scaleReport is the table.
func scaleReport(ps []bench.Point, rounds int, peak string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. What an operation costs, in us, at three sizes, each ten times the one before; what it grows by is to be at most 1.2. The last three are what the system takes by itself, for comparison. Medians of %d rounds.\n\n", time.Now().Format(time.DateOnly), rounds)
	fmt.Fprintln(&b, "| what | sizes | cost | grows by, at most |")
	fmt.Fprintln(&b, "|---|---|---|---|")
	ratios := bench.Ratios(ps)
	for _, what := range whats(ps) {
		var sizes, costs []string
		for _, p := range ps {
			if p.What == what {
				sizes, costs = append(sizes, number(float64(p.Size))), append(costs, strconv.FormatFloat(float64(p.Cost)/1e3, 'g', 3, 64))
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %.2f |\n", what, strings.Join(sizes, " / "), strings.Join(costs, " / "), ratios[what])
	}
	fmt.Fprintf(&b, "\nMemory of a server (RssAnon) over a walk of the tree of 1,000,000 files and then 4 GiB written in sequence: at most %s MiB.\n", peak)
	return b.String()
}

// whats are the things that were measured, in order.
func whats(ps []bench.Point) (all []string) {
	for _, p := range ps {
		if !slices.Contains(all, p.What) {
			all = append(all, p.What)
		}
	}
	return all
}

// scalePlot draws cost over size, both logarithmic, as SVG.
func scalePlot(ps []bench.Point) string {
	const w, h, left, top, right, bottom = 1000, 560, 70, 20, 420, 50
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, p := range ps {
		v := math.Log10(float64(p.Cost) / 1e3)
		lo, hi = min(lo, math.Floor(v)), max(hi, math.Ceil(v))
	}
	x := func(size float64) float64 { return left + math.Log10(size)/6*(w-left-right) }
	y := func(us float64) float64 { return top + (hi-math.Log10(us))/(hi-lo)*(h-top-bottom) }
	colors := []string{"#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", w, h)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", w, h)
	for e := lo; e <= hi; e++ {
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1[3]f" stroke="#ddd"/><text x="%[4]d" y="%.1[5]f" text-anchor="end">%[6]g us</text>`+"\n",
			left, w-right, y(math.Pow(10, e)), left-6, y(math.Pow(10, e))+4, math.Pow(10, e))
	}
	for e := range 7 {
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1[1]f" y1="%d" y2="%d" stroke="#ddd"/><text x="%.1[1]f" y="%[4]d" text-anchor="middle">%.0[5]f</text>`+"\n",
			x(math.Pow(10, float64(e))), top, h-bottom, h-bottom+18, math.Pow(10, float64(e)))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">how many</text>`+"\n", left+(w-left-right)/2, h-12)
	for i, what := range whats(ps) {
		color, dash := colors[i%len(colors)], strings.Repeat(`stroke-dasharray="6 3" `, i/len(colors)%2)
		var line []string
		for _, p := range ps {
			if p.What != what {
				continue
			}
			px, py := x(float64(p.Size)), y(float64(p.Cost)/1e3)
			line = append(line, fmt.Sprintf("%.1f,%.1f", px, py))
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", px, py, color)
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" %sstroke-width="1.5"/>`+"\n", strings.Join(line, " "), color, dash)
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="10" height="10" fill="%s" stroke="%[3]s" fill-opacity="%d"/><text x="%d" y="%d">%s</text>`+"\n", w-right+16, top+22*i, color, 1-i/len(colors)%2, w-right+32, top+22*i+10, what)
	}
	return b.String() + "</svg>\n"
}

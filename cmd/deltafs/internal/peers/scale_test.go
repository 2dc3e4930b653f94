package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"deltafs/cmd/deltafs/internal/bench"
)

// TestScalePlot: the plot is a picture with a point for each thing and size.
func TestScalePlot(t *testing.T) {
	var ps []bench.Point
	what := []string{"LOOKUP", "READ", "walk"}
	for _, w := range what {
		for i, size := range []int{10_000, 100_000, 1_000_000} {
			ps = append(ps, bench.Point{What: w, Size: size, Cost: time.Duration(i+1) * 10 * time.Microsecond})
		}
	}
	plot := scalePlot(ps)
	if strings.Contains(plot, "%!") {
		t.Errorf("a number is missing:\n%s", plot)
	}
	have := map[string]int{}
	for d := xml.NewDecoder(strings.NewReader(plot)); ; {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := tok.(xml.StartElement); ok {
			have[e.Name.Local]++
		}
	}
	if have["svg"] != 1 || have["circle"] != len(ps) || have["polyline"] != len(what) {
		t.Errorf("%v", have)
	}
}

// TestMedians: each thing and size has the median of its rounds.
func TestMedians(t *testing.T) {
	round := func(a, b time.Duration) []bench.Point {
		return []bench.Point{{What: "x", Size: 1, Cost: a}, {What: "x", Size: 10, Cost: b}}
	}
	got := bench.Medians([][]bench.Point{round(1, 9), round(3, 7), round(2, 8)})
	if len(got) != 2 || got[0].Cost != 2 || got[1].Cost != 8 {
		t.Errorf("%v", got)
	}
}

// Package count counts words.
package count

import (
	"bufio"
	"io"
	"sort"
	"strings"
	"unicode"
)

// Word is a word and how often it was seen.
type Word struct {
	Text string `json:"word"`
	N    int    `json:"n"`
}

// Counter adds up words; the zero value is not ready for use.
type Counter struct {
	stop map[string]bool
	seen map[string]int
}

// New returns a counter that leaves out the words of stop.
func New(stop []string) *Counter {
	c := &Counter{stop: map[string]bool{}, seen: map[string]int{}}
	for _, w := range stop {
		c.stop[w] = true
	}
	return c
}

// Add counts the words of r.
func (c *Counter) Add(r io.Reader) error {
	s := bufio.NewScanner(r)
	s.Split(bufio.ScanWords)
	for s.Scan() {
		w := strings.ToLower(strings.TrimFunc(s.Text(), func(r rune) bool {
			return !unicode.IsLetter(r)
		}))
		if w != "" && !c.stop[w] {
			c.seen[w]++
		}
	}
	return s.Err()
}

// Top returns the n most frequent words, the first by name where they tie.
func (c *Counter) Top(n int) []Word {
	var all []Word
	for w, k := range c.seen {
		all = append(all, Word{w, k})
	}
	sort.Slice(all, func(i, j int) bool {
		if all[i].N != all[j].N {
			return all[i].N > all[j].N
		}
		return all[i].Text < all[j].Text
	})
	if len(all) > n {
		all = all[:n]
	}
	return all
}

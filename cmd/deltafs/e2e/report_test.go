package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// A check is one line that a guest script printed about itself.
type check struct {
	verdict string // ok or FAIL
	name    string
	detail  string
}

// A report is all that a guest said.
type report struct {
	checks []check
	notes  []string
	done   bool     // the script came to its end
	tail   []string // last lines of any kind, to explain a death
}

const tailLines = 60

// readReport reads the console of a guest up to its end. Lines that are not for us
// (the kernel's, of programs) are kept in the tail only.
func readReport(r io.Reader, line func(string)) (*report, error) {
	rep := &report{}
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), 4<<20)
	for s.Scan() {
		text := strings.TrimRight(s.Text(), "\r")
		line(text)
		rep.tail = append(rep.tail, text)
		if len(rep.tail) > tailLines {
			rep.tail = rep.tail[1:]
		}
		word, rest, _ := strings.Cut(text, " ")
		switch word {
		case "ok", "FAIL":
			name, detail, _ := strings.Cut(rest, " ")
			rep.checks = append(rep.checks, check{word, name, strings.TrimSpace(detail)})
		case "note":
			rep.notes = append(rep.notes, rest)
		case "done":
			rep.done = rest == ""
		}
	}
	return rep, s.Err()
}

// verdict says what is wrong with the run as a whole; nil if only the checks speak.
// exit is how the guest ended, wantCut that its power was to be cut.
func (r *report) verdict(exit error, wantCut bool) error {
	tail := strings.Join(r.tail, "\n")
	switch {
	case wantCut && exit == nil:
		return fmt.Errorf("the power was never cut; last lines:\n%s", tail)
	case wantCut:
		// The console of a guest whose power was cut may lose its last lines.
		return nil
	case exit != nil:
		return fmt.Errorf("guest ended with %w; its last lines:\n%s", exit, tail)
	case !r.done:
		return fmt.Errorf("script did not come to its end; last lines:\n%s", tail)
	case len(r.checks) == 0:
		return errors.New("script checked nothing")
	}
	seen := map[string]bool{}
	for _, c := range r.checks {
		if c.name == "" || seen[c.name] {
			return fmt.Errorf("check %q has no name or had it before", c.name)
		}
		seen[c.name] = true
	}
	return nil
}

// subtests turns the checks into subtests of t.
func (r *report) subtests(t *testing.T) {
	for _, c := range r.checks {
		t.Run(c.name, func(t *testing.T) {
			if c.verdict == "FAIL" {
				t.Error(c.detail)
			}
		})
	}
	for _, n := range r.notes {
		t.Log("note: " + n)
	}
}

func TestReadReport(t *testing.T) {
	in := "Linux version 6\r\nok a 3 ms\r\nFAIL c rc=1  text\nnote x=1\nokay not ours\ndone\nPower down\n"
	r, err := readReport(strings.NewReader(in), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	want := []check{{"ok", "a", "3 ms"}, {"FAIL", "c", "rc=1  text"}}
	if fmt.Sprint(r.checks) != fmt.Sprint(want) {
		t.Errorf("checks = %v, want %v", r.checks, want)
	}
	if !r.done || len(r.notes) != 1 || r.notes[0] != "x=1" {
		t.Errorf("done = %v, notes = %q", r.done, r.notes)
	}
	if err := r.verdict(nil, false); err != nil {
		t.Errorf("verdict = %v", err)
	}
}

func TestVerdictCut(t *testing.T) {
	r := &report{}
	if err := r.verdict(errors.New("exit status 137"), true); err != nil {
		t.Errorf("power cut as wanted: %v", err)
	}
	if r.verdict(nil, true) == nil {
		t.Error("power was not cut, and no error")
	}
}

// TestVerdict shows that a run which proves nothing cannot pass.
func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name, console string
		exit          error
	}{
		{"silent", "done\n", nil},
		{"unfinished", "ok a\nok b\n", nil},
		{"dead guest", "ok a\ndone\n", errors.New("exit status 125")},
		{"same name twice", "ok a\nok a\ndone\n", nil},
		{"empty", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := readReport(strings.NewReader(c.console), func(string) {})
			if err != nil {
				t.Fatal(err)
			}
			if r.verdict(c.exit, false) == nil {
				t.Error("no error")
			}
		})
	}
}

package billyfs

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-billy/v5/util"
)

func TestDrift(t *testing.T) {
	stamp := time.Unix(1_600_000_000, 5)
	for _, c := range []struct {
		name   string
		change func(path string) error
		want   driftState
	}{
		{"nothing", func(string) error { return nil }, driftNone},
		{"read", func(p string) error { _, err := os.ReadFile(p); return err }, driftNone},
		{"size", func(p string) error { return os.WriteFile(p, []byte("longer than before"), 0o644) }, driftHard},
		{"content", func(p string) error { return os.WriteFile(p, []byte("CONTENT"), 0o644) }, driftHard},
		{"mtime", func(p string) error { return os.Chtimes(p, stamp, stamp.Add(1)) }, driftHard},
		{"mode", func(p string) error { return os.Chmod(p, 0o600) }, driftSoft},
		{"replaced by the same", func(p string) error {
			return joinErrors(os.WriteFile(p+"~", []byte("content"), 0o644), os.Chtimes(p+"~", stamp, stamp), os.Rename(p+"~", p))
		}, driftSoft},
		{"removed", os.Remove, driftHard},
		{"directory now", func(p string) error { return joinErrors(os.Remove(p), os.Mkdir(p, 0o755)) }, driftHard},
		{"symlink now", func(p string) error { return joinErrors(os.Remove(p), os.Symlink("x", p)) }, driftHard},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.want == driftSoft && !statsInodes(t) {
				t.Skip("the system has no inode numbers")
			}
			var log bytes.Buffer
			h := newHostBase(t, baseOptions{log: slog.New(slog.NewTextHandler(&log, nil))})
			h.write(t, "d/f", "content")
			must(t, os.Chtimes(h.path("d/f"), stamp, stamp))
			f := walk(t, h, "d/f")
			fp, err := h.fingerprint(f)
			must(t, err)
			must(t, c.change(h.path("d/f")))
			h.clock.later()
			for range 3 {
				state, err := h.drift(f, fp)
				must(t, err)
				if state != c.want {
					t.Fatalf("state %d, want %d", state, c.want)
				}
				h.clock.later()
			}
			warned := strings.Count(log.String(), "level=WARN")
			if want := map[bool]int{true: 1}[c.want != driftNone]; warned != want {
				t.Errorf("%d warnings, want %d: %s", warned, want, log.String())
			}
		})
	}
}

func joinErrors(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func statsInodes(t *testing.T) bool {
	fi, err := os.Lstat(t.TempDir())
	must(t, err)
	return statOf(fi).known
}

func TestDriftIsAskedOnceASecond(t *testing.T) {
	h := newHostBase(t, baseOptions{})
	h.write(t, "f", "content")
	f := walk(t, h, "f")
	fp, err := h.fingerprint(f)
	must(t, err)
	h.write(t, "f", "other content")
	if state, err := h.drift(f, fp); state != driftNone || err != nil {
		t.Fatalf("the base was asked within the second: %d, %v", state, err)
	}
	h.clock.later()
	if state, err := h.drift(f, fp); state != driftHard || err != nil {
		t.Fatalf("drift is not seen after a second: %d, %v", state, err)
	}
}

func TestDriftNeverOfImmutable(t *testing.T) {
	h := newHostBase(t, baseOptions{immutable: true})
	h.write(t, "f", "content")
	f := walk(t, h, "f")
	fp, err := h.fingerprint(f)
	must(t, err)
	must(t, os.Remove(h.path("f")))
	h.clock.later()
	if state, err := h.drift(f, fp); state != driftNone || err != nil {
		t.Fatalf("state %d, %v", state, err)
	}
}

// TestDriftWithoutTimes: memfs makes up its times, so only the size tells.
func TestDriftWithoutTimes(t *testing.T) {
	mem := memfs.New()
	c := newClock()
	must(t, util.WriteFile(mem, "f", []byte("content"), 0o644))
	b := openTestBase(t, mem, baseOptions{now: c.now})
	f := walk(t, b, "f")
	fp, err := b.fingerprint(f)
	must(t, err)
	for _, step := range []struct {
		content string
		want    driftState
	}{{"content", driftNone}, {"longer content", driftHard}} {
		must(t, util.WriteFile(mem, "f", []byte(step.content), 0o644))
		c.later()
		b2 := openTestBase(t, mem, baseOptions{now: c.now})
		walk(t, b2, "f")
		for _, b := range []*base{b, b2} {
			if state, err := b.drift(f, fp); state != step.want || err != nil {
				t.Errorf("%q: state %d, %v", step.content, state, err)
			}
		}
	}
}

// TestReplacedFileIsReadAnew: an open descriptor does not outlive the file's
// replacement by more than the second between two looks.
func TestReplacedFileIsReadAnew(t *testing.T) {
	h := newHostBase(t, baseOptions{})
	h.write(t, "f", "old")
	f := walk(t, h, "f")
	if s, err := content(h.base, f); s != "old" || err != nil {
		t.Fatal(s, err)
	}
	h.write(t, "g", "new")
	must(t, os.Rename(h.path("g"), h.path("f")))
	h.clock.later()
	if s, err := content(h.base, f); s != "new" || err != nil {
		t.Fatalf("read %q, %v from a replaced file", s, err)
	}
	if n := h.fds.lru.Len(); n != 1 {
		t.Errorf("%d files are open", n)
	}
	must(t, os.Remove(h.path("f")))
	h.clock.later()
	_, err := content(h.base, f)
	wantKind(t, err, Stale)
}

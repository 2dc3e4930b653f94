package deltalog

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

func tags(t *testing.T, s *Store) []string {
	t.Helper()
	var got []string
	if err := s.Tags(func(tag []byte) { got = append(got, string(tag)) }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTagsOfTheLastBatches(t *testing.T) {
	dir := t.TempDir()
	s := mustCreate(t, dir, testOptions())
	var want []string
	for i := range 50 { // over several segments
		mustAppend(t, s, func(b *Batch) {
			b.Data(MainLayer, 7, int64(i)*8192, pattern(i, 8192))
			if i%3 == 0 {
				want = append(want, fmt.Sprint("call ", i))
				b.Tag([]byte(want[len(want)-1]))
			}
		})
	}
	if got := tags(t, s); !slices.Equal(got, want) {
		t.Errorf("tags are %q, want %q", got, want)
	}
	killed := t.TempDir() + "/killed"
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if got := tags(t, mustOpen(t, killed, testOptions())); !slices.Equal(got, want) {
		t.Errorf("after a kill tags are %q, want %q", got, want)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := tags(t, mustOpen(t, dir, testOptions())); !slices.Equal(got, want) {
		t.Errorf("after reopening tags are %q, want %q", got, want)
	}
}

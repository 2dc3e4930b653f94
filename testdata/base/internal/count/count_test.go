package count

import (
	"reflect"
	"strings"
	"testing"
)

func TestTop(t *testing.T) {
	c := New([]string{"the"})
	if err := c.Add(strings.NewReader("The sea, the sea! The open sky.")); err != nil {
		t.Fatal(err)
	}
	want := []Word{{"sea", 2}, {"open", 1}}
	if got := c.Top(2); !reflect.DeepEqual(got, want) {
		t.Errorf("Top(2) = %v, want %v", got, want)
	}
}

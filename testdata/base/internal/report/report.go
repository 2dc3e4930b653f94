// Package report prints counted words.
package report

import (
	"encoding/json"
	"fmt"
	"io"

	"example.org/tally/internal/count"
)

// Text prints a word a line, its number first.
func Text(w io.Writer, words []count.Word) error {
	for _, x := range words {
		if _, err := fmt.Fprintf(w, "%6d %s\n", x.N, x.Text); err != nil {
			return err
		}
	}
	return nil
}

// JSON prints an array of words.
func JSON(w io.Writer, words []count.Word) error {
	return json.NewEncoder(w).Encode(words)
}

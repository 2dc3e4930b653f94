// Command tally prints the most frequent words of the files it is given.
package main

import (
	"flag"
	"fmt"
	"os"

	"example.org/tally/internal/count"
	"example.org/tally/internal/report"
)

func main() {
	n := flag.Int("n", 10, "how many words to print")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	if err := run(*n, *asJSON, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
}

func run(n int, asJSON bool, files []string) error {
	words := count.New(count.English)
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = words.Add(f)
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if asJSON {
		return report.JSON(os.Stdout, words.Top(n))
	}
	return report.Text(os.Stdout, words.Top(n))
}

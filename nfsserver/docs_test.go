package nfsserver

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"deltafs/nfsserver/wire"
)

// TestDocs holds docs/nfs.md against the code: which procedures there are, which
// of them are carried out once, and the limits that it names.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile("../docs/nfs.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	_, table, ok := strings.Cut(doc, "| procedure | once | durable |\n|---|---|---|\n")
	if !ok {
		t.Fatal("no table of procedures")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var want, got []string
	for _, line := range strings.Split(table, "\n") {
		f := strings.Split(line, "|")
		if len(f) != 5 {
			t.Fatalf("row %q", line)
		}
		got = append(got, strings.TrimSpace(f[1])+" "+strings.TrimSpace(f[2]))
	}
	for prog, procs := range map[uint32][]procedure{wire.ProgNFS: nfsProcs[:], wire.ProgMount: mountProcs[:]} {
		for i, p := range procs {
			row := wire.ProcName(prog, uint32(i)) + " "
			if p.once {
				row += "yes"
			}
			want = append(want, row)
			if p.run == nil {
				t.Errorf("%s is not answered", row)
			}
		}
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("docs/nfs.md does not say: %q", w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d procedures in docs/nfs.md, %d in the code", len(got), len(want))
	}
	if len(nfsProcs) != 22 || len(mountProcs) != 6 {
		t.Errorf("%d + %d procedures", len(nfsProcs), len(mountProcs))
	}
	for _, fact := range []string{
		fmt.Sprintf("nobody (%d)", nobody), "among the last 32,768 calls", "for two minutes", "1 MiB is the largest READ and WRITE",
		"longer than 1 MiB + 4 KiB",
	} {
		if !strings.Contains(doc, fact) {
			t.Errorf("docs/nfs.md does not say %q", fact)
		}
	}
	if replayCalls != 32768 || replayAge.Minutes() != 2 || maxTransfer != 1<<20 || maxRecord != 1<<20+4<<10 {
		t.Error("the limits have changed: docs/nfs.md names them")
	}
}

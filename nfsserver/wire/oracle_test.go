package wire

import (
	"strings"
	"testing"

	"deltafs/nfsserver/wire/oracle"
)

// TestOracle: an independent implementation reads what this package appends, all
// of it, and appends the same bytes.
func TestOracle(t *testing.T) {
	seen := map[string]bool{}
	compare := func(prog, proc uint32, name string, m message) {
		check := oracle.Results
		if strings.HasSuffix(name, ".args") {
			check = oracle.Args
		}
		b := m.Append(nil)
		known, err := check(prog, proc, b)
		if err != nil {
			t.Fatalf("%s %s:\n%x: the other: %v", name, printed(m), b, err)
		}
		seen[name] = seen[name] || known
	}
	numbers := map[string][2]uint32{}
	procs(func(prog, proc uint32, e *exchange) { numbers[e.name] = [2]uint32{prog, proc} })
	messages(t, 200, func(t *testing.T, name string, m, _ message) {
		n := numbers[name[:strings.LastIndex(name, ".")]]
		compare(n[0], n[1], name, m)
	})
	for name, n := range numbers {
		if n[0] != ProgPortmap && (!seen[name+".args"] || !seen[name+".res"]) {
			t.Errorf("%s was not compared", name)
		}
	}
}

// TestOracleOfHeaders does so for what stands around the messages.
func TestOracleOfHeaders(t *testing.T) {
	sys := Cred{Flavor: AuthSys, Stamp: 9, Machine: []byte("abcde"), UID: 5, GID: 6, GIDs: [16]uint32{1, 2}, NGIDs: 2}
	for _, b := range [][]byte{
		AppendCall(nil, &Call{XID: 1, Prog: ProgNFS, Vers: 3, Proc: 1}),
		AppendCall(nil, &Call{XID: 1, Prog: ProgNFS, Vers: 3, Proc: 1, Cred: sys}),
		AppendAccepted(nil, 2, Success),
		AppendAccepted(nil, 2, ProgUnavail),
		AppendAccepted(nil, 2, ProcUnavail),
		AppendAccepted(nil, 2, GarbageArgs),
		AppendAccepted(nil, 2, SystemErr),
		AppendProgMismatch(nil, 2, 3, 3),
		BadRPC.Append(nil, 2),
		BadCred.Append(nil, 2),
	} {
		if err := oracle.Header(b); err != nil {
			t.Errorf("%x: the other: %v", b, err)
		}
	}
	call := AppendCall(nil, &Call{Cred: sys})
	if err := oracle.Sys(call[32 : len(call)-8]); err != nil {
		t.Errorf("AUTH_SYS: the other: %v", err)
	}
}

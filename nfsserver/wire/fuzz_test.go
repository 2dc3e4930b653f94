package wire

import (
	"bytes"
	"testing"
)

// FuzzMessages: any bytes are taken for any message, and for a call with its
// reply. What is accepted is appended as what reads back the same. Bytes are never
// believed: a list of four billion entries takes no memory.
func FuzzMessages(f *testing.F) {
	procs(func(prog, proc uint32, e *exchange) {
		call := AppendCall(nil, &Call{XID: 1, Prog: prog, Vers: 3, Proc: proc, Cred: Cred{Flavor: AuthSys, Machine: []byte("m"), NGIDs: 2}})
		f.Add(prog, proc, e.args().Append(call), e.res().Append(AppendAccepted(nil, 1, Success)))
	})
	f.Add(uint32(ProgNFS), uint32(ProcReaddir), []byte("garbage"), []byte{})
	f.Fuzz(func(t *testing.T, prog, proc uint32, call, reply []byte) {
		Line(call, reply)
		e := exchangeOf(prog, proc)
		if e == nil {
			return
		}
		for _, m := range []struct {
			b          []byte
			msg, again message
		}{{call, e.args(), e.args()}, {reply, e.res(), e.res()}} {
			x := Reader(m.b)
			if m.msg.Code(&x); !x.OK() {
				continue
			}
			b := m.msg.Append(nil)
			x = Reader(b)
			m.again.Code(&x)
			if b2 := m.again.Append(nil); !x.OK() || len(x.b) != 0 || !bytes.Equal(b, b2) {
				t.Fatalf("%s: %x is appended as %x, which is read as %x", e.name, m.b, b, b2)
			}
		}
	})
}

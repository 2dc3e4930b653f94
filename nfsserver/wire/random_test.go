package wire

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
)

// procs calls fn with each procedure's messages: the same that the package prints.
func procs(fn func(prog, proc uint32, e *exchange)) {
	for _, p := range []struct {
		prog uint32
		all  []exchange
	}{{ProgNFS, nfsExchanges[:]}, {ProgMount, mountExchanges[:]}, {ProgPortmap, pmapExchanges[:]}} {
		for i := range p.all {
			fn(p.prog, uint32(i), &p.all[i])
		}
	}
}

// messages calls fn with n random messages of each kind.
func messages(t *testing.T, n int, fn func(t *testing.T, name string, m, empty message)) {
	t.Helper()
	const seed = 1
	t.Logf("seed %d", seed)
	procs(func(prog, proc uint32, e *exchange) {
		for kind, make := range map[string]func() message{"args": e.args, "res": e.res} {
			name := fmt.Sprintf("%s.%s", e.name, kind)
			r := rand.New(rand.NewPCG(seed, uint64(prog)<<32|uint64(proc)<<1|uint64(len(kind))))
			for range n {
				m := make()
				fill(r, reflect.ValueOf(m).Elem())
				fn(t, name, m, make())
			}
		}
	})
}

var (
	statusList = []Status{OK, OK, OK, ErrPerm, ErrNoEnt, ErrStale, ErrBadHandle, ErrJukebox}
	nameList   = []string{"a", "ab", "abc", "abcd", "line\nbreak", ""}
)

// fill sets a value at random to one that the wire can carry.
func fill(r *rand.Rand, v reflect.Value) {
	switch p := v.Addr().Interface().(type) {
	case *Status:
		*p = statusList[r.IntN(len(statusList))]
		return
	case *MountStatus:
		*p = []MountStatus{MntOK, MntErrAcces}[r.IntN(2)]
		return
	case *FType:
		*p = FType(1 + r.IntN(7))
		return
	case *Stable:
		*p = Stable(r.IntN(3))
		return
	case *CreateHow:
		*p = CreateHow(r.IntN(3))
		return
	case *TimeHow:
		*p = TimeHow(r.IntN(3))
		return
	case *[]byte:
		*p = make([]byte, r.IntN(maxHandle+1))
		for i := range *p {
			(*p)[i] = byte(' ' + r.IntN(95)) // the oracle takes ASCII only; fuzzing covers the rest
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64() >> (64 - v.Type().Bits()) >> r.IntN(v.Type().Bits()))
	case reflect.String:
		v.SetString(nameList[r.IntN(len(nameList))])
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	default:
		panic("no random " + v.Type().String())
	}
}

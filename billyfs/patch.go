package billyfs

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/aymanbagabas/go-udiff"
)

// patchFile is one file of a patch, in the format of git diff: "Generating patch text
// with -p" and "git apply" of its documentation.
type patchFile struct{ from, to *patchSide } // nil: there was, or is, none

type patchSide struct {
	path    string
	mode    uint32 // git's
	size    int64
	data    []byte
	special bool   // not a file that a patch can hold
	ranges  string // of a file that is too large, those that have changed
}

func (s *patchSide) large() bool { return s != nil && s.size > maxDiff }

// blob is the name of the content in git.
func (s *patchSide) blob() string {
	if s == nil {
		return strings.Repeat("0", 40)
	}
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", len(s.data))
	h.Write(s.data)
	return fmt.Sprintf("%x", h.Sum(nil))
}

// binary tells whether content is no text, as git does: a NUL in the first 8,000 bytes.
func (s *patchSide) binary() bool {
	return s != nil && bytes.IndexByte(s.data[:min(len(s.data), 8000)], 0) >= 0
}

// write writes nothing for a file that is the same on both sides.
func (f *patchFile) write(w io.Writer) error {
	from, to := f.from, f.to
	switch {
	case from != nil && from.special, to != nil && to.special:
		return f.remark(w, "special file")
	case from.large() || to.large():
		return f.remark(w, "larger than 64 MiB")
	case from != nil && to != nil && from.mode>>12 != to.mode>>12: // as git does: gone, and made anew
		gone, made := patchFile{from: from}, patchFile{to: to}
		if err := gone.write(w); err != nil {
			return err
		}
		return made.write(w)
	case from != nil && to != nil && from.path == to.path && from.mode == to.mode && bytes.Equal(from.data, to.data):
		return nil
	}
	var b bytes.Buffer
	f.header(&b)
	if from == nil || to == nil || !bytes.Equal(from.data, to.data) {
		f.body(&b)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (f *patchFile) paths() (from, to string) {
	switch {
	case f.from == nil:
		return f.to.path, f.to.path
	case f.to == nil:
		return f.from.path, f.from.path
	}
	return f.from.path, f.to.path
}

func (f *patchFile) remark(w io.Writer, why string) error {
	from, to := f.paths()
	s := fmt.Sprintf("# not in this patch: %s: %s", quotePath(to), why)
	if from != to {
		s += ", was " + quotePath(from)
	}
	switch {
	case f.to == nil:
		s += ", removed"
	case f.to.ranges != "":
		s += ", changed ranges " + f.to.ranges
	}
	_, err := fmt.Fprintln(w, s)
	return err
}

// header writes what comes before the content.
func (f *patchFile) header(b *bytes.Buffer) {
	from, to := f.paths()
	fmt.Fprintf(b, "diff --git %s %s\n", quotePath("a/"+from), quotePath("b/"+to))
	switch {
	case f.from == nil:
		fmt.Fprintf(b, "new file mode %o\n", f.to.mode)
	case f.to == nil:
		fmt.Fprintf(b, "deleted file mode %o\n", f.from.mode)
	default:
		if f.from.mode != f.to.mode {
			fmt.Fprintf(b, "old mode %o\nnew mode %o\n", f.from.mode, f.to.mode)
		}
		if from != to {
			if bytes.Equal(f.from.data, f.to.data) {
				b.WriteString("similarity index 100%\n")
			}
			fmt.Fprintf(b, "rename from %s\nrename to %s\n", quotePath(from), quotePath(to))
		}
	}
	if f.from == nil || f.to == nil || !bytes.Equal(f.from.data, f.to.data) {
		fmt.Fprintf(b, "index %s..%s", f.from.blob(), f.to.blob())
		if f.from != nil && f.to != nil && f.from.mode == f.to.mode {
			fmt.Fprintf(b, " %o", f.to.mode)
		}
		b.WriteByte('\n')
	}
}

// body writes how the content changes.
func (f *patchFile) body(b *bytes.Buffer) {
	var old, new []byte
	from, to := f.paths()
	a, z := quotePath("a/"+from), quotePath("b/"+to)
	if f.from != nil {
		old = f.from.data
	} else {
		a = "/dev/null"
	}
	if f.to != nil {
		new = f.to.data
	} else {
		z = "/dev/null"
	}
	if f.from.binary() || f.to.binary() {
		b.WriteString("GIT binary patch\n")
		literal(b, new)
		literal(b, old)
		return
	}
	if len(old)+len(new) == 0 {
		return
	}
	b.WriteString(udiff.Unified(label(a), label(z), string(old), string(new)))
}

// label is a path as the lines --- and +++ have it: behind one with a space comes a tab,
// so that nobody takes what follows for a time.
func label(p string) string {
	if strings.Contains(p, " ") {
		return p + "\t"
	}
	return p
}

// base85 is the alphabet of git's binary patches.
const base85 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"

// literal writes content as git's binary patches do: deflated, in lines of at most 52
// bytes, each with a letter for its length in front (A is 1, a is 27).
func literal(b *bytes.Buffer, data []byte) {
	fmt.Fprintf(b, "literal %d\n", len(data))
	var z bytes.Buffer
	c := zlib.NewWriter(&z)
	_, _ = c.Write(data) // into memory
	_ = c.Close()
	for p := z.Next(52); len(p) > 0; p = z.Next(52) {
		if n := len(p); n <= 26 {
			b.WriteByte(byte('A' + n - 1))
		} else {
			b.WriteByte(byte('a' + n - 27))
		}
		for len(p) > 0 {
			var four [4]byte
			n := copy(four[:], p)
			p = p[n:]
			v := binary.BigEndian.Uint32(four[:])
			var five [5]byte
			for i := 4; i >= 0; i-- {
				five[i] = base85[v%85]
				v /= 85
			}
			b.Write(five[:])
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
}

// quotePath quotes a path as git does where it has bytes that a line of a patch
// cannot hold.
func quotePath(p string) string {
	plain := true
	for i := range len(p) {
		if c := p[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			plain = false
		}
	}
	if plain {
		return p
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(p) {
		switch c := p[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < 0x20 || c >= 0x7f:
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
)

// kind is what a name stands for.
type kind byte

const (
	file    kind = '-'
	dir     kind = 'd'
	symlink kind = 'l'
	special kind = 'p'
)

// node is an object as far as it is compared.
type node struct {
	kind   kind
	mode   fs.FileMode // 12 permission bits as chmod(2) has them; 0 of symlinks
	size   int64       // bytes, of files
	mtime  int64       // seconds since 1970; compared of bases only
	sum    [32]byte    // SHA-256 of the content, of files
	target string      // of symlinks

	content []byte // of files that the story writes into
}

// tree is every name below a root, with slashes, and what it stands for.
type tree map[string]node

func (t tree) clone() tree { return maps.Clone(t) }

// readDisk reads a tree of this machine. Special files are never opened.
func readDisk(root string) (tree, error) {
	t := tree{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		n, err := diskNode(p, d)
		t[filepath.ToSlash(rel)] = n
		return err
	})
	return t, err
}

func diskNode(p string, d fs.DirEntry) (node, error) {
	st, err := d.Info()
	if err != nil {
		return node{}, err
	}
	n := node{kind: special, mode: unixMode(st.Mode()), mtime: st.ModTime().Unix()}
	switch {
	case st.IsDir():
		n.kind = dir
	case st.Mode().Type() == fs.ModeSymlink:
		n.kind, n.mode = symlink, 0
		n.target, err = os.Readlink(p)
	case st.Mode().IsRegular():
		n.kind, n.size = file, st.Size()
		var b []byte
		b, err = os.ReadFile(p)
		n.sum = sha256.Sum256(b)
		if filepath.Base(p) == "numbers.txt" {
			n.content = b
		}
	}
	return n, err
}

// unixMode is a mode of Go in the bits of chmod(2).
func unixMode(m fs.FileMode) fs.FileMode {
	p := m.Perm()
	if m&fs.ModeSetuid != 0 {
		p |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		p |= 0o2000
	}
	if m&fs.ModeSticky != 0 {
		p |= 0o1000
	}
	return p
}

// diff names the first difference to another tree, or returns "". Times count
// only where both trees know them.
func (t tree) diff(o tree) string {
	for _, name := range slices.Sorted(maps.Keys(t)) {
		a, b := t[name], o[name]
		switch {
		case b.kind == 0:
			return fmt.Sprintf("%q is missing", name)
		case a.kind != b.kind || a.size != b.size || a.mode != b.mode || a.target != b.target:
			return fmt.Sprintf("%q is %v, not %v", name, b, a)
		case a.sum != b.sum:
			return fmt.Sprintf("%q has other content", name)
		case a.mtime != b.mtime && a.mtime != 0 && b.mtime != 0:
			return fmt.Sprintf("%q has another mtime", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if _, ok := t[name]; !ok {
			return fmt.Sprintf("%q should not be there", name)
		}
	}
	return ""
}

func (n node) String() string {
	return fmt.Sprintf("%c %04o %d bytes %s", n.kind, uint32(n.mode), n.size, n.target)
}

// hash is one hash over all names, kinds, modes, times and contents.
func (t tree) hash() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(t)) {
		n := t[name]
		fmt.Fprintf(h, "%q %v %d %x\n", name, n, n.mtime, n.sum)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (t tree) bytes() (sum int64) {
	for _, n := range t {
		sum += n.size
	}
	return sum
}

// list is what ls -F prints of a directory; nil if there is none.
func (t tree) list(parent string) []string {
	if t[parent].kind != dir && parent != "." {
		return nil
	}
	names := []string{}
	for name, n := range t {
		if path.Dir(name) != parent {
			continue
		}
		s := path.Base(name)
		if q := strconv.Quote(s); q != `"`+s+`"` {
			s = q
		}
		switch n.kind {
		case dir:
			s += "/"
		case symlink:
			s += " -> " + n.target
		}
		names = append(names, s)
	}
	slices.Sort(names)
	return names
}

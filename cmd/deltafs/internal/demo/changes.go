package main

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// step is one change: how a client makes it, and what it makes of the tree.
type step struct {
	say    string
	do     func(*client) error
	expect func(tree) error
}

const (
	note   = "Nothing of this is in the base.\n"
	tenth  = "0123456789"
	middle = 1 << 20 // where in numbers.txt ten bytes are written
)

// changes are made in this order, of the names of the sample base.
var changes = []step{
	{"mkdir notes, write notes/today.txt",
		func(c *client) error {
			if err := c.mkdir("/notes"); err != nil {
				return err
			}
			return c.writeAt("/notes/today.txt", note, 0)
		},
		func(t tree) error {
			t["notes"] = node{kind: dir, mode: 0o755}
			t["notes/today.txt"] = node{kind: file, mode: 0o644, size: int64(len(note)), sum: sha256.Sum256([]byte(note))}
			return nil
		}},
	{"write 10 bytes into the middle of numbers.txt",
		func(c *client) error { return c.writeAt("/numbers.txt", tenth, middle) },
		func(t tree) error { return t.patch("numbers.txt", tenth, middle) }},
	{"remove CHANGELOG",
		func(c *client) error { return c.remove("/CHANGELOG") },
		func(t tree) error { return t.remove("CHANGELOG") }},
	{"rename the directory docs/guide to handbook",
		func(c *client) error { return c.rename("/docs/guide", "/handbook") },
		func(t tree) error { return t.rename("docs/guide", "handbook") }},
	{"symlink start -> handbook/getting-started.md",
		func(c *client) error { return c.symlink("handbook/getting-started.md", "/start") },
		func(t tree) error {
			t["start"] = node{kind: symlink, target: "handbook/getting-started.md"}
			return nil
		}},
	{"chmod 700 Makefile",
		func(c *client) error { return c.chmod("/Makefile", 0o700) },
		func(t tree) error {
			n, ok := t["Makefile"]
			if !ok {
				return fmt.Errorf("the base has no Makefile")
			}
			n.mode = 0o700
			t["Makefile"] = n
			return nil
		}},
}

// patch is a write into a file whose content the tree keeps.
func (t tree) patch(name, text string, at int) error {
	n, ok := t[name]
	if !ok || len(n.content) < at+len(text) {
		return fmt.Errorf("the base has no %s, or too short a one; make it with .ci/make-base", name)
	}
	b := append([]byte(nil), n.content...)
	copy(b[at:], text)
	n.content, n.sum = b, sha256.Sum256(b)
	t[name] = n
	return nil
}

func (t tree) remove(name string) error {
	if _, ok := t[name]; !ok {
		return fmt.Errorf("the base has no %s; make it with .ci/make-base", name)
	}
	delete(t, name)
	return nil
}

func (t tree) rename(from, to string) error {
	if _, ok := t[from]; !ok {
		return fmt.Errorf("the base has no %s; make it with .ci/make-base", from)
	}
	for name, n := range t.clone() {
		if rest, ok := strings.CutPrefix(name, from); ok && (rest == "" || rest[0] == '/') {
			delete(t, name)
			t[to+rest] = n
		}
	}
	return nil
}

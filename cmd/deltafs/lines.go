package main

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-billy/v5"

	"deltafs/billyfs"
	"deltafs/deltalog"
)

// lines are the live lines of a store, main and its forks, and what is done with
// them and with snapshots: for a server and for a store at rest alike.
type lines struct {
	base  billy.Filesystem
	store *deltalog.Store
	dir   string          // of the store
	o     billyfs.Options // of all trees, but the line
	// added and removed are told of lines that begin and end; nil: nobody is.
	added   func(name string, t *billyfs.Tree)
	removed func(name string)

	mu    sync.Mutex // one change at a time
	trees map[string]*billyfs.Tree
	ended []*billyfs.Tree // calls may still be in them
}

func newLines(base billy.Filesystem, store *deltalog.Store, dir string, o billyfs.Options) *lines {
	return &lines{base: base, store: store, dir: dir, o: o, trees: map[string]*billyfs.Tree{}}
}

// tree returns the tree of a line, main if the name is empty. It is closed with the
// others.
func (ls *lines) tree(name string) (*billyfs.Tree, error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.treeLocked(name)
}

func (ls *lines) treeLocked(name string) (*billyfs.Tree, error) {
	name = cmp.Or(name, billyfs.MainLine)
	if t := ls.trees[name]; t != nil {
		return t, nil
	}
	o := ls.o
	o.Line = name
	t, err := billyfs.Open(ls.base, ls.store, o)
	if err != nil {
		return nil, err
	}
	ls.trees[name] = t
	return t, nil
}

// forks returns the names of all lines but main, in order.
func (ls *lines) forks() (names []string) {
	for _, l := range ls.store.Layers() {
		if l.Live() && l.Name != billyfs.MainLine {
			names = append(names, l.Name)
		}
	}
	slices.Sort(names)
	return names
}

// verb is one change of lines and snapshots, as a command line or a call of the
// control socket asks for it.
type verb struct {
	Do   string // one of verbs
	Name string // all but flatten, discard, accept-base
	Fork string // the line that it is about; empty: main
	From string // fork: the snapshot to begin with; empty: the line as it is now
	// Paths are those of discard, none for all, and of accept-base.
	Paths []string
}

// verbs are the names of all.
var verbs = []string{"snapshot", "rollback", "fork", "accept", "drop", "flatten", "discard", "accept-base"}

// done is what a verb has done.
type done struct {
	Saved string `json:"saved,omitempty"` // rollback: what the line was before
	// Dropped are the snapshots that flatten has given up.
	Dropped []string `json:"dropped,omitempty"`
	Changes int      `json:"changes"` // discard, accept-base: how many paths were changed
	// Paths are those that were given up, of discard with paths, or accepted.
	Paths []string `json:"paths,omitempty"`
}

func (ls *lines) change(v verb) (d done, err error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	line := v.Fork
	if v.Do == "drop" && v.Name == line {
		line = "" // another line gives it up
	}
	t, err := ls.treeLocked(line)
	if err != nil {
		return d, err
	}
	switch v.Do {
	case "snapshot":
		return d, t.Snapshot(v.Name)
	case "rollback":
		d.Saved, err = t.Rollback(v.Name)
		return d, err
	case "fork":
		return d, ls.forkLocked(t, v)
	case "accept":
		return d, ls.acceptLocked(t, v.Name)
	case "drop":
		return d, ls.dropLocked(t, v.Name)
	case "flatten":
		d.Dropped, err = t.Flatten()
		return d, err
	case "discard", "accept-base":
		return changePaths(t, v)
	}
	return d, errors.New("no such verb: " + quote(v.Do))
}

func (ls *lines) forkLocked(t *billyfs.Tree, v verb) error {
	if err := t.Fork(v.Name, v.From); err != nil {
		return err
	}
	if ls.added == nil {
		return nil
	}
	f, err := ls.treeLocked(v.Name)
	if err == nil {
		ls.added(v.Name, f)
	}
	return err
}

func (ls *lines) acceptLocked(t *billyfs.Tree, name string) error {
	f, err := ls.treeLocked(name)
	if err != nil {
		return err
	}
	if f == t {
		return t.Accept(f) // which says what is wrong with that
	}
	if ls.removed != nil { // what is written to it from now on would be lost
		ls.removed(name)
	}
	if err := t.Accept(f); err != nil {
		if ls.added != nil {
			ls.added(name, f)
		}
		return err
	}
	ls.ended = append(ls.ended, f)
	delete(ls.trees, name)
	return nil
}

func (ls *lines) dropLocked(t *billyfs.Tree, name string) error {
	gone := ls.trees[name]
	if name == t.Line() {
		gone = nil // which cannot be dropped
	}
	if gone != nil && ls.removed != nil { // its clients shall hear "stale", and nothing else
		ls.removed(name)
	}
	if err := t.Drop(name); err != nil {
		if gone != nil && ls.added != nil {
			ls.added(name, gone)
		}
		return err
	}
	if gone != nil {
		ls.ended = append(ls.ended, gone)
		delete(ls.trees, name)
	}
	return nil
}

func (ls *lines) close() error {
	var errs []error
	for _, t := range ls.trees {
		errs = append(errs, t.Close())
	}
	for _, t := range ls.ended {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}

// lineInfo is a line or a snapshot, as "list --json" and the control socket give it.
type lineInfo struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`           // line or snapshot
	Auto    bool   `json:"auto,omitempty"` // a snapshot that a rollback has made
	Created string `json:"created"`
	On      string `json:"on,omitempty"` // the snapshot that it is based on
}

// listLines lists lines first, main before all, then snapshots, oldest first.
func listLines(s *deltalog.Store) []lineInfo {
	byID := map[deltalog.LayerID]deltalog.Layer{}
	layers := s.Layers()
	for _, l := range layers {
		byID[l.ID] = l
	}
	rank := func(l deltalog.Layer) int {
		switch {
		case !l.Live():
			return 2
		case l.Name != billyfs.MainLine:
			return 1
		}
		return 0
	}
	slices.SortFunc(layers, func(a, b deltalog.Layer) int {
		if a.Live() && b.Live() {
			return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.Name, b.Name))
		}
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Created, b.Created), cmp.Compare(a.ID, b.ID))
	})
	list := []lineInfo{}
	for _, l := range layers {
		if l.Name == "" {
			continue
		}
		i := lineInfo{Name: l.Name, Kind: "snapshot", Created: time.Unix(0, l.Created).UTC().Format(time.RFC3339Nano),
			Auto: l.Flags&deltalog.LayerAuto != 0}
		if l.Live() {
			i.Kind = "line"
		}
		for at := l.Parent; at != 0 && i.On == ""; at = byID[at].Parent {
			i.On = byID[at].Name
		}
		list = append(list, i)
	}
	return list
}

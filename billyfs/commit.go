package billyfs

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5"

	"deltafs/deltalog"
)

// A commit makes the base what the merged tree is, while that is in use. It freezes the live
// layer and goes on in a new one; then it takes one record after the other out of the frozen
// layer and does in the base what the record says. At each moment the merged tree is
// the same, whichever of the two shows a thing: so a commit can stop anywhere, and what is
// left in the frozen layer is what is left to do.
//
// What touches the base is done in groups. First new objects are made under hidden
// names and synced. Then an intent for each step of the group is logged and synced, and the
// base is changed: names by one rename, link or unlink each, contents in place, by ranges.
// The base is synced. Then one batch takes the records out of the frozen layer, pins numbers
// to places of the base, corrects what the live layer says of the same objects, and drops the
// intents. After a crash the intents tell what may have been touched; where the objects of it
// are is looked up, and the steps are done again.

// Writer is a base that can be committed to. Paths are relative to its root, with slashes; no
// call follows a symlink. What it cannot do fails with errors.ErrUnsupported.
type Writer interface {
	billy.Basic // files that OpenFile opens for writing have WriteAt and Sync, too
	Symlink(target, name string) error
	Mkdir(name string, perm fs.FileMode) error
	Link(old, name string) error
	Mknod(name string, mode, major, minor uint32) error // type as in S_IFMT
	Chmod(name string, perm uint32) error               // 12 permission bits
	Lchown(name string, uid, gid int) error
	Chtimes(name string, atime, mtime time.Time) error
	// SyncAll makes all durable that was changed in the file system that dir lies on. If it does so for
	// contents of files, a method SyncsContents says true; else those are synced one by one.
	SyncAll(dir string) error
}

// ConflictPolicy says what to do where the base has changed underneath a change.
type ConflictPolicy string

const (
	// ConflictFail refuses the whole commit before anything is done.
	ConflictFail ConflictPolicy = "fail"
	// ConflictSkip leaves paths that are in conflict in the delta, and commits the others.
	ConflictSkip ConflictPolicy = "skip"
	// ConflictDelta lets the delta win where nothing of a changed file shows through, and
	// leaves the rest in the delta.
	ConflictDelta ConflictPolicy = "delta"
	// ConflictBase gives the changes up that are in conflict.
	ConflictBase ConflictPolicy = "base"
)

// CommitOptions say what Commit does.
type CommitOptions struct {
	Base       Writer         // the same tree as the base that the Tree was opened on
	Paths      []string       // of the merged tree, what is below them too; none: all
	Ignore     []string       // patterns of names or paths that stay in the delta (Ignored)
	OnConflict ConflictPolicy // empty: fail
	// DropSnapshots gives named snapshots up; else a commit is refused while there are any.
	DropSnapshots bool
	// Progress is told how far the commit is, now and then; may be nil.
	Progress func(CommitProgress)

	// Kind makes the commit rest as much as it works, so that calls of clients are not held up on a machine
	// with few processors.
	Kind bool
	// Stop, when it is closed, ends the commit between two groups of steps; it has begun, then, and Resume
	// goes on. May be nil.
	Stop <-chan struct{}

	hook func(at string) error // tests: an error ends it there, as a crash would
}

// CommitProgress is how far a commit is.
type CommitProgress struct {
	Steps, AllSteps int   // things to do in the base; of the rest it is not known yet how many
	Bytes, AllBytes int64 // of contents
}

// Committed is what a commit has done.
type Committed struct {
	Made    int   `json:"made"`    // objects that are new in the base
	Moved   int   `json:"moved"`   // names that objects of it have been given
	Written int   `json:"written"` // objects whose content or attributes were changed
	Removed int   `json:"removed"` // names that are gone
	Bytes   int64 `json:"bytes"`   // of content that were written
	// Also are paths that were not asked for and had to come along.
	Also []string `json:"also"`
	// Conflicts are paths that stay in the delta, or, with ConflictBase, were given up.
	Conflicts []Conflict `json:"conflicts"`
	// Kept are paths of which attributes stay in the delta, because the base does not take them.
	Kept    []Conflict `json:"kept"`
	Dropped []string   `json:"dropped"` // snapshots that were given up
}

// Under tells whether a path is one of paths or below one, as any path is of none, and of ".".
func Under(paths []string, p string) bool {
	return len(paths) == 0 || slices.ContainsFunc(paths, func(q string) bool {
		return q == "." || p == q || strings.HasPrefix(p, q+"/")
	})
}

// Ignored returns a function that tells whether a path is one that the patterns mean, or below
// one: those of path.Match, for a whole path if there is a slash in it and else for a name.
func Ignored(patterns []string) (func(string) bool, error) {
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return nil, &Error{Op: "ignore", Path: p, Kind: Invalid, Err: err}
		}
	}
	return func(p string) bool {
		for ; p != "." && p != "/" && p != ""; p = path.Dir(p) {
			for _, pat := range patterns {
				what := p
				if path.Base(pat) == pat {
					what = path.Base(p)
				}
				if ok, _ := path.Match(pat, what); ok {
					return true
				}
			}
		}
		return false
	}, nil
}

// header is what the store keeps of a commit that has begun.
type header struct {
	Paths, Ignore [][]byte
	OnConflict    ConflictPolicy
}

// Numbers of notes: the header is text in as many as it takes; intents are under
// the numbers of objects.
const (
	headerNote  Ino = 2
	headerNotes     = int(firstIno - headerNote)
)

const commitOp = "commit"

// Unfinished tells whether a commit has begun and is not done.
func (t *Tree) Unfinished() bool { return t.unfinished.Load() }

// PlanCommit says what Commit would do, as lines of Status, which paths it would take along, and
// with which it would be in conflict. It changes nothing.
func (t *Tree) PlanCommit(o CommitOptions) ([]StatusEntry, Committed, error) {
	var done Committed
	ignore, err := Ignored(o.Ignore)
	if err != nil {
		return nil, done, err
	}
	if done.Dropped, err = t.leaning(o.DropSnapshots); err != nil {
		return nil, done, err
	}
	p, err := t.makePlan(t.live(), o.Paths, ignore, false)
	if err != nil {
		return nil, done, err
	}
	if done.Conflicts, err = p.check(o.OnConflict == ConflictDelta); err != nil {
		return nil, done, err
	}
	done.Also = sortedKeys(p.also)
	var list []StatusEntry
	err = t.Status(func(s StatusEntry) error {
		if Under(o.Paths, s.Path) && !ignore(s.Path) || p.also[s.Path] {
			list = append(list, s)
		}
		return nil
	})
	return list, done, err
}

func sortedKeys(m map[string]bool) []string {
	return append([]string{}, slices.Sorted(maps.Keys(m))...)
}

// Commit makes the base what the tree is, or what it is at and below some paths, durably. Calls
// go on meanwhile and see no difference; what they change stays in the delta. Busy: another
// commit is under way. A *ConflictError, of kind Drifted, names what the base has changed
// underneath; NotPermitted: snapshots or forks lean on the base. Other errors leave a commit that
// has begun: Resume, or the next Commit, goes on.
func (t *Tree) Commit(o CommitOptions) (Committed, error) {
	if !t.committing.TryLock() {
		return Committed{}, &Error{Op: commitOp, Path: t.line, Kind: Busy, Err: errUnfinished}
	}
	defer t.committing.Unlock()
	if t.base.immutable {
		return Committed{}, &Error{Op: commitOp, Path: t.line, Kind: NotSupported, Err: errors.New("the base was declared immutable")}
	}
	if t.unfinished.Load() {
		if done, err := t.resume(o); err != nil {
			return done, err
		}
	}
	o.OnConflict = cmp.Or(o.OnConflict, ConflictFail)
	_, done, err := t.PlanCommit(o)
	if err != nil {
		return done, err
	}
	if o.OnConflict == ConflictFail && len(done.Conflicts) > 0 {
		return done, &Error{Op: commitOp, Path: t.line, Kind: Drifted, Err: &ConflictError{done.Conflicts}}
	}
	conflicts := done.Conflicts
	for _, name := range done.Dropped {
		if err := t.Drop(name); err != nil {
			return done, err
		}
	}
	release := t.store.HoldSettling()
	defer release()
	if err := t.freezeFor(o); err != nil {
		return done, err
	}
	dropped := done.Dropped
	done, err = t.run(o, false)
	done.Dropped = dropped
	if conflicts = append(conflicts, done.Conflicts...); err == nil && o.OnConflict == ConflictBase && len(conflicts) > 0 {
		var paths []string
		for _, c := range conflicts {
			paths = append(paths, c.Path)
		}
		if _, err = t.DiscardPaths(paths); KindOf(err) == NotExist { // what it was has gone since
			err = nil
		}
	}
	return done, err
}

// Resume finishes a commit that has begun. Nothing happens if there is none.
func (t *Tree) Resume(o CommitOptions) (Committed, error) {
	t.committing.Lock()
	defer t.committing.Unlock()
	return t.resume(o)
}

func (t *Tree) resume(o CommitOptions) (Committed, error) {
	if !t.unfinished.Load() {
		return Committed{}, nil
	}
	h, err := t.header()
	if err != nil {
		return Committed{}, err
	}
	o.Paths, o.Ignore, o.OnConflict = texts(h.Paths), texts(h.Ignore), h.OnConflict
	release := t.store.HoldSettling()
	defer release()
	return t.run(o, true)
}

func texts(list [][]byte) (out []string) {
	for _, p := range list {
		out = append(out, string(p))
	}
	return out
}

func bytesOf(list []string) (out [][]byte) {
	for _, s := range list {
		out = append(out, []byte(s))
	}
	return out
}

// leaning returns the snapshots that a commit gives up, and refuses it for what it may not
// give up: all of them see through to the base.
func (t *Tree) leaning(drop bool) ([]string, error) {
	dropped := []string{}
	var c ConflictError
	for _, l := range t.store.Layers() {
		switch {
		case l.Name == "" || l.Name == t.line:
		case l.Live():
			c.Conflicts = append(c.Conflicts, Conflict{l.Name, "a fork: accept it or drop it first"})
		case drop || l.Flags&deltalog.LayerAuto != 0:
			dropped = append(dropped, l.Name)
		default:
			c.Conflicts = append(c.Conflicts, Conflict{l.Name, "a snapshot: drop it first, or let the commit drop it"})
		}
	}
	if c.Conflicts != nil {
		return nil, &Error{Op: commitOp, Path: t.line, Kind: NotPermitted, Err: &leanError{c}}
	}
	return dropped, nil
}

type leanError struct{ ConflictError }

func (e *leanError) Error() string {
	s := "others see through to the base:"
	for _, c := range e.Conflicts {
		s += fmt.Sprintf(" %s (%s)", c.Path, c.Reason)
	}
	return s
}

// freezeFor freezes the live layer and notes that a commit has begun, in this order: without the
// note, a frozen layer below the live one means nothing.
func (t *Tree) freezeFor(o CommitOptions) error {
	text, err := json.Marshal(header{bytesOf(o.Paths), bytesOf(o.Ignore), o.OnConflict})
	if err != nil {
		return &Error{Op: commitOp, Path: t.line, Kind: Invalid, Err: err}
	}
	if len(text) > headerNotes*deltalog.MaxTarget {
		return &Error{Op: commitOp, Path: t.line, Kind: Invalid, Err: errors.New("too many paths at once; name directories, or commit in parts")}
	}
	if err := t.step(commitOp, ""); err != nil {
		return err
	}
	var b deltalog.Batch
	for key := headerNote; len(text) > 0; key++ {
		n := min(len(text), deltalog.MaxTarget)
		b.Note(key, string(text[:n]))
		text = text[n:]
	}
	t.unfinished.Store(true)
	if err := t.logCommit(&b); err != nil {
		t.unfinished.Store(false)
		return err
	}
	return nil
}

// header reads what freezeFor has noted.
func (t *Tree) header() (h header, err error) {
	var text string
	err = t.store.EachNote(func(key Ino, s string) bool {
		if key < firstIno && key != RootIno {
			text += s
		}
		return true
	})
	if err == nil {
		err = json.Unmarshal([]byte(text), &h)
	}
	if err != nil {
		return h, &Error{Op: commitOp, Path: "store", Kind: KindIO, Err: err}
	}
	return h, nil
}

// logCommit appends a batch of a commit and syncs it.
func (t *Tree) logCommit(b *deltalog.Batch) error {
	b.Thaw()
	lsn, err := t.store.Append(b)
	if err == nil {
		err = t.store.Sync(lsn)
	}
	if err != nil {
		return &Error{Op: commitOp, Path: "store", Kind: storeKind(err), Err: err}
	}
	return nil
}

// run does a commit that has begun.
func (t *Tree) run(o CommitOptions, again bool) (Committed, error) {
	c := &committer{t: t, w: o.Base, o: o, again: again, kept: map[string]string{}}
	c.done.Conflicts, c.done.Kept, c.done.Also = []Conflict{}, []Conflict{}, []string{}
	err := c.run()
	if err == nil {
		err = c.end()
	}
	for _, p := range sortedKeysOf(c.kept) {
		c.done.Kept = append(c.done.Kept, Conflict{p, c.kept[p]})
	}
	if err != nil && KindOf(err) == NoSpace {
		err = &Error{Op: commitOp, Path: t.line, Kind: NoSpace, Err: fmt.Errorf("the commit has begun and goes on when there is room: %w", err)}
	}
	return c.done, err
}

func sortedKeysOf(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

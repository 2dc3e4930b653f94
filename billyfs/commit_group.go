package billyfs

import (
	"encoding/json"
	"errors"
	"io/fs"
	"syscall"
	"time"

	"deltafs/deltalog"
)

// Bounds of a group of steps, which become durable together.
const (
	groupSteps = 64
	groupBytes = 64 << 20
)

// The same of a commit that is kind.
const (
	kindSteps = 16
	kindBytes = 1 << 20
)

// What a step does in the base.
const (
	stepMove   = "move"   // from one place to another, over what is dead there
	stepMake   = "make"   // the same of a new object, which has a hidden name so far
	stepLink   = "link"   // another name
	stepUnlink = "unlink" // one name less
	stepWrite  = "write"  // content and attributes in place
	stepAdopt  = "adopt"  // nothing: it is done already
	stepSettle = "settle" // nothing, either: content and attributes are as they should be
)

// task is one thing to do in the base, and while it may have been begun a note in the store: its
// intent.
type task struct {
	Seq      int // order in the group
	Kind     string
	Ino      Ino
	From, To site
	Was      site   // link: a place that the object has, which its number may come from; unlink: that it keeps
	Over     Ino    // that is at To so far, and dead
	Inode    uint64 // number of the object in the base; 0: unknown
	Home     deltalog.Home

	size int64 // bytes to write
	kept string
	fail error // it has not been done
}

// idle tells whether a step does nothing in the base.
func (s *task) idle() bool { return s.Kind == stepAdopt || s.Kind == stepSettle }

// site is a place, as JSON keeps it whatever bytes are in the name.
type site struct {
	Parent Ino    `json:",omitempty"`
	Name   []byte `json:",omitempty"`
}

func (s site) place() place { return place{s.Parent, string(s.Name)} }
func siteOf(p place) site   { return site{p.parent, []byte(p.name)} }

// add puts a step into the group, which is done when it is full.
func (c *committer) add(s *task) error {
	// What is dead has no handle to keep; the name that it was met by may be gone.
	if s.Kind != stepWrite && !s.idle() && !(s.Kind == stepUnlink && c.isDead(s.Ino)) {
		var err error
		if s.Home, err = c.homeOf(s.Ino); err != nil {
			c.stop(s, err)
			return nil
		}
	}
	if s.Kind == stepLink {
		at, err := c.t.lowerPlace(s.Ino)
		if err != nil {
			c.stop(s, err)
			return nil
		}
		s.Was = siteOf(at)
	}
	if s.Kind == stepUnlink && !c.isDead(s.Ino) {
		for _, at := range c.p.at[s.Ino] {
			if at != s.From.place() && (s.Was.Parent == 0 || !c.loses(s.Ino, at)) {
				s.Was = siteOf(at)
			}
		}
	}
	s.Seq = len(c.group)
	c.group = append(c.group, s)
	c.bytes += s.size
	c.busy[s.Ino] = true
	if s.Over != 0 {
		c.busy[s.Over] = true
	}
	steps, bytes := groupSteps, int64(groupBytes)
	if c.o.Kind && !s.idle() { // what syncs at a time, others wait for
		steps, bytes = kindSteps, kindBytes
	}
	if len(c.group) >= steps || c.bytes >= bytes {
		return c.flush()
	}
	return nil
}

// stop notes that a step has not been done: its path is a conflict, and stays in the delta.
func (c *committer) stop(s *task, err error) {
	s.fail = err
	reason := err.Error()
	if k := KindOf(err); k != KindIO {
		reason = k.String()
	}
	switch {
	case s.To.Parent != 0 && !c.t.base.hides(string(s.To.Name)):
		c.p.barred[s.To.place()] = reason
	case s.Ino != 0:
		c.p.blocked[s.Ino] = reason
	}
	c.t.log.Warn("commit: not done", "step", s.Kind, "object", inoName(s.Ino), "err", err)
}

// fatal tells whether an error ends the commit for now: the base has no room, or is gone.
func fatal(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS) ||
		errors.Is(err, syscall.EIO) || errors.Is(err, errKilled)
}

var errStopped = errors.New("it was stopped, and goes on next time")

// errKilled is what tests end a commit with.
var errKilled = errors.New("killed")

func (c *committer) at(what string) error {
	if c.o.hook == nil {
		return nil
	}
	return c.o.hook(what)
}

// fatalError is the error of a commit that ends for now.
func (c *committer) fatalError(err error) error {
	kind := KindIO
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		kind = NoSpace
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		kind = ReadOnly
	}
	return &Error{Op: commitOp, Path: "base", Kind: kind, Err: err}
}

// flush does the group.
func (c *committer) flush() error {
	group := c.group
	c.group, c.bytes, c.busy = nil, 0, map[Ino]bool{}
	if len(group) == 0 {
		return nil
	}
	select {
	case <-c.o.Stop:
		return &Error{Op: commitOp, Path: c.t.line, Kind: Busy, Err: errStopped}
	default:
	}
	if err := c.prepare(group); err != nil {
		return c.fatalError(err)
	}
	if err := c.intend(group); err != nil {
		return err
	}
	if err := c.at("intents"); err != nil {
		return err
	}
	touched := c.again // what an earlier run has done is perhaps not durable yet
	for _, s := range group {
		if s.fail != nil || s.idle() {
			continue
		}
		touched = true
		err := c.apply(s)
		if err != nil && fatal(err) {
			return c.fatalError(err)
		}
		if err != nil {
			c.stop(s, err)
		}
		c.rest()
		if err := c.at("applied " + s.Kind); err != nil {
			return err
		}
	}
	if touched {
		if err := c.syncBase(group); err != nil {
			return c.fatalError(err)
		}
	}
	if err := c.at("synced"); err != nil {
		return err
	}
	if err := c.finish(group); err != nil {
		return err
	}
	for _, s := range group {
		c.prog.Steps++
		c.prog.Bytes += s.size
		if s.fail == nil {
			c.tell(s)
		}
	}
	if c.o.Progress != nil {
		c.o.Progress(c.prog)
	}
	return c.at("finished")
}

// rest lets others run, if the commit is to be kind, for as long as it has worked since it did so last.
func (c *committer) rest() {
	if !c.o.Kind {
		return
	}
	if worked := time.Since(c.worked); worked > kindSlice && !c.worked.IsZero() {
		time.Sleep(min(worked, kindMost))
	} else if !c.worked.IsZero() {
		return
	}
	c.worked = time.Now()
}

// How long a kind commit works at a time, and rests at most.
const (
	kindSlice = 500 * time.Microsecond
	kindMost  = 20 * time.Millisecond
)

// tell counts a step that was done.
func (c *committer) tell(s *task) {
	hidden := c.t.base.hides(string(s.To.Name))
	switch s.Kind {
	case stepMake:
		c.done.Made++
		c.done.Bytes += s.size
	case stepMove, stepLink:
		if !hidden {
			c.done.Moved++
		}
	case stepUnlink:
		c.done.Removed++
	case stepWrite:
		c.done.Bytes += s.size
	}
}

// intend logs and syncs what is about to happen.
func (c *committer) intend(group []*task) error {
	var b deltalog.Batch
	n := 0
	for _, s := range group {
		if s.fail != nil || s.idle() {
			continue
		}
		if s.Kind != stepMake {
			if _, st, err := c.t.base.stat(s.Ino, false); err == nil {
				s.Inode = st.inode
			}
		}
		text, err := json.Marshal(s)
		if err != nil {
			return &Error{Op: commitOp, Path: inoName(s.Ino), Kind: KindIO, Err: err}
		}
		b.Note(s.Ino, string(text))
		n++
	}
	if n == 0 {
		return nil
	}
	if err := c.t.logCommit(&b); err != nil {
		return err
	}
	for _, s := range group {
		if s.fail == nil && !s.idle() {
			c.t.applying.Store(s.Ino, true)
			c.t.applying.Store(s.Over, true)
		}
	}
	return nil
}

// syncBase makes what the group has done in the base durable.
func (c *committer) syncBase(group []*task) error {
	seen := map[uint64]bool{}
	for _, s := range group {
		for _, dir := range []Ino{s.To.Parent, s.From.Parent, s.Ino} {
			if dir == 0 {
				continue
			}
			o, st, err := c.t.base.stat(dir, true)
			if err == nil && o.typ != TypeDir {
				dir = o.parent
			}
			if err != nil || seen[st.dev] {
				continue
			}
			p, err := c.t.base.path(dir)
			if err != nil {
				continue
			}
			if err := c.w.SyncAll(p); err != nil {
				return err
			}
			seen[st.dev] = true
		}
	}
	return nil
}

// end forgets that there was a commit.
func (c *committer) end() error {
	var b deltalog.Batch
	err := c.t.store.EachNote(func(key Ino, _ string) bool {
		b.DropNote(key)
		return true
	})
	if err != nil {
		return &Error{Op: commitOp, Path: "store", Kind: storeKind(err), Err: err}
	}
	places, inos := c.t.pinRest(&b)
	if err := c.t.logCommit(&b); err != nil {
		return err
	}
	c.t.base.settled(places, inos)
	c.t.applying.Clear()
	c.t.unfinished.Store(false)
	return c.t.trimPins()
}

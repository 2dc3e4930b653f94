package billyfs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"deltafs/deltalog"
)

// committer is one run of a commit.
type committer struct {
	t      *Tree
	w      Writer
	o      CommitOptions
	p      *plan
	frozen []deltalog.LayerID // that changes are taken out of, topmost first
	top    deltalog.LayerID
	again  bool // it was cut short
	done   Committed
	kept   map[string]string
	prog   CommitProgress

	buf    []byte
	worked time.Time // since the last rest

	group []*task
	bytes int64
	busy  map[Ino]bool // what the group is about
	ready map[Ino]bool // files that are as they should be, but for names
}

// run does all steps that there are.
func (c *committer) run() (err error) {
	t := c.t
	chain := t.store.Chain(t.live())
	if len(chain) < 2 {
		return nil
	}
	c.frozen, c.top = chain[1:], chain[1]
	ignore, err := Ignored(c.o.Ignore)
	if err != nil {
		return err
	}
	if c.p, err = t.makePlan(c.top, c.o.Paths, ignore, c.again); err != nil {
		return err
	}
	if _, err = c.p.check(c.o.OnConflict == ConflictDelta); err != nil {
		return err
	}
	c.done.Also = sortedKeys(c.p.also)
	c.busy, c.ready = map[Ino]bool{}, map[Ino]bool{}
	c.count()
	for _, phase := range []func() error{c.clear, c.place, c.files, c.remove, c.sweep, c.dirs} {
		if err = phase(); err == nil {
			err = c.flush()
		}
		if err != nil {
			return err
		}
	}
	if c.again {
		c.unstage()
	}
	c.done.Conflicts = c.p.conflicts()
	return nil
}

// unstage takes away what a run that was cut short had made by hidden names and this one has not
// given its own: what some paths could not be done without may not be needed any more.
func (c *committer) unstage() {
	for at, e := range c.p.changes.entries {
		if e.Whiteout || c.t.inBase(e.Ino) || !c.t.inBase(at.parent) {
			continue
		}
		if p, err := c.pathAt(place{at.parent, c.stageName(e.Ino, at)}); err == nil {
			_ = c.w.Remove(p) // there is none, as a rule
			c.rest()
		}
	}
}

// count estimates what there is to do.
func (c *committer) count() {
	c.prog.AllSteps = len(c.p.entries) + len(c.p.inodes)
	for ino := range c.p.inodes {
		if r := c.p.changes.inodes[ino]; r.Mode&TypeMask == TypeRegular && c.p.alive(ino) {
			c.prog.AllBytes += c.dataOf(ino, &r)
		}
	}
}

func (c *committer) dataOf(ino Ino, r *deltalog.Inode) (sum int64) {
	_ = c.t.store.DataRanges(c.top, ino, 0, int64(r.Size), func(_, n int64) bool { // an estimate
		sum += n
		return true
	})
	return sum
}

// chosen returns the entries to do, those of upper directories first.
func (c *committer) chosen() (list []place) {
	depth := map[place]int{}
	for at := range c.p.entries {
		if _, ok := c.p.changes.entries[at]; ok && c.p.barred[at] == "" {
			list, depth[at] = append(list, at), c.p.depthOf(at)
		}
	}
	slices.SortFunc(list, func(a, b place) int {
		return cmp.Or(cmp.Compare(depth[a], depth[b]), cmp.Compare(a.parent, b.parent), strings.Compare(a.name, b.name))
	})
	return list
}

// typeOf returns the type of an object of the base.
func (c *committer) typeOf(ino Ino) uint32 {
	if o := c.t.base.known(ino); o != nil {
		return o.typ
	}
	return c.p.changes.inodes[ino].Mode & TypeMask
}

// isDead tells of what holds a place whether it is to go. What the delta knows nothing of is, if
// it came this far.
func (c *committer) isDead(ino Ino) bool {
	r, ok := c.p.changes.inodes[ino]
	return !ok || r.Flags&deltalog.InodeDead != 0
}

// clear moves away what holds places that others need: to a hidden name in its directory.
// What is dead and no directory, a rename goes over.
func (c *committer) clear() error {
	for _, at := range c.chosen() {
		if err := c.free(c.p.holder[at]); err != nil {
			return err
		}
		e, h := c.p.changes.entries[at], c.p.holder[at]
		if e.Whiteout || h == 0 || h == e.Ino || c.p.blocked[h] != "" || c.p.blocked[e.Ino] != "" {
			continue
		}
		if c.isDead(h) && c.typeOf(h) != TypeDir && e.Type != TypeDir {
			continue
		}
		s := &task{Kind: stepMove, Ino: h, From: siteOf(at), To: siteOf(place{at.parent, c.stageName(h, at)})}
		if err := c.add(s); err != nil {
			return err
		}
	}
	return nil
}

// free does the group if it is about one of these objects: what is next depends on it.
func (c *committer) free(inos ...Ino) error {
	for _, ino := range inos {
		if ino != 0 && c.busy[ino] {
			return c.flush()
		}
	}
	return nil
}

// stageName is the hidden name of an object that comes from, or goes to, a place.
func (c *committer) stageName(ino Ino, at place) string {
	return fmt.Sprintf("%s%x-%x", c.t.base.hidden, uint64(ino), c.t.base.cookie(at.name))
}

// place gives objects their names, from the top down.
func (c *committer) place() error {
	for _, at := range c.chosen() {
		e := c.p.changes.entries[at]
		if e.Whiteout {
			continue
		}
		if err := c.free(e.Ino, at.parent, c.p.holder[at]); err != nil {
			return err
		}
		if err := c.placeOne(at, e); err != nil {
			return err
		}
	}
	return nil
}

func (c *committer) placeOne(at place, e deltalog.Entry) error {
	h := c.p.holder[at]
	s := &task{Ino: e.Ino, To: siteOf(at)}
	switch {
	case c.p.blocked[e.Ino] != "":
		return nil
	case !c.t.inBase(at.parent):
		c.p.barred[at] = "its directory is not in the base"
		return nil
	case h == e.Ino:
		s.Kind = stepAdopt
		return c.add(s)
	case h != 0 && (!c.isDead(h) || c.typeOf(h) == TypeDir || e.Type == TypeDir):
		c.p.barred[at] = cmp.Or(c.p.blocked[h], "what has its place in the base cannot be moved")
		return nil
	}
	s.Over = h
	if !c.t.inBase(e.Ino) {
		r, ok := c.p.changes.inodes[e.Ino]
		if !ok {
			return nil
		}
		s.Kind, s.From = stepMake, siteOf(place{at.parent, c.stageName(e.Ino, at)})
		if r.Mode&TypeMask == TypeRegular {
			s.size = c.dataOf(e.Ino, &r)
		}
		return c.add(s)
	}
	if from, ok := c.leaving(e.Ino); ok {
		s.Kind, s.From = stepMove, siteOf(from)
		return c.add(s)
	}
	if e.Type == TypeDir {
		c.p.barred[at] = "where it is in the base is not known"
		return nil
	}
	s.Kind = stepLink
	return c.add(s)
}

// leaving returns a place of the base that an object has and is to lose.
func (c *committer) leaving(ino Ino) (place, bool) {
	for _, at := range c.p.at[ino] {
		if c.loses(ino, at) {
			return at, true
		}
	}
	return place{}, false
}

func (c *committer) loses(ino Ino, at place) bool {
	if c.t.base.hides(at.name) {
		return true
	}
	e, ok := c.p.changes.entries[at]
	return ok && c.p.entries[at] && c.p.barred[at] == "" && (e.Whiteout || e.Ino != ino)
}

// findOthers looks for names in the base of files that lose all those which the delta knows:
// their handles have to lead somewhere. It walks the whole base, if there is such a file.
func (c *committer) findOthers() error {
	want := map[Ino]bool{}
	for ino, places := range c.p.at {
		all := len(places) > 0 && c.p.alive(ino) && c.p.blocked[ino] == "" && c.typeOf(ino) != TypeDir
		for _, at := range places {
			all = all && c.loses(ino, at)
		}
		if all && c.hasOther(ino) {
			want[ino] = true
		}
	}
	return c.t.base.findNames(want, func(ino Ino, at place) bool {
		if c.loses(ino, at) {
			return false
		}
		c.p.gain(ino, at)
		return true
	})
}

// remove takes away names, from the bottom up.
func (c *committer) remove() error {
	if err := c.findOthers(); err != nil {
		return err
	}
	type one struct {
		s     *task
		depth int
	}
	var all []one
	for ino, places := range c.p.at {
		if c.p.blocked[ino] != "" {
			continue
		}
		for _, at := range places {
			if !c.loses(ino, at) {
				continue
			}
			dir, err := c.t.base.path(at.parent)
			if err != nil {
				continue // not there: sweep
			}
			all = append(all, one{&task{Kind: stepUnlink, Ino: ino, From: siteOf(at)}, strings.Count(dir, "/")})
			if dir == rootPath {
				all[len(all)-1].depth = -1
			}
		}
	}
	slices.SortFunc(all, func(a, b one) int {
		return cmp.Or(cmp.Compare(b.depth, a.depth), cmp.Compare(a.s.Ino, b.s.Ino), strings.Compare(string(a.s.From.Name), string(b.s.From.Name)))
	})
	for _, o := range all {
		if err := c.free(o.s.Ino); err != nil {
			return err
		}
		if !c.isDead(o.s.Ino) && !c.hasOther(o.s.Ino) {
			c.p.barred[o.s.From.place()] = "it is the last name that it has in the base"
			if err := c.putBack(o.s); err != nil {
				return err
			}
			continue
		}
		if err := c.add(o.s); err != nil {
			return err
		}
	}
	return nil
}

// hasOther tells whether a file has more names in the base than one.
func (c *committer) hasOther(ino Ino) bool {
	_, st, err := c.t.base.stat(ino, false)
	return err == nil && st.typ() != TypeDir && st.attr.Nlink > 1
}

// putBack gives what was moved away for nothing its name again, if that is still free.
func (c *committer) putBack(s *task) error {
	at := s.From.place()
	if !c.t.base.hides(at.name) {
		return nil
	}
	for q := range c.p.changes.entries {
		if q.parent == at.parent && c.stageName(s.Ino, q) == at.name && c.p.holder[q] == 0 {
			return c.add(&task{Kind: stepMove, Ino: s.Ino, From: s.From, To: siteOf(q)})
		}
	}
	return nil
}

// files brings content and attributes of all but directories to the base.
func (c *committer) files() error { return c.write(func(typ uint32) bool { return typ != TypeDir }) }

// dirs does so for directories, whose times have moved till now.
func (c *committer) dirs() error { return c.write(func(typ uint32) bool { return typ == TypeDir }) }

func (c *committer) write(which func(typ uint32) bool) error {
	var inos []Ino
	for ino := range c.p.inodes {
		if r, ok := c.p.changes.inodes[ino]; ok && which(r.Mode&TypeMask) && c.p.alive(ino) && c.t.inBase(ino) && c.p.blocked[ino] == "" {
			inos = append(inos, ino)
		}
	}
	slices.Sort(inos)
	for _, ino := range inos {
		r := c.p.changes.inodes[ino]
		s := &task{Kind: stepWrite, Ino: ino}
		switch _, st, err := c.t.base.stat(ino, false); {
		case c.p.contentChanged(ino, &r):
			s.size = c.dataOf(ino, &r)
		case err == nil && sameAttributes(&r, &st.attr):
			s.Kind = stepSettle
		}
		c.rest()
		if err := c.add(s); err != nil {
			return err
		}
	}
	return nil
}

// sweep takes records away that say nothing any more: of what is not in the base, as it should be.
func (c *committer) sweep() error {
	for at := range c.p.entries {
		if e, ok := c.p.changes.entries[at]; ok && e.Whiteout && c.p.holder[at] == 0 && !c.t.base.hides(at.name) {
			if err := c.add(&task{Kind: stepAdopt, From: siteOf(at)}); err != nil {
				return err
			}
		}
	}
	for ino := range c.p.inodes {
		if _, ok := c.p.changes.inodes[ino]; ok && !c.p.alive(ino) && len(c.p.at[ino]) == 0 && !c.inTheBase(ino) {
			if err := c.add(&task{Kind: stepAdopt, Ino: ino}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *committer) inTheBase(ino Ino) bool {
	_, _, err := c.t.base.stat(ino, false)
	return KindOf(err) != Stale
}

// homeOf is what the object's handle is made of, before it moves.
func (c *committer) homeOf(ino Ino) (deltalog.Home, error) {
	if ino&deltalog.Born != 0 {
		return deltalog.Home{Gen: bornGen}, nil
	}
	if ino == RootIno {
		return deltalog.Home{}, nil
	}
	h, err := c.t.home(ino)
	if err != nil || h.Gen != 0 {
		return h, err
	}
	h.Gen, err = c.t.base.gen(ino)
	return h, err
}

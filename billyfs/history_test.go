package billyfs

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// steps is the length of a history.
const steps = 200

// pair is one object as both sides know it.
type pair struct {
	tree Ino
	h    Handle // of the tree, taken when the object was met
	want obj
	gone bool // once gone it stays so
}

// history plays random calls on the tree and on another side, and fails at the
// first difference: in an error's kind, an attribute, a listing, a byte.
type history struct {
	*rapid.T
	tree  *treeSide
	want  side
	held  []*pair
	names []string
	who   []Caller
	// hostOnly leaves out what the host cannot be asked.
	onHost bool
	step   int
	snaps  map[string]*mem // what the snapshots of the tree hold
	base   *mem            // what the tree was at the beginning
	commit func()          // instead of layers; nil: no commits
}

func newHistory(t *rapid.T, r *rig, want side) *history {
	h := &history{T: t, tree: &treeSide{t: t, rig: r}, want: want, who: []Caller{root}, snaps: map[string]*mem{}}
	if m, ok := want.(*mem); ok {
		h.base = m.copy()
	}
	h.names = []string{"a", "b", "c", "d", "e", "f", "g", "l", "sub", "deep", "hard", "fifo", "h", "n07",
		".", "..", strings.Repeat("x", 255), strings.Repeat("y", 256)}
	h.meet(r.Root(), want.root())
	return h
}

// meet notes that an object of the tree is an object of the other side. One
// number is one object, for as long as it lives.
func (h *history) meet(ino Ino, want obj) {
	h.Helper()
	a, k := h.want.stat(want)
	if k != 0 {
		h.Fatalf("met an object that is gone: %v", k)
	}
	for _, p := range h.held {
		if p.gone {
			if p.tree == ino {
				h.Fatalf("number %d is in use again", ino)
			}
			continue
		}
		b, k := h.want.stat(p.want)
		if same := k == 0 && a.Ino == b.Ino && h.sameObject(want, p.want); same != (p.tree == ino) {
			h.Fatalf("inode %d and inode %d: one object or two? the other side says same: %v", ino, p.tree, same)
		} else if same {
			if want != p.want {
				letGo(want)
			}
			return
		}
	}
	handle, err := h.tree.rig.Handle(ino)
	if err != nil {
		h.Fatalf("handle: %v", err)
	}
	h.held = append(h.held, &pair{tree: ino, h: handle, want: want})
}

// letGo closes what a side has opened for an object.
func letGo(o obj) {
	if f, ok := o.(interface{ close() }); ok {
		f.close()
	}
}

func (h *history) sameObject(a, b obj) bool {
	_, isMem := a.(*memNode)
	return !isMem || a == b
}

func (h *history) pick() *pair {
	return h.held[rapid.IntRange(0, len(h.held)-1).Draw(h.T, "obj")]
}

// pickDir prefers directories, so that most calls get somewhere.
func (h *history) pickDir() *pair {
	p := h.pick()
	for range 5 {
		if a, k := h.want.stat(p.want); k == 0 && a.Mode&TypeMask == TypeDir {
			break
		}
		p = h.pick()
	}
	return p
}

func (h *history) name() string {
	s := rapid.SampledFrom(h.names).Draw(h.T, "name")
	if !h.onHost && s == "h" {
		s = rapid.SampledFrom([]string{"h", "", "x/y", "x\x00"}).Draw(h.T, "odd")
	}
	return s
}

func (h *history) caller() Caller { return rapid.SampledFrom(h.who).Draw(h.T, "caller") }

func (h *history) mode() uint32 {
	return rapid.Uint32Range(0, 0o7777).Draw(h.T, "mode") &^ h.never()
}

// never is the mode bits to leave out: where the sticky bit is set on the host,
// fs.protected_regular gets in the way.
func (h *history) never() uint32 {
	if h.onHost {
		return 0o1000
	}
	return 0
}

// expect compares the outcome of a call. It returns whether it succeeded.
func (h *history) expect(what string, got, want Kind) bool {
	h.Helper()
	if got != want {
		h.Fatalf("step %d: %s: tree says %v, want %v", h.step, what, got, want)
	}
	return got == 0
}

// on plays one call on both sides, and compares what it did to the times of
// the objects that it was told to work on.
func (h *history) on(what string, touched []*pair, tree, want func() Kind) bool {
	h.Helper()
	var before [][2]any
	for _, p := range touched {
		before = append(before, [2]any{h.tree.mark(p.tree), h.want.mark(p.want)})
	}
	if h.onHost && h.anyGone(touched) {
		// The host still does much with what is gone while it is open.
		k := tree()
		if k == NotDir { // said of the other one, if there are two
			k = Stale
		}
		return h.expect(what, k, Stale)
	}
	ok := h.expect(what, tree(), want())
	for i, p := range touched {
		m1, c1, _ := h.tree.moved(p.tree, before[i][0])
		m2, c2, knows := h.want.moved(p.want, before[i][1])
		if _, k := h.want.stat(p.want); k == 0 && (m1 != m2 || knows && c1 != c2) {
			h.Fatalf("step %d: %s: inode %d: mtime moved %v, want %v; ctime %v, want %v", h.step, what, p.tree, m1, m2, c1, c2)
		}
	}
	return ok
}

func (h *history) anyGone(touched []*pair) bool {
	for _, p := range touched {
		if _, k := h.want.stat(p.want); k != 0 {
			return true
		}
	}
	return false
}

// child returns the pair of what a name stands for, if it was met before.
func (h *history) child(dir *pair, name string) []*pair {
	touched := []*pair{dir}
	if o, k := h.tree.lookup(dir.tree, name); k == 0 {
		for _, p := range h.held {
			if p.tree == o.(Ino) && p != dir {
				touched = append(touched, p)
			}
		}
	}
	return touched
}

// making plays a call that makes an object.
func (h *history) making(what string, dir *pair, name string, call func(s side, dir obj) (obj, Kind)) {
	h.Helper()
	var a, b obj
	if h.on(fmt.Sprintf("%s %d/%.20q", what, dir.tree, name), h.child(dir, name),
		func() (k Kind) { a, k = call(h.tree, dir.tree); return k },
		func() (k Kind) { b, k = call(h.want, dir.want); return k }) {
		h.meet(a.(Ino), b)
	}
}

// play does one step.
func (h *history) play() {
	h.step++
	if len(h.held) > 40 {
		h.forget()
	}
	switch n := rapid.IntRange(0, 99).Draw(h.T, "step"); {
	case n < 15:
		h.playLookup()
	case n < 35:
		h.playMake()
	case n < 43:
		h.playLink()
	case n < 53:
		h.playRemove()
	case n < 65:
		h.playRename()
	case n < 75:
		h.playSetAttr()
	case n < 85:
		h.playWrite()
	case n < 92:
		h.playRead()
	case n < 95:
		h.compare(h.pick())
	case n < 97:
		if h.commit != nil {
			h.commit()
		} else {
			h.playLayers()
		}
	case n < 98:
		h.clean()
	default:
		h.reopen(n == 98)
	}
}

// forget lets go of some objects, not of the root.
func (h *history) forget() {
	kept := h.held[:1]
	for i, p := range h.held[1:] {
		if i%2 == 0 && !p.gone {
			kept = append(kept, p)
		} else {
			letGo(p.want)
		}
	}
	h.held = kept
}

func (h *history) playLookup() {
	dir, name := h.pickDir(), h.name()
	h.making("lookup", dir, name, func(s side, dir obj) (obj, Kind) { return s.lookup(dir, name) })
}

func (h *history) playMake() {
	dir, name, mode, c := h.pickDir(), h.name(), h.mode(), h.caller()
	switch rapid.IntRange(0, 5).Draw(h.T, "what") {
	case 0, 1:
		how := CreateHow{Mode: CreateMode(rapid.IntRange(0, 2).Draw(h.T, "how")), Attr: SetAttr{Mode: &mode}}
		if how.Verifier = rapid.Uint64Range(1, 2).Draw(h.T, "verifier"); h.onHost || h.commit != nil {
			how.Verifier = uint64(h.step)
		}
		if rapid.IntRange(0, 2).Draw(h.T, "sized") == 0 {
			how.Attr.Size = ptr(rapid.Uint64Range(0, 5000).Draw(h.T, "size"))
		}
		h.making("create", dir, name, func(s side, dir obj) (obj, Kind) { return s.create(c, dir, name, how) })
	case 2, 3:
		h.making("mkdir", dir, name, func(s side, dir obj) (obj, Kind) { return s.mkdir(c, dir, name, mode) })
	case 4:
		target := rapid.SampledFrom([]string{"a", "../d/f", strings.Repeat("t", 1000)}).Draw(h.T, "target")
		h.making("symlink", dir, name, func(s side, dir obj) (obj, Kind) { return s.symlink(c, dir, name, target) })
	case 5:
		types := []uint32{TypeFIFO, TypeSocket, TypeChar, TypeBlock}
		if h.onHost && !isRoot() {
			types = types[:2]
		}
		mode |= rapid.SampledFrom(types).Draw(h.T, "type")
		h.making("mknod", dir, name, func(s side, dir obj) (obj, Kind) { return s.mknod(c, dir, name, mode, 1, 3) })
	}
}

func (h *history) playLink() {
	o, dir, name := h.pick(), h.pickDir(), h.name()
	touched := h.child(dir, name)
	if o != dir {
		touched = append(touched, o)
	}
	h.on(fmt.Sprintf("link %d to %d/%.20q", o.tree, dir.tree, name), touched,
		func() Kind { return h.tree.link(root, o.tree, dir.tree, name) },
		func() Kind { return h.want.link(root, o.want, dir.want, name) })
}

func (h *history) playRemove() {
	dir, name := h.pickDir(), h.name()
	touched := h.child(dir, name)
	if rapid.Bool().Draw(h.T, "rmdir") {
		h.on(fmt.Sprintf("rmdir %d/%.20q", dir.tree, name), touched,
			func() Kind { return h.tree.rmdir(root, dir.tree, name) },
			func() Kind { return h.want.rmdir(root, dir.want, name) })
		return
	}
	h.on(fmt.Sprintf("remove %d/%.20q", dir.tree, name), touched,
		func() Kind { return h.tree.remove(root, dir.tree, name) },
		func() Kind { return h.want.remove(root, dir.want, name) })
}

func (h *history) playRename() {
	from, fromName, to, toName := h.pickDir(), h.name(), h.pickDir(), h.name()
	touched := h.child(from, fromName)
	for _, p := range h.child(to, toName) {
		known := false
		for _, q := range touched {
			known = known || p == q
		}
		if !known {
			touched = append(touched, p)
		}
	}
	h.on(fmt.Sprintf("rename %d/%.20q to %d/%.20q", from.tree, fromName, to.tree, toName), touched,
		func() Kind { return h.tree.rename(root, from.tree, fromName, to.tree, toName) },
		func() Kind { return h.want.rename(root, from.want, fromName, to.want, toName) })
}

func (h *history) playSetAttr() {
	o, c := h.pick(), h.caller()
	a, _ := h.want.stat(o.want)
	var s SetAttr
	bits := rapid.IntRange(1, 31).Draw(h.T, "which")
	if h.onHost { // one system call, one attribute
		bits = 1 << rapid.IntRange(0, 4).Draw(h.T, "which one")
	}
	if bits&1 != 0 && (a.Mode&TypeMask != TypeSymlink || !h.onHost && h.commit == nil) {
		s.Mode = ptr(h.mode())
	}
	if bits&2 != 0 {
		s.Size = ptr(rapid.Uint64Range(0, 12000).Draw(h.T, "size"))
	}
	if bits&4 != 0 && (!h.onHost || isRoot()) {
		s.UID = ptr(rapid.Uint32Range(0, 3).Draw(h.T, "uid"))
	}
	if bits&8 != 0 && (!h.onHost || isRoot()) {
		s.GID = ptr(rapid.Uint32Range(0, 3).Draw(h.T, "gid"))
	}
	if bits&16 != 0 {
		s.Mtime, s.Atime = ptr(int64(h.step)*1_000_000_007), ptr(int64(h.step)*1_000_003)
	}
	if s.empty() {
		return
	}
	ok := h.on(fmt.Sprintf("setattr %d", o.tree), []*pair{o},
		func() Kind { return h.tree.setattr(c, o.tree, s) },
		func() Kind { return h.want.setattr(c, o.want, s) })
	if now, _ := h.tree.stat(o.tree); ok && s.Mtime != nil && (now.Mtime != *s.Mtime || now.Atime != *s.Atime) {
		h.Fatalf("step %d: times %d and %d are not what was set", h.step, now.Mtime, now.Atime)
	}
}

func (h *history) playWrite() {
	o, c := h.pick(), h.caller()
	off := rapid.Int64Range(0, 12000).Draw(h.T, "off")
	p := []byte(text(fmt.Sprint(h.step), rapid.IntRange(0, 3000).Draw(h.T, "len")))
	h.on(fmt.Sprintf("write %d, %d at %d", o.tree, len(p), off), []*pair{o},
		func() Kind { return h.tree.write(c, o.tree, p, off) },
		func() Kind { return h.want.write(c, o.want, p, off) })
}

func (h *history) playRead() {
	o := h.pick()
	off, n := rapid.Int64Range(0, 13000).Draw(h.T, "off"), rapid.IntRange(1, 6000).Draw(h.T, "len")
	h.compareRead(o, n, off)
	var a, b string
	if h.on("readlink", []*pair{o},
		func() (k Kind) { a, k = h.tree.readlink(o.tree); return k },
		func() (k Kind) { b, k = h.want.readlink(o.want); return k }) && a != b {
		h.Fatalf("step %d: readlink %d: %q, want %q", h.step, o.tree, a, b)
	}
}

func (h *history) compareRead(o *pair, n int, off int64) {
	var a, b string
	if h.on(fmt.Sprintf("read %d", o.tree), []*pair{o},
		func() (k Kind) { a, k = h.tree.read(o.tree, n, off); return k },
		func() (k Kind) { b, k = h.want.read(o.want, n, off); return k }) && a != b {
		h.Fatalf("step %d: read of inode %d at %d: %d bytes %.60q, want %d bytes %.60q", h.step, o.tree, off, len(a), a, len(b), b)
	}
}

// compare compares all that there is to know of an object: one that is gone is
// gone on both sides.
func (h *history) compare(p *pair) {
	h.Helper()
	got, k1 := h.tree.stat(p.tree)
	want, k2 := h.want.stat(p.want)
	if h.expect(fmt.Sprintf("stat %d", p.tree), k1, k2); k2 != 0 {
		p.gone = true
		return
	}
	got.Ino, got.Gen, got.Used, got.Atime, got.Mtime, got.Ctime = want.Ino, want.Gen, want.Used, want.Atime, want.Mtime, want.Ctime
	if got.Mode&TypeMask == TypeDir {
		got.Size = want.Size
	}
	if got != want {
		h.Fatalf("step %d: inode %d: %s, want %s", h.step, p.tree, show(got), show(want))
	}
	if want.Mode&TypeMask == TypeDir {
		a, _ := h.tree.list(p.tree)
		if b, _ := h.want.list(p.want); !maps.Equal(a, b) {
			h.Fatalf("step %d: listing of inode %d: %v, want %v", h.step, p.tree, a, b)
		}
	}
}

func show(a Attr) string {
	return fmt.Sprintf("mode %o nlink %d owner %d:%d rdev %d,%d size %d", a.Mode, a.Nlink, a.UID, a.GID, a.RdevMajor, a.RdevMinor, a.Size)
}

// reopen goes on in another process: numbers are what they were, and handles
// find all that is not gone.
func (h *history) reopen(clean bool) {
	h.tree.rig.reopen(clean)
	for _, p := range h.held {
		ino, err := h.tree.rig.Resolve(p.h)
		_, k := h.want.stat(p.want)
		if p.gone = p.gone || k != 0; p.gone {
			k = Stale
		}
		if KindOf(err) != k || err == nil && ino != p.tree {
			h.Fatalf("step %d: handle of inode %d: %d, %v; want %v", h.step, p.tree, ino, err, k)
		}
	}
}

// clean moves what is live in the store to other places.
func (h *history) clean() {
	if _, err := h.tree.rig.store.Clean(0.01, nil); err != nil {
		h.Fatalf("step %d: clean: %v", h.step, err)
	}
}

// finish walks both trees whole.
func (h *history) finish() {
	h.finishTrees()
	h.finishLayers()
}

func (h *history) finishTrees() {
	h.clean()
	h.walk(&pair{tree: h.tree.rig.Root(), want: h.want.root()}, 0)
	checkInvariants(h.T, h.tree.rig.Tree)
	h.reopen(false)
	h.walk(&pair{tree: h.tree.rig.Root(), want: h.want.root()}, 0)
}

func (h *history) walk(p *pair, depth int) {
	h.compare(p)
	if depth > 100 {
		h.Fatalf("the tree has no end")
	}
	a, _ := h.want.stat(p.want)
	switch a.Mode & TypeMask {
	case TypeRegular:
		h.compareRead(p, 30000, 0)
	case TypeDir:
		all, _ := h.want.list(p.want)
		for name := range all {
			if isDot(name) {
				continue
			}
			x, k1 := h.tree.lookup(p.tree, name)
			y, k2 := h.want.lookup(p.want, name)
			h.expect("lookup "+name, k1, k2)
			h.walk(&pair{tree: x.(Ino), want: y}, depth+1)
			letGo(y)
		}
	}
}

// TestTreeBehavesAsPOSIXModel plays histories against the model in memory,
// with objects held across renames, removals and restarts.
func TestTreeBehavesAsPOSIXModel(t *testing.T) {
	base, stores := newBase(t), storesDir(t)
	checks(t, 1000)
	fsys := openRoot(t, base)
	rapid.Check(t, func(rt *rapid.T) {
		r := newRigSized(t, fsys, freshDir(stores), smallSegment)
		m := &mem{}
		m.load(t, base)
		h := newHistory(rt, r, m)
		h.who = []Caller{root, user}
		for range steps {
			h.play()
		}
		h.finish()
		r.close()
		os.RemoveAll(r.dir)
	})
}

package billyfs

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"pgregory.net/rapid"
)

// playLayers makes a snapshot, goes back to one, drops one, discards all changes, or
// lets the store settle what that has left.
func (h *history) playLayers() {
	m, ok := h.want.(*mem)
	if !ok { // a host knows nothing of the kind
		return
	}
	what := rapid.IntRange(0, 9).Draw(h.T, "layers")
	if len(h.snaps) == 0 && what > 3 && what != 8 {
		what = 0
	}
	switch {
	case what < 4:
		name := fmt.Sprint("snap", h.step)
		if err := h.tree.rig.Snapshot(name); err != nil {
			h.Fatalf("step %d: snapshot: %v", h.step, err)
		}
		h.snaps[name] = m.copy()
	case what < 6:
		h.rollback(m, h.snapName())
	case what < 8:
		name := h.snapName()
		if err := h.tree.rig.Drop(name); err != nil {
			h.Fatalf("step %d: drop: %v", h.step, err)
		}
		delete(h.snaps, name)
	case what < 9:
		if err := h.tree.rig.Discard(); err != nil {
			h.Fatalf("step %d: discard: %v", h.step, err)
		}
		h.went(m, h.base)
	default:
		h.settle()
	}
}

func (h *history) snapName() string {
	return rapid.SampledFrom(slices.Sorted(maps.Keys(h.snaps))).Draw(h.T, "snapshot")
}

func (h *history) settle() {
	if err := h.tree.rig.store.Settle(context.Background(), nil); err != nil {
		h.Fatalf("step %d: settle: %v", h.step, err)
	}
}

// rollback goes back on both sides: objects that are held are those of then, or
// gone.
func (h *history) rollback(m *mem, name string) {
	saved, err := h.tree.rig.Rollback(name)
	if err != nil {
		h.Fatalf("step %d: rollback: %v", h.step, err)
	}
	h.snaps[saved] = m.copy()
	h.went(m, h.snaps[name])
}

// went makes the model what it was at a time.
func (h *history) went(m, then *mem) {
	m.top = then.copy().top
	now := m.byID()
	for _, p := range h.held {
		id := p.want.(*memNode).id
		n, ok := now[id]
		if !ok {
			n = &memNode{id: id} // no links: gone
		}
		p.want, p.gone = n, !ok
		h.compare(p)
	}
}

// finishLayers looks into every snapshot, before and after the store has settled.
func (h *history) finishLayers() {
	m, ok := h.want.(*mem)
	if !ok {
		return
	}
	names := slices.Sorted(maps.Keys(h.snaps))
	h.settle()
	for _, name := range names {
		h.rollback(m, name)
		h.walk(&pair{tree: h.tree.rig.Root(), want: h.want.root()}, 0)
	}
	for _, name := range slices.Sorted(maps.Keys(h.snaps)) {
		if err := h.tree.rig.Drop(name); err != nil {
			h.Fatalf("drop %s: %v", name, err)
		}
	}
	h.settle()
	h.walk(&pair{tree: h.tree.rig.Root(), want: h.want.root()}, 0)
	checkInvariants(h.T, h.tree.rig.Tree)
	if n := len(h.tree.rig.store.Layers()); n > 2 {
		h.Fatalf("%d layers are left when nothing names them", n)
	}
}

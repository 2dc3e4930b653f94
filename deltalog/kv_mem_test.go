package deltalog

import (
	"errors"
	"sync"
)

// kvMem is a database in memory for tests of the index alone: commits can be
// watched and made to fail, and the bytes be changed. (crashKV is its brother
// under the simulated disk.)
type kvMem struct {
	mu sync.Mutex
	at *memSnapshot // of the last commit
	// commit, if not nil, is called before a commit takes effect; an error makes
	// the update fail without effect.
	commit func() error
}

func newKVMem() *kvMem { return &kvMem{at: emptySnapshot()} }

func (m *kvMem) now() *memSnapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

func (m *kvMem) view(fn func(kvTx) error) error { return fn(memTx{m.now()}) }

func (m *kvMem) update(fn func(kvTx) error) error {
	m.mu.Lock()
	next := &memSnapshot{id: m.at.id + 1}
	for t := range next.trees {
		next.trees[t] = m.at.trees[t].Copy()
	}
	m.mu.Unlock()
	if err := fn(memTx{next}); err != nil {
		return err
	}
	if m.commit != nil {
		if err := m.commit(); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = next
	return nil
}

func (m *kvMem) size() (int64, error) { return 0, nil }
func (m *kvMem) written() uint64      { return 0 }
func (m *kvMem) close() error         { return nil }

var errKV = errors.New("the database fails, as the test wants")

// failAt makes the n-th commit from now on fail, the first being 1.
func (m *kvMem) failAt(n int) {
	m.commit = func() error {
		if n--; n == 0 {
			return errKV
		}
		return nil
	}
}

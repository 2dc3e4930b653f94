package deltalog

import (
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deltafs/deltalog/disk"
)

// told is a Waiter on which one can wait.
type told chan error

func (w told) Synced(err error) { w <- err }
func (w told) Told()            {}

// syncOrBeTold returns when lsn is durable, by Sync or by SyncLater.
func syncOrBeTold(s *Store, lsn LSN, later bool) error {
	if w := make(told, 1); later && s.SyncLater(lsn, w) {
		return <-w
	}
	return s.Sync(lsn)
}

// gated is a disk whose syncs of segments wait, where shut, until they are let go on, or fail.
type gated struct {
	disk.FS
	shut  atomic.Bool
	begun chan struct{} // told of each
	goOn  chan error
}

type gatedFile struct {
	disk.File
	of *gated
}

func (d *gated) Open(name string, write bool) (disk.File, error) {
	f, err := d.FS.Open(name, write)
	if filepath.Ext(name) != ".seg" {
		return f, err
	}
	return gatedFile{f, d}, err
}

func (f gatedFile) Sync() error {
	if f.of.shut.Load() {
		f.of.begun <- struct{}{}
		if err := <-f.of.goOn; err != nil {
			return err
		}
	}
	return f.File.Sync()
}

const patience = time.Minute

func newGated(t *testing.T) (*Store, *gated) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	d := &gated{FS: disk.OS(dir), begun: make(chan struct{}), goOn: make(chan error)}
	s, err := Create(dir, Options{Limit: 1 << 30, FS: d, Manual: true})
	if err != nil {
		t.Fatal(err)
	}
	return s, d
}

func (d *gated) wait(t *testing.T) {
	t.Helper()
	select {
	case <-d.begun:
	case <-time.After(patience):
		t.Fatal("no sync begins")
	}
}

// put appends a batch that nothing is like.
func put(t *testing.T, s *Store) LSN {
	t.Helper()
	var b Batch
	b.Inode(mainView, s.NewIno(), &Inode{Mode: TypeRegular})
	lsn, err := s.Append(&b)
	if err != nil {
		t.Fatal(err)
	}
	return lsn
}

// notes is what several waiters were told, in order.
type notes struct {
	mu   sync.Mutex
	all  []string
	errs map[string]error
	more chan struct{}
}

type noting struct {
	n    *notes
	name string
}

func (w noting) Synced(err error) { w.n.add("synced "+w.name, err) }
func (w noting) Told()            { w.n.add("told "+w.name, nil) }

func (n *notes) add(what string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, what)
	n.errs[what] = err
	n.more <- struct{}{}
}

func (n *notes) want(t *testing.T, want ...string) {
	t.Helper()
	for range want {
		select {
		case <-n.more:
		case <-time.After(patience):
			t.Fatalf("only %v of %v", n.all, want)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, w := range want {
		if n.all[i] != w {
			t.Fatalf("told %v, want %v", n.all, want)
		}
	}
	n.all = nil
}

func newNotes() *notes { return &notes{errs: map[string]error{}, more: make(chan struct{}, 100)} }

// TestSyncLater: who is told is told when its batch is durable and not before; those that
// came during a sync share the next one, and are told together; a Close tells those that
// are left.
func TestSyncLater(t *testing.T) {
	s, d := newGated(t)
	d.shut.Store(true)
	n := newNotes()
	a := put(t, s)
	if !s.SyncLater(a, noting{n, "a"}) {
		t.Fatal("a batch that is not durable is not waited for")
	}
	d.wait(t)
	b, c := put(t, s), put(t, s)
	if !s.SyncLater(c, noting{n, "c"}) || !s.SyncLater(b, noting{n, "b"}) {
		t.Fatal("a batch that is not durable is not waited for")
	}
	select {
	case <-n.more:
		t.Fatalf("told %v before anything is synced", n.all)
	case <-time.After(20 * time.Millisecond):
	}
	d.goOn <- nil
	d.wait(t) // the disk does not rest until a is told, nor a until the disk rests
	n.want(t, "synced a", "told a")
	if got := s.SyncedLSN(); got != a {
		t.Fatalf("%d is durable, want %d", got, a)
	}
	d.goOn <- nil
	n.want(t, "synced c", "synced b", "told c", "told b")
	if s.SyncLater(c, noting{n, "again"}) {
		t.Fatal("what is durable is waited for")
	}
	e := put(t, s)
	if !s.SyncLater(e, noting{n, "e"}) {
		t.Fatal("a batch that is not durable is not waited for")
	}
	d.wait(t)
	closed := make(chan error, 1)
	d.shut.Store(false) // for what Close syncs besides
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("closed, %v, while somebody waits", err)
	case <-time.After(20 * time.Millisecond):
	}
	d.goOn <- nil
	n.want(t, "synced e", "told e")
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	for what, err := range n.errs {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if s.SyncLater(e+1, noting{n, "f"}) {
		t.Error("a closed store has somebody wait")
	}
}

// TestSyncLaterFails: where a sync fails, all who wait are told, and nobody waits any more.
func TestSyncLaterFails(t *testing.T) {
	s, d := newGated(t)
	d.shut.Store(true)
	n := newNotes()
	if !s.SyncLater(put(t, s), noting{n, "a"}) {
		t.Fatal("not waited for")
	}
	d.wait(t)
	if !s.SyncLater(put(t, s), noting{n, "b"}) {
		t.Fatal("not waited for")
	}
	d.goOn <- errors.New("broken disk")
	n.want(t, "synced a", "synced b", "told a", "told b")
	for _, w := range []string{"synced a", "synced b"} {
		if !errors.Is(n.errs[w], ErrPoisoned) {
			t.Errorf("%s: %v, want that the store has stopped", w, n.errs[w])
		}
	}
	if s.SyncLater(s.LastLSN(), noting{n, "c"}) {
		t.Error("somebody waits on a store that has stopped")
	}
	if err := s.Close(); !errors.Is(err, ErrPoisoned) {
		t.Errorf("Close: %v", err)
	}
}

// TestSyncLaterMany: many who wait, in both ways, are all told, each once, and share syncs.
func TestSyncLaterMany(t *testing.T) {
	const each, all = 50, 32
	s, _ := newGated(t)
	before := s.sync.syncs.Load()
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			for k := range each {
				var b Batch
				b.Inode(mainView, s.NewIno(), &Inode{Mode: TypeRegular})
				lsn, err := s.Append(&b)
				if err == nil {
					err = syncOrBeTold(s, lsn, (i+k)%3 > 0)
				}
				if err != nil || s.SyncedLSN() < lsn {
					t.Errorf("batch %d: %v, durable up to %d", lsn, err, s.SyncedLSN())
				}
			}
		})
	}
	wg.Wait()
	if n := s.sync.syncs.Load() - before; n > each*all/2 {
		t.Errorf("%d syncs for %d batches, %d at a time", n, each*all, all)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

package deltalog

import (
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"deltafs/deltalog/disk"
)

const (
	indexName    = "index.db"
	indexNewName = "index.db.new" // not finished; removed at the next open
)

// kvBolt is the index database as a bbolt file.
type kvBolt struct {
	db    *bbolt.DB
	wrote atomic.Uint64 // bytes of pages

	// Read transactions that nobody uses are kept, with their cursors, until the next
	// update: to begin one takes longer than most looks into it. They must not be there
	// while an update runs, which may have to wait until there are no readers.
	mu       sync.Mutex
	idle     []*boltReader
	updates  int    // that run
	snapshot uint64 // moves with each update
}

// openBolt opens dir/index.db, and makes it if it is missing: under a temporary
// name, synced, renamed, and the directory synced, so that a crash leaves
// either no index or an empty one. With readOnly a missing file is
// fs.ErrNotExist. A file that cannot be a database is errIndexBad.
func openBolt(dir string, readOnly bool) (kv, error) {
	path := filepath.Join(dir, indexName)
	st, err := os.Stat(path)
	switch {
	case err == nil && st.Size() == 0: // which bbolt would begin anew
		return nil, indexBad("%s: the file is empty", path)
	case err == nil:
	case readOnly || !errors.Is(err, os.ErrNotExist):
		return nil, err
	default:
		if err := createBolt(dir); err != nil {
			return nil, err
		}
	}
	db, err := openFile(path, readOnly)
	if err != nil {
		return nil, err
	}
	k := &kvBolt{db: db}
	if err := k.view(checkPages); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return k, nil
}

func createBolt(dir string) error {
	fsys := disk.OS(dir)
	if err := fsys.Remove(indexNewName); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := openFile(filepath.Join(dir, indexNewName), false)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range tableNames {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("create %s: %w", filepath.Join(dir, indexName), err)
	}
	if err := fsys.Rename(indexNewName, indexName); err != nil {
		return err
	}
	if plantSkipDirSync {
		return nil
	}
	return fsys.SyncDir(".")
}

// removeBolt removes dir/index.db, durably.
func removeBolt(dir string) error {
	fsys := disk.OS(dir)
	if err := fsys.Remove(indexName); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return fsys.SyncDir(".")
}

func openFile(path string, readOnly bool) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer recoverDamage(&err)
	o := &bbolt.Options{
		Timeout:      5 * time.Second, // the store's lock is ours, so nobody should have it
		FreelistType: bbolt.FreelistMapType,
		ReadOnly:     readOnly,
		NoStatistics: true,
	}
	if bits.UintSize == 64 && runtime.GOOS != "windows" {
		o.InitialMmapSize = 1 << 30 // room to grow without a remap, for which the writer waits for readers, and they for it
	}
	db, err = bbolt.Open(path, 0o600, o)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%s: %w", path, ErrInUse)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return nil, indexBad("%s: %v", path, err)
	case err != nil && !isOSError(err):
		return nil, indexBad("%s: %v", path, err)
	}
	if err == nil {
		db.AllocSize = 1 << 20
	}
	return db, err
}

// isOSError tells errors of the operating system from what bbolt says of a
// file's contents, for which it has no error values.
func isOSError(err error) bool {
	var p *os.PathError
	var s *os.SyscallError
	var n interface{ Temporary() bool } // syscall.Errno, on every system
	return errors.As(err, &p) || errors.As(err, &s) || errors.As(err, &n)
}

// checkPages verifies that pages, keys and free list fit together: values have
// checksums of ours, the tree that leads to them has none. bbolt's own check
// runs in a goroutine where a fault cannot be caught, so before it nothing may
// lead out of the file.
func checkPages(tx kvTx) error {
	t := tx.(*boltReader)
	if err := checkLayout(t.tx); err != nil {
		return err
	}
	for _, name := range tableNames {
		if t.tx.Bucket([]byte(name)) == nil {
			return indexBad("bucket %s is missing", name)
		}
	}
	var first error
	for err := range t.tx.Check() {
		if first == nil {
			first = indexBad("%v", err)
		}
	}
	return first
}

// recoverDamage makes an error of what bbolt does where a damaged page leads it
// astray: it panics, and a page behind the end of the file is a memory fault.
func recoverDamage(err *error) {
	if r := recover(); r != nil {
		*err = indexBad("%v", r)
	}
}

func (k *kvBolt) view(fn func(kvTx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer recoverDamage(&err)
	r, err := k.reader()
	if err != nil {
		return err
	}
	whole := false
	defer func() { k.giveBack(r, whole) }()
	err = fn(r)
	whole = err == nil
	return err
}

// maxReaders is how many read transactions are kept.
const maxReaders = 64

// reader returns a read transaction of the newest state.
func (k *kvBolt) reader() (*boltReader, error) {
	k.mu.Lock()
	if n := len(k.idle); n > 0 {
		r := k.idle[n-1]
		k.idle = k.idle[:n-1]
		k.mu.Unlock()
		return r, nil
	}
	snapshot := k.snapshot // what is read is of then, or newer
	k.mu.Unlock()
	tx, err := k.db.Begin(false)
	return &boltReader{boltTx: boltTx{tx}, snapshot: snapshot}, err
}

// giveBack keeps a reader, or ends it.
func (k *kvBolt) giveBack(r *boltReader, whole bool) {
	k.mu.Lock()
	keep := whole && k.updates == 0 && r.snapshot == k.snapshot && len(k.idle) < maxReaders
	if keep {
		k.idle = append(k.idle, r)
	}
	k.mu.Unlock()
	if !keep {
		_ = r.tx.Rollback() // of one that has only read
	}
}

// dropReaders ends the readers that are kept; begin is 1 if none is to be kept from now
// on, and -1 in the end.
func (k *kvBolt) dropReaders(begin int) {
	k.mu.Lock()
	k.updates += begin
	k.snapshot++
	idle := k.idle
	k.idle = nil
	k.mu.Unlock()
	for _, r := range idle {
		_ = r.tx.Rollback() // as above
	}
}

func (k *kvBolt) update(fn func(kvTx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer recoverDamage(&err)
	k.dropReaders(1)
	defer k.dropReaders(-1)
	var stats func() bbolt.TxStats
	err = k.db.Update(func(tx *bbolt.Tx) error {
		stats = tx.Stats
		return fn(boltTx{tx})
	})
	if err == nil {
		st := stats()
		k.wrote.Add(uint64(st.GetPageAlloc()) + uint64(k.db.Info().PageSize)) // and the meta page
	}
	// Only of a failed write is it known that the transaction has not happened: a
	// sync that fails for space, on some systems, has lost what it was to sync.
	var p *fs.PathError
	if errors.As(err, &p) && p.Op == "write" {
		return disk.Wrap(err)
	}
	return err
}

// size leaves out what the file has been made longer by in advance: those bytes
// take no space.
func (k *kvBolt) size() (n int64, err error) {
	err = k.view(func(tx kvTx) error {
		n = tx.(*boltReader).tx.Size()
		return nil
	})
	return n, err
}

func (k *kvBolt) written() uint64 { return k.wrote.Load() }

func (k *kvBolt) close() error {
	k.dropReaders(1)
	return k.db.Close()
}

type boltTx struct{ tx *bbolt.Tx }

// bucket panics where a bucket is missing; openBolt has seen them all.
func (t boltTx) bucket(n table) *bbolt.Bucket {
	b := t.tx.Bucket([]byte(n.String()))
	if n == tableExtent {
		b.FillPercent = extentFill
	}
	return b
}

// extentFill is how full bbolt leaves a page of extents that it splits. By default it is half full, which is two full
// chunks or three others; and each checkpoint of a large file that is written all over writes most pages.
const extentFill = 0.9

func (t boltTx) get(n table, key []byte) []byte     { return t.bucket(n).Get(key) }
func (t boltTx) put(n table, key, val []byte) error { return t.bucket(n).Put(key, val) }
func (t boltTx) del(n table, key []byte) error      { return t.bucket(n).Delete(key) }
func (t boltTx) cursor(n table) kvCursor            { return boltCursor{t.bucket(n).Cursor()} }

// boltReader is a read transaction with its cursors: one for each table.
type boltReader struct {
	boltTx
	snapshot uint64
	cursors  [tables + 1]*bbolt.Cursor
}

func (r *boltReader) at(n table) *bbolt.Cursor {
	if r.cursors[n] == nil {
		r.cursors[n] = r.bucket(n).Cursor()
	}
	return r.cursors[n]
}

func (r *boltReader) get(n table, key []byte) []byte {
	if k, v := r.at(n).Seek(key); string(k) == string(key) {
		return v
	}
	return nil
}

func (r *boltReader) cursor(n table) kvCursor { return boltCursor{r.at(n)} }

type boltCursor struct{ c *bbolt.Cursor }

func (c boltCursor) seek(key []byte) (k, v []byte) { return c.c.Seek(key) }
func (c boltCursor) next() (k, v []byte)           { return c.c.Next() }

func (c boltCursor) floor(key []byte) (k, v []byte) {
	k, v = c.c.Seek(key)
	switch {
	case k == nil:
		return c.c.Last()
	case string(k) != string(key):
		return c.c.Prev()
	}
	return k, v
}

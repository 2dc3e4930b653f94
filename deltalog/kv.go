package deltalog

// kv is the ordered store under the index: bbolt, or in tests one in memory.
// Methods may be called concurrently; a view neither waits for an update nor
// sees anything of it before it has returned.
//
// Every error of a view that is not the callback's, and every panic below a
// view or an update, comes as errIndexBad: files can be damaged in any way.
type kv interface {
	// view runs fn in a read transaction. What the transaction returns is
	// valid until fn returns.
	view(fn func(tx kvTx) error) error
	// update runs fn in a write transaction, of which all or nothing happens.
	// When it returns nil, what was written survives the machine's death.
	// After any error the database must not be written again.
	update(fn func(tx kvTx) error) error
	// size returns the bytes that the database takes on the disk.
	size() (int64, error)
	// written returns the bytes that updates have written since it was opened.
	written() uint64
	close() error
}

// kvTx is a transaction. put and del are for updates only.
type kvTx interface {
	get(t table, key []byte) []byte // nil: there is none
	cursor(t table) kvCursor        // of a view: one at a time, and get moves it
	put(t table, key, val []byte) error
	del(t table, key []byte) error
}

// kvCursor walks a table in key order. A nil key is the end.
type kvCursor interface {
	seek(key []byte) (k, v []byte) // first pair at or behind key
	next() (k, v []byte)
	floor(key []byte) (k, v []byte) // last pair at or before key
}

// emptyKV is a database without anything in it, which cannot be written: what
// a store that must not write anything has under its memtable when index.db is
// missing or damaged.
type emptyKV struct{}

func (emptyKV) view(fn func(kvTx) error) error { return fn(emptyTx{}) }
func (emptyKV) update(func(kvTx) error) error  { return ErrReadOnly }
func (emptyKV) size() (int64, error)           { return 0, nil }
func (emptyKV) written() uint64                { return 0 }
func (emptyKV) close() error                   { return nil }

type emptyTx struct{}

func (emptyTx) get(table, []byte) []byte        { return nil }
func (emptyTx) cursor(table) kvCursor           { return emptyTx{} }
func (emptyTx) put(table, []byte, []byte) error { return ErrReadOnly }
func (emptyTx) del(table, []byte) error         { return ErrReadOnly }
func (emptyTx) seek([]byte) (k, v []byte)       { return nil, nil }
func (emptyTx) next() (k, v []byte)             { return nil, nil }
func (emptyTx) floor([]byte) (k, v []byte)      { return nil, nil }

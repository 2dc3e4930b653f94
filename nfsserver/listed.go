package nfsserver

import (
	"sync"

	"deltafs/billyfs"
	"deltafs/nfsserver/wire"
)

const (
	maxListedBytes = 8 << 20 // of the listings that are kept
	maxListed      = 1 << 10 // of them
)

// listings keeps replies to READDIRPLUS, each as long as the same call would get the same reply: nothing has changed in the
// tree since, and what the base said is believed. Who may have it is asked for each call.
type listings struct {
	mu    sync.Mutex
	m     map[listKey]*listed
	bytes int
}

// listKey is what a reply is the answer to.
type listKey struct {
	export   *export
	dir      billyfs.Ino
	cookie   uint64
	dirCount uint32
	maxCount uint32
}

// listed is a reply, all results of it. It never changes.
type listed struct {
	stamp billyfs.Stamp
	dir   billyfs.Attr // which are part of it
	b     []byte
}

func (o object) listKey(a *wire.ReaddirplusArgs) listKey {
	return listKey{o.export, o.ino, a.Cookie, a.DirCount, a.MaxCount}
}

// get returns the results of a call on a directory that has these attributes now, nil if they are not known.
func (l *listings) get(k listKey, dir *billyfs.Attr) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.m[k]
	if kept == nil {
		return nil
	}
	if kept.dir != *dir || !k.export.FS.Unchanged(kept.stamp) {
		l.dropLocked(k)
		return nil
	}
	return kept.b
}

// put keeps the results of a call, which are copied, if they hold.
func (l *listings) put(k listKey, kept listed) {
	if !k.export.FS.Unchanged(kept.stamp) || len(kept.b) > maxListedBytes {
		return
	}
	kept.b = append([]byte(nil), kept.b...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil {
		l.m = map[listKey]*listed{}
	}
	l.dropLocked(k)
	for old := range l.m { // in no order: what is wanted again comes back
		if len(l.m) < maxListed && l.bytes+len(kept.b) <= maxListedBytes {
			break
		}
		l.dropLocked(old)
	}
	l.m[k] = &kept
	l.bytes += len(kept.b)
}

func (l *listings) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.m)
	l.bytes = 0
}

func (l *listings) dropLocked(k listKey) {
	if old := l.m[k]; old != nil {
		l.bytes -= len(old.b)
		delete(l.m, k)
	}
}

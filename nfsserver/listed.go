package nfsserver

import (
	"sync"

	"deltafs/billyfs"
	"deltafs/nfsserver/wire"
)

const (
	maxListedBytes = 8 << 20  // of the replies that are kept
	maxLargeBytes  = 24 << 20 // if more than half of it is of one directory: it has some 100,000 entries
	maxListed      = 1 << 10  // of the replies
)

// listings keeps replies to READDIRPLUS, each as long as the same call would get the same reply: nothing has changed in the
// tree since, and what the base said is believed. Who may have it is asked for each call.
type listings struct {
	mu    sync.Mutex
	m     map[listKey]*listed
	bytes int            // of all
	of    map[dirKey]int // bytes
	large dirKey         // no other one had more when it got a reply
}

// dirKey is a directory.
type dirKey struct {
	export *export
	ino    billyfs.Ino
}

// listKey is what a reply is the answer to.
type listKey struct {
	dirKey
	cookie   uint64
	dirCount uint32
	maxCount uint32
}

// listed is a reply, all results of it. It never changes.
type listed struct {
	stamp  billyfs.Stamp
	dir    billyfs.Attr // which are part of it
	b      []byte
	renews bool   // it can be found out whether it may be believed for longer
	last   uint64 // cookie
}

func (o object) listKey(a *wire.ReaddirplusArgs) listKey {
	return listKey{dirKey{o.export, o.ino}, a.Cookie, a.DirCount, a.MaxCount}
}

// get returns the results of a call on a directory that has these attributes now, nil if they are not known.
func (l *listings) get(k listKey, dir *billyfs.Attr) []byte {
	l.mu.Lock()
	kept := l.m[k]
	l.mu.Unlock()
	if kept == nil {
		return nil
	}
	if fs := k.export.FS; kept.dir == *dir {
		if fs.Unchanged(kept.stamp) {
			return kept.b
		}
		if kept.renews {
			if stamp, ok := fs.Renew(kept.stamp, k.ino, k.cookie, kept.last); ok {
				again := *kept
				again.stamp = stamp
				l.replace(k, kept, &again)
				return kept.b
			}
		}
	}
	l.replace(k, kept, nil)
	return nil
}

// replace puts what has the same results in the place of a reply that is kept, or nothing.
func (l *listings) replace(k listKey, kept, by *listed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.m[k] != kept: // somebody was faster
	case by == nil:
		l.dropLocked(k)
	default:
		l.m[k] = by
	}
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
		l.m, l.of = map[listKey]*listed{}, map[dirKey]int{}
	}
	l.dropLocked(k)
	l.m[k] = &kept
	l.bytes += len(kept.b)
	l.of[k.dirKey] += len(kept.b)
	if l.of[k.dirKey] > l.of[l.large] {
		l.large = k.dirKey
	}
	for old := range l.m { // in no order: what is wanted again comes back
		most := maxListedBytes
		if 2*l.of[l.large] > l.bytes {
			most = maxLargeBytes
		}
		if len(l.m) <= maxListed && l.bytes <= most {
			break
		}
		if old != k {
			l.dropLocked(old)
		}
	}
}

func (l *listings) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.m)
	clear(l.of)
	l.bytes, l.large = 0, dirKey{}
}

func (l *listings) dropLocked(k listKey) {
	if old := l.m[k]; old != nil {
		l.bytes -= len(old.b)
		if l.of[k.dirKey] -= len(old.b); l.of[k.dirKey] == 0 {
			delete(l.of, k.dirKey)
		}
		delete(l.m, k)
	}
}

package nfsserver

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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
	renews atomic.Bool // somebody is in renewAll

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

// get returns the results of a call on a directory that has these attributes now, nil if they are not known; and whether it
// is time to call renewAll.
func (l *listings) get(k listKey, dir *billyfs.Attr) (b []byte, ages bool) {
	l.mu.Lock()
	kept := l.m[k]
	l.mu.Unlock()
	if kept == nil {
		return nil, false
	}
	if kept.dir == *dir {
		if fs := k.export.FS; fs.Unchanged(kept.stamp) {
			return kept.b, kept.renews && fs.Ages(kept.stamp) && !l.renews.Load()
		}
		if l.renew(k, kept) {
			return kept.b, false
		}
	}
	l.replace(k, kept, nil)
	return nil, false
}

// renew has a reply that is kept hold for longer, if it still would be the same.
func (l *listings) renew(k listKey, kept *listed) bool {
	if !kept.renews {
		return false
	}
	stamp, ok := k.export.FS.Renew(kept.stamp, k.ino, k.cookie, kept.last)
	if ok {
		again := *kept
		again.stamp = stamp
		l.replace(k, kept, &again)
	}
	return ok
}

// renewMost is how long renewAll goes on, about: what is left then is too old already.
const renewMost = time.Second

// renewAll renews the replies that are kept of a directory that is listed again and again, before they are too old: nobody waits
// for it then. Others than the first do nothing meanwhile.
func (l *listings) renewAll(ctx context.Context, d dirKey) {
	if !l.renews.CompareAndSwap(false, true) {
		return
	}
	defer l.renews.Store(false)
	type reply struct {
		k listKey
		r *listed
	}
	var all []reply
	l.mu.Lock()
	for k, r := range l.m {
		if k.dirKey == d {
			all = append(all, reply{k, r})
		}
	}
	l.mu.Unlock()
	slices.SortFunc(all, func(a, b reply) int { return cmp.Compare(a.r.stamp.Until, b.r.stamp.Until) })
	for began, i := time.Now(), 0; i < len(all) && ctx.Err() == nil && time.Since(began) < renewMost; i++ {
		if d.export.FS.Ages(all[i].r.stamp) {
			l.renew(all[i].k, all[i].r) // what has changed is found by who asks for it
		}
	}
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

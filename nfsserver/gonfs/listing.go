package gonfs

import (
	queue "container/list"
	"hash/fnv"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"deltafs/billyfs"
	"deltafs/nfsserver"
)

// maxListed is how many names the listings that are kept hold together. The
// newest is always kept, whatever its size.
const maxListed = 1 << 18

// listings keeps the directories that clients are reading. A cookie of go-nfs
// is an index, so a listing must stay as it was while a client goes through
// it, also while that client deletes what it has read: it is found again by
// its verifier, a hash of the names. The zero value is ready.
type listings struct {
	mu    sync.Mutex
	names int
	lru   queue.List // of *listing, the newest first
	byKey map[listKey]*queue.Element
}

type listKey struct {
	path     string
	verifier uint64
}

type listing struct {
	key  listKey
	info []fs.FileInfo
}

func (l *listings) get(k listKey) []fs.FileInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.byKey[k]
	if e == nil {
		return nil
	}
	l.lru.MoveToFront(e)
	return e.Value.(*listing).info
}

func (l *listings) put(k listKey, info []fs.FileInfo) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.byKey[k]; e != nil {
		l.lru.MoveToFront(e) // the same names; keep the one that others use
		return
	}
	if l.byKey == nil {
		l.byKey = make(map[listKey]*queue.Element)
	}
	l.byKey[k] = l.lru.PushFront(&listing{k, info})
	l.names += len(info) + 1
	for l.names > maxListed && l.lru.Len() > 1 {
		old := l.lru.Remove(l.lru.Back()).(*listing)
		delete(l.byKey, old.key)
		l.names -= len(old.info) + 1
	}
}

// VerifierFor implements nfs.CachingHandler: the verifier of a listing is a
// hash of its names, so that it does not change unless they do.
func (h *Handler) VerifierFor(path string, contents []fs.FileInfo) uint64 {
	sum := fnv.New64a()
	sum.Write([]byte(path))
	for _, c := range contents {
		sum.Write([]byte{0})
		sum.Write([]byte(c.Name()))
	}
	v := max(sum.Sum64(), 1) // go-nfs takes 0 for none
	h.lists.put(listKey{path, v}, contents)
	return v
}

// DataForVerifier implements nfs.CachingHandler. A listing that is not kept
// any more, or was made before a restart, is made again under the verifier
// that the client has: right if nothing has changed since, and better than
// telling the client to start over.
func (h *Handler) DataForVerifier(path string, verifier uint64) []fs.FileInfo {
	k := listKey{path, verifier}
	if info := h.lists.get(k); info != nil {
		return info
	}
	v := &view{h: h, root: h.fs.Root()}
	info, err := v.ReadDir(path)
	if err != nil {
		return nil
	}
	slices.SortFunc(info, func(a, b fs.FileInfo) int { return strings.Compare(a.Name(), b.Name()) })
	h.lists.put(k, info)
	return info
}

// list reads a directory whole. The attributes are looked up when they are
// asked for.
func list(tree nfsserver.Reader, dir billyfs.Ino) ([]fs.FileInfo, error) {
	infos := []fs.FileInfo{}
	_, err := tree.ReadDir(dir, 0, func(e billyfs.DirEntry) bool {
		if e.Name != "." && e.Name != ".." {
			i := newInfo(e.Name, billyfs.Attr{Ino: e.Ino, Mode: e.Type, Nlink: 1})
			i.from = func() (billyfs.Attr, error) { return tree.Lookup(dir, e.Name) }
			infos = append(infos, i)
		}
		return true
	})
	return infos, err
}

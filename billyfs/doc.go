// Package billyfs merges a read-only base with a delta: one inode tree, with the
// rules of POSIX, of which every part can be changed and none of the base is.
//
// A Tree is that tree by inode, as an NFS server wants it; an FS is the same tree
// by path, a go-billy filesystem. The base is any billy.Filesystem (package rootfs
// has that of a host directory), the delta a deltalog.Store.
//
// # The merge
//
// What the delta holds for an object or a name is a record, and a record wins over
// what the base shows:
//
//   - An inode without a record is the base's. The first change makes its record,
//     whole: attributes, the fingerprint of the base's object, where in the base it
//     lies. No data is copied, whatever the size. From then on the record says what
//     the object's attributes are.
//   - A name in a directory is what the entry for it says: an inode, or nothing at
//     all (a whiteout). A name without an entry is what the base shows in the
//     directory of that number, unless that object is dead: its last name was
//     removed. A directory made in the delta has nothing under it in the base.
//   - A file's bytes are what the delta has of them; what it has not is the base's
//     up to the record's LowerLen, the shortest length that the file has had since
//     it was first changed; and zeros behind that.
//   - A directory of the base that is renamed keeps its number, and so its children:
//     they hang on the number of their directory in the base, not on a path. A rename
//     costs two entries, whatever lies below.
//   - The link count of a file is in its record. An object of the delta whose last
//     name goes is gone, with its data; one of the base becomes dead. Nothing that
//     is gone has a link count: it is Stale.
//
// Special files of the base are shown and never opened.
//
// # Identity
//
// An object of the base has a number that is a keyed hash of its directory's number
// and its name (of its inode number, if it has several names); one of the delta
// has the next of a counter, with the top bit set. Either is the same before
// and after every change, rename and restart, and is never another object's. A Handle
// carries the number, a generation that changes with the type, and for objects of
// the base a byte of the number of each directory above, by which an object that
// this process has not seen yet is found from the root of the base. See identity.go and
// handle.go.
//
// # Listings
//
// The cookie of a name is a hash of it, and listings are in the order of cookies, so a
// listing can go on behind any cookie after any change: every name that stayed is
// seen exactly once. Names with equal cookies follow each other in the order of names,
// and whoever takes one must take all: a listing goes on behind a cookie, not
// behind a name. Base and delta are two sorted lists, merged on the way.
//
// # Drift
//
// The base may be changed by others, though it should not be. Before bytes of the base are
// shown in a changed file, and at most once in a second (1.05 s, by a clock that may be late), its fingerprint is compared: if
// size or mtime is another, reading those bytes fails with an I/O error. Mixing old
// and new content would be corruption that nobody sees. What others do to attributes and names shows
// when a second has gone by, and if they move a directory in which many names are looked at, which is held
// open for as long, when two have.
//
// # What is kept, and what is read ahead
//
// Objects, listings and open files of the base are kept in bounded caches, and believed for that second. Who keeps what the tree
// has said, takes a [Stamp] before: it holds until anything changes, or the base is seen to have changed (stamp.go counts both,
// before and after), or what the base said is too old. A file that is read in sequence from a base that answers slowly is read
// ahead into the memory that the system caches files in (readahead.go), and what is too old of a listing of one is looked at anew
// several entries at a time (readdirplus.go). If nothing has changed, who keeps what a listing said need not ask for it again:
// [Tree.Renew] says for how long it holds now, best before it is too old ([Tree.Ages]).
//
// What the layer says of an inode is kept in its node (node.go), while it is used and for a while after that. Of what was never changed
// there is nothing to be kept: one look at a filter of the store tells, and no node is made.
//
// # Lines and snapshots
//
// A Tree is one line of a store: "main", or a fork. The store stacks layers; the tree
// sees through all of them and writes to the topmost (deltalog, "Layers"). A snapshot
// goes on in a new layer: nothing that is cached becomes wrong, but a record that
// was in the live layer is in one below now (state.layer). Going back makes all
// cached states old at once (Tree.epoch). Where objects lie in the base is known to the
// store, not to a layer, so handles outlive going back.
//
// # Commit and discard
//
// A commit freezes the live layer, and then takes one record after the other out of the
// frozen one and does in the base what it says (commit.go). What the merged tree shows is the same
// before and after each step: either the record says it, or the base. An object that a commit has
// made or moved keeps its number and handle by a pin: an entry of the store that says what the
// place in the base stands for, and an origin that says where the object lies and what its
// handle was made of (pin.go). A number that is pinned elsewhere is never given by hash.
// What is on its way in the base has a hidden name, ".deltafs-...", that is never shown.
//
// Paths can be committed, or discarded, by themselves: a plan takes along what they cannot do without
// (commit_plan.go): the new directories that they are in, all names of what they name, what has their
// place in the base, and where a directory goes below one that is below it there, that one. An
// object whose fingerprint is not what it was when it was changed first is a conflict, and is left
// alone unless the caller says otherwise.
//
// # Atomicity and durability
//
// A change is one batch of the log: it happens or does not, for every reader and in
// every crash. When a call returns, the change has left the process; Sync makes
// everything up to a Change's LSN survive the machine's death. A call that fails
// has changed nothing.
//
// # Concurrency and lock order
//
//	Tree.renames   (one directory moves to another parent at a time)
//	  Tree.stack     (shared by changes; alone while the line goes on in another layer)
//	    node.mu        (inodes, in rising order of their numbers: lockSet)
//	      deltalog       (its append lock and all below)
//	      locks of caches: objects, files and directories of the base (base.mu before a shard of objects,
//	      that before one of nodes), nodes, dentries; held for a few lines
//
// Reading takes none of the first three. Whoever needs locks of what a name stands for looks
// it up, takes the locks in order, and looks again (lockNames). The base is asked
// before locks are taken, since it does not change; only the delta is asked again under
// them. No lock is held over a sync.
//
// A commit is what does change the base. For each call of the system that does, base.moves is odd, and
// whoever finds it so, or another one than before, looks at the base again (base.at). Before a batch makes
// a name pass from the delta to the base, Tree.shifts moves, and what was looked up before that is looked up
// again (Tree.resolve, Tree.merge). No lock of an inode is held while a file is copied to the base; those of
// the objects of a group are taken for the batch that ends it. DiscardPaths holds Tree.stack alone while
// it asks the base what shows again.
package billyfs

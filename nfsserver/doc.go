// Package nfsserver is what serves a merged tree over NFSv3. The package
// itself holds only what every engine shares: the small interfaces that a
// server needs of a file system, addressed by inode. Below it lie
//
//   - handle: the file handles, fixed bytes with a checksum that only the
//     store can make;
//   - dial: connects a foreign client, for tests and the demo;
//   - gonfs: the engine that lets github.com/willscott/go-nfs speak the
//     protocol, between a guard on the connection in front of it and the
//     tree behind it.
//
// # The life of a call
//
// A WRITE of a client passes these places, in this order:
//
//  1. gonfs/conn.go reads the record from the socket: its length is checked
//     against the largest call before a byte of it is kept, and memory grows
//     only as bytes arrive.
//  2. gonfs/call.go parses the RPC header and walks the arguments by the shape
//     of the procedure: program, version and procedure are known, every length
//     lies inside its limit and inside the record. What fails here is answered
//     at once and go-nfs never sees it. The caller's uid and gid are taken from
//     AUTH_SYS, and each file handle gets the number of the call behind it.
//  3. go-nfs decodes the arguments a second time and asks gonfs/handler.go for
//     the file system and path of the handle. The handle is checked by its MAC
//     and resolved to an inode; the path that go-nfs gets is made of that inode
//     number, so that no rename can make it wrong.
//  4. gonfs/view.go turns the path-shaped calls of go-nfs (Stat, OpenFile,
//     Write) into calls of the tree by inode.
//  5. billyfs logs the change as one batch and deltalog appends it: from here
//     on it survives the death of the process. If the WRITE asks for a stable
//     one, gonfs/file.go waits for the sync as well; of an UNSTABLE one, COMMIT
//     does (FromHandle in gonfs/handler.go), and the reply says UNSTABLE.
//  6. go-nfs encodes the reply; gonfs/reply.go and gonfs/attrs.go put the exact
//     status and true attributes, those before and after the change under one
//     lock, in place of what go-nfs wrote, and gonfs/conn.go sends it.
//
// No package below nfsserver knows the log or its index.
package nfsserver

// Package gonfs serves a merged tree through github.com/willscott/go-nfs: a
// second implementation of the protocol over the same tree, to compare with.
//
//	h, err := gonfs.New(tree, gonfs.Options{Export: "/", StoreID: id, MACKey: key, Log: log})
//	err = h.Serve(ctx, listener) // until ctx ends, then nil
//
// # The life of a call
//
//  1. conn.go reads the record: its length is checked against the largest call
//     before a byte of it is kept, and memory grows only as bytes arrive.
//  2. call.go parses the header and walks the arguments by the shape of the
//     procedure; what fails here is answered at once and go-nfs never sees it.
//     The caller is taken from AUTH_SYS, and each file handle gets the number of
//     the call behind it.
//  3. go-nfs decodes the arguments a second time and asks handler.go for the file
//     system and path of the handle: the path is made of the inode number, so
//     that no rename can make it wrong.
//  4. view.go turns the path-shaped calls of go-nfs into calls of the tree.
//  5. go-nfs encodes the reply; reply.go and attrs.go put the exact status and
//     true attributes in place of what it wrote, and conn.go sends it.
//
// Handler is an nfs.Handler as well, so that a program which embeds go-nfs can
// serve the tree by itself; it then lacks what the guard on the connection does
// (steps 1, 2 and 5). What the two cannot do is in docs/nfs.md.
package gonfs

// Package gonfs serves a merged tree through github.com/willscott/go-nfs.
//
//	h, err := gonfs.New(tree, gonfs.Options{Export: "/", StoreID: id, MACKey: key, Log: log})
//	err = h.Serve(ctx, listener) // until ctx ends, then nil
//
// Handler is an nfs.Handler as well, so that a program which embeds go-nfs can
// serve the tree by itself; it then lacks what the guard on the connection
// does (doc.go of package nfsserver, steps 1, 2 and 6).
package gonfs

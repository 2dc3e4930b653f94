// Package nfsserver serves merged trees over NFSv3 (RFC 1813), with MOUNT and,
// if asked, PORTMAP (RFC 1833). It knows a tree by the interface [FS] only, which
// addresses objects by inode; *billyfs.Tree is one.
//
//	s, err := nfsserver.New(nfsserver.Options{Exports: []nfsserver.Export{{Name: "/", FS: tree, StoreID: id, MACKey: key}}})
//	err = s.Serve(ctx, listener) // until ctx ends
//
// Below it lie rpc (records and connections), wire (messages), handle (file
// handles), peer (whose socket it is), and gonfs, another server for the same
// trees, with github.com/willscott/go-nfs; dial is for its client.
//
// # The life of a call
//
//  1. When a connection is opened, client.go finds out who it is from: admit.
//     Whoever is not allowed is disconnected.
//  2. rpc reads a record. While a large WRITE arrives its data are summed for the log
//     (Arrives in sums.go). Class (server.go) says what is known to wait, for a
//     disk or with much data: that runs on a goroutine of its own. The others are
//     answered on the spot, so long as calls of their procedure are fast. A WRITE that
//     is to be durable, and a COMMIT, have Begin do their work on the spot; what is left
//     of them waits for the disk without a goroutine (wait in call.go).
//  3. call.go parses the header, checks program, version and procedure, and takes
//     the caller from the credentials and from what is known of the connection.
//  4. A call that must not be carried out twice is looked up in the
//     duplicate-request cache (replay.go): it is answered from there, dropped if
//     it is being carried out, or begins.
//  5. The procedure (attr.go, lookup.go, data.go, make.go, remove.go, listing.go,
//     info.go, mount.go) decodes its arguments in place, finds the objects of its
//     handles, checks what the caller may do (access.go), and calls the tree.
//     A change and the attributes around it are atomic: the tree takes both under
//     the object's lock. The batch of the change carries the call's identity as
//     its tag, so that the next process knows of it.
//  6. settle and sync (client.go) make the change durable, as far as it must be
//     before the reply: the table is in docs/nfs.md. The log is told where nothing else
//     goes on in the server meanwhile (SyncAlone). A call that was begun is told by
//     the log when it is (Synced): its results are appended then, by a goroutine that
//     tells others, too, and so may wait for nothing.
//  7. The results are appended to the reply, behind room for the record mark; a
//     READ has read its data there already, and those of a READDIRPLUS may be those of
//     an earlier one, if nothing has changed since (listed.go). rpc sends it. Where a
//     directory is listed again and again, a worker looks at the base, before what is kept of
//     it is too old, beside the calls ([rpc.Conn.Go]): none of them waits for that.
//
// # Access
//
// Checks are made with the attributes from before the call, outside of the
// object's lock: a chmod at the same time may come first or last. Clients cannot
// tell the difference.
//
// # Lock order
//
// replays.mu, mounts.mu and listings.mu are leaves: nothing is called while one is held.
// No lock of this package is held over a call of the tree.
package nfsserver

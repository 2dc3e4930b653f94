// Command peers measures DeltaFS beside what else there is on the same machine, in
// the same run, and writes the table of docs/performance.md: "make bench-peers".
//
//	peers [-deltafs BINARY] [-dir DIR] [-rounds N] [-row NAME]... [-table FILE]
//	peers scale [-deltafs BINARY] [-dir DIR] [-table FILE] [-plot FILE]
//
// The second form measures DeltaFS alone, as what it serves grows: "make bench-scale".
//
// It starts, each on a port of loopback, DeltaFS over a base, nfs-ganesha with its
// VFS FSAL and the example server of go-nfs over copies of the base, and a server
// that answers without having anything; mounts overlayfs and fuse-overlayfs over
// the base; and puts the load of package bench on all of them, on a plain
// directory, and on the bare disk by appending and syncing. What this machine
// cannot run is left out, with a line that says why. Everything is ended and
// removed when it ends. It needs Linux, root for ganesha and the mounts, and 25 GiB
// in DIR, which should be on a real disk.
package main

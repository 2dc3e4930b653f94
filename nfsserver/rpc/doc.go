// Package rpc carries ONC RPC records over TCP, with the record marking of RFC
// 5531, section 11, and over UDP. It knows nothing of what is in them: a
// [Handler] answers.
//
// # Life of a record
//
// Each connection has one goroutine that reads. It takes a whole record into
// one buffer of a pool, in the size class that fits: small records come out of
// a read-ahead buffer, so that many of them cost one read(2); the most of a
// large one goes from the socket to where it stays. The length that a client
// claims is checked before memory is taken, and of a large one the memory is
// taken once the first 32 KiB are there. A handler may look at what there is of a large one
// while it arrives ([Watcher]): what has just been copied is in the processor's cache, and is
// not any more when all of it is there.
//
// The reader carries out a call itself, so long as calls of its class are fast:
// see dispatch.go. Any other goes to a worker, so long as there are fewer than
// ConnCalls of the connection and MaxCalls of the server; then the reader waits,
// and TCP makes the client wait. If no other call has been read ahead, it is the
// worker who reads on, and the reader who carries the call out. A client that has one
// call in flight at a time needs nobody to read on: there the reader carries out those
// that wait as well, and those of a class that waited of late, which wakes nobody. Where
// the reader stays in a call, a worker becomes the reader, too, and the call counts as one
// of those. Replies leave in the order in which they are ready: the xid in them says which
// call they answer.
//
// Calls of class [Defers], such as durable writes, do their work at once and then only wait.
// Where several calls are in flight, the reader begins them and reads on; each keeps its slot
// until the handler answers it (later.go). Whoever answers does not wait for the client: what
// the socket does not take at once is written by a worker.
//
// What a handler wants to do for calls that are still to come a worker does beside the calls
// ([Conn.Go]), in a slot as one of them, so that it is bounded and waited for as they are.
//
// The handler appends its reply behind room for the record mark, in a buffer of
// the pool too. A reply is queued; whoever queues one and finds nobody writing,
// writes all that is queued, by one writev(2), until nothing is left. While the
// read-ahead buffer holds more calls the reader only queues, so the replies to
// a pipeline of small calls leave together. A client that sends calls and does
// not read replies is stopped when maxQueued bytes of them wait, and is
// disconnected WriteTimeout later.
//
// # System calls
//
// A call and its reply, if they are small, cost the process a read, a read that finds
// nothing more, a write, and what the runtime needs to wait for a socket. Neither is
// announced to the scheduler (direct_linux.go), deadlines are set anew only now and then,
// and the clock is asked for one call of eight: where a system call is dear, that is half
// of what a small call costs. Where one client has one call in flight at a time, and nothing
// else is going on, the reader looks for the next for some microseconds before it waits
// (linger.go): to be woken takes longer. Where there is one processor it waits for it without
// telling Go's scheduler. A handler may know that, too ([Conn.Alone]).
//
// # End
//
// A connection ends when the client closes it, breaks the protocol, is idle for
// too long, makes no progress with a record or a reply, when the handler says so
// or panics, when a newer one needs its place, or when the server ends. Calls
// that are being carried out then go on; their replies are dropped. When the
// context of [Server.Serve] ends, connections are read no further, calls in
// flight get their replies, and after Drain all is cut off.
//
// # Lock order
//
// Server.mu, then Conn.mu. Neither is held over a read, a write or a call of the
// handler.
package rpc

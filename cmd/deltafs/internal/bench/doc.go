// Package bench puts one load on several NFSv3 servers and compares them.
//
// The load is a list of rows (rows.go). A row is measured on each server in turn,
// round by round, so that what else the machine does meets all of them; figures
// are medians over the rounds, and what counts are the ratios within one run.
// All data that is read is compared with what must be there, and what was written
// is read back, outside of the time that is measured.
//
// The client (client.go) has one goroutine for each connection, which sends calls
// until as many are in flight as are asked for, in one write, then takes all
// replies that have come, in whatever order. A directory of this machine can be
// measured beside the servers, by system calls (local.go), and a server that
// answers without having anything (null.go), which tells what the socket and the
// client allow.
//
// The files that the rows read are made by [Prepare] in a directory that is then
// exported, or by the client itself, through the server.
package bench

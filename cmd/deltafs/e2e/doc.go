// Package e2e proves deltafs with the NFS client of a real kernel.
//
// Each scenario is a shell script in guest/ that runs as root in a User-Mode Linux
// guest (see .ci/uml-run): it starts a server, mounts it, does its work and prints
// one line for each thing it checked:
//
//	ok NAME [detail]        it holds
//	FAIL NAME why           it does not
//	note text               a figure worth keeping
//	done                    the script came to its end
//
// The lines become subtests. A script that prints no check, does not come to its end
// or takes its guest with it is a failure.
//
// The tests need the build tag e2e, Linux, and what .ci/install installs:
//
//	go test -tags e2e ./cmd/deltafs/e2e/
package e2e

#!/bin/sh
# Builds tally for the systems that it is released for.
set -eu
for os in linux darwin windows; do
  GOOS=$os go build -o "bin/tally-$os" ./cmd/tally
done

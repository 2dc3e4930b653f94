# DeltaFS. `make demo` shows it; `make test` installs what the tests need and runs
# all of them; the phases are in .ci/test.

GO      ?= go
BIN     := bin/deltafs
TARGETS := linux/amd64 linux/arm64 linux/arm linux/mipsle linux/riscv64 \
           darwin/amd64 darwin/arm64 windows/amd64 windows/arm64 \
           freebsd/amd64 freebsd/arm64

.PHONY: build demo test lint e2e cross soak bench bench-peers bench-scale clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN) ./cmd/deltafs

# The sample base lies in a new directory, whose name is printed by the demo.
demo: build
	@base=$$(mktemp -d)/base && .ci/make-base "$$base" && \
	$(GO) run ./cmd/deltafs/internal/demo -deltafs $(BIN) -base "$$base"; \
	status=$$?; rm -rf "$$(dirname "$$base")"; exit $$status

test:
	@.ci/test

lint:
	@.ci/test lint

e2e:
	@.ci/test install e2e

cross:
	@for t in $(TARGETS); do \
	  echo "build $$t"; \
	  CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build -o /dev/null ./cmd/deltafs || exit 1; \
	done

# Hours instead of minutes: DELTAFS_SOAK multiplies the counts of the tests.
soak:
	DELTAFS_SOAK=$${DELTAFS_SOAK:-50} FUZZTIME=$${FUZZTIME:-50000000x} \
	RACE_TIMEOUT=24h E2E_TIMEOUT=48h TEST_TIMEOUT=48h .ci/test install race planted fuzz e2e tests

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# DeltaFS beside nfs-ganesha, go-nfs, overlayfs and the bare disk, into docs/performance.md:
# some 15 minutes, 25 GiB in PEERS_DIR, as root. PEERS_FLAGS: see cmd/deltafs/internal/peers.
bench-peers: build
	@.ci/install peers
	$(GO) run ./cmd/deltafs/internal/peers -deltafs $(BIN) -dir "$${PEERS_DIR:-/var/tmp}" -table docs/performance.md $(PEERS_FLAGS)

# What operations cost as files, entries, extents and connections become more: some 15
# minutes, 20 GiB in PEERS_DIR.
bench-scale: build
	$(GO) run ./cmd/deltafs/internal/peers scale -deltafs $(BIN) -dir "$${PEERS_DIR:-/var/tmp}" -table docs/performance.md -plot docs/scale.svg

clean:
	rm -rf bin

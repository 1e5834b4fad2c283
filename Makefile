# Everything that a person or CI does here. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= 0.1.0
CACHE   ?= $(if $(SLIPWAY_CACHE),$(SLIPWAY_CACHE),$(HOME)/.cache/slipway)
BIN     := bin/slipway
LDFLAGS := -s -w -X github.com/slipway-dev/slipway/cli.Version=$(VERSION)
TOOL    := go tool -modfile=go.tools.mod
SUITES  := unit plane engine search lab e2e
# Named by what it is built from, so that every checkout with the same go.tools.* shares one.
LINTER  := $(CACHE)/tools/golangci-lint-$(shell cat go.tools.mod go.tools.sum | sha256sum | head -c 12)

# One setting for builds and tests, so that they share what is compiled. Recipes that need cgo say so themselves.
export CGO_ENABLED := 0

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/slipway and bin/slipway-agent
	go build -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/slipway
	go build -ldflags '-s -w' -o $(BIN)-agent ./cmd/slipway-agent

.PHONY: packages
packages: ## Install the Debian packages that building, the lab and the tests need
	@hack/packages

.PHONY: demo
demo: packages build ## The main job: bare practice machines become a Kubernetes cluster
	@hack/demo

.PHONY: demo-down
demo-down: ## Take away everything that the demo made
	@hack/demo-down

.PHONY: test-unit
test-unit: ## Unit, golden and fuzz-seed tests: seconds, no root
	go run ./test/suite unit

.PHONY: test
test: packages build ## Unit tests and those with a real API server
	go run ./test/suite unit plane

.PHONY: test-all
test-all: packages build stale bundle engines search-servers verify ## Everything that CI proves: root, real servers, practice machines, real kubelets
	go run ./test/suite $(SUITES)

.PHONY: test-long
test-long: packages build stale bundle engines ## Hours: random kills, single entry points, a move with real durations; SHARD=i/n for a part, SEED=n to repeat, MOVE_BLOCK=2m for a short move
	SHARD='$(SHARD)' SEED='$(SEED)' go run ./test/suite long

.PHONY: e2e
e2e: packages build stale bundle ## The end-to-end flows alone; SCENARIO=name for one
	go test -tags lab -count=1 -timeout 60m -v $(if $(SCENARIO),-run '$(SCENARIO)') ./test/e2e/...

.PHONY: stale
stale: build
	@$(BIN) lab delete --stale # what a test that was killed left

.PHONY: bundle
bundle: build ## Build the bundle of Kubernetes and all that goes on a node (cached by content)
	$(BIN) bundle build

.PHONY: engines
engines: ## Make the real Prometheus servers that tests start (cached by content)
	go run ./test/engine/build

.PHONY: search-servers
search-servers: packages build ## Bring the two search servers that CI tests on (cached by content)
	$(BIN) lab search bring elasticsearch-6.8 opensearch-2.19

.PHONY: bench
bench: bench-cluster bench-scale bench-search bench-block bench-transfer bench-migration ## All benchmarks

.PHONY: bench-cluster
bench-cluster: packages build stale bundle ## Time to cluster and to join, against a shell script on the same machines
	go test -tags lab -run "^$$" -bench BenchmarkCreate -benchtime 3x -timeout 60m ./ansible

.PHONY: bench-scale
bench-scale: packages build ## 50 x 3 and 200 x 100 simulated machines: time, CPU, memory, API writes
	go run ./test/scale

.PHONY: bench-search
bench-search: build ## Looking at up to 100,000 indices with 1 M shards, of a server that answers as such a one does: time, CPU, memory, calls
	go run ./test/searchscale

.PHONY: bench-block
bench-block: ## Scrubbing a block of Prometheus against sha256sum and against the TSDB library; digests beside each other
	go test -run '^$$' -bench BenchmarkScrub -benchtime 5x ./migration/block
	go test -run '^$$' -bench BenchmarkDigest ./migration/block

.PHONY: bench-transfer
bench-transfer: ## Pulling blocks over mutual TLS against rsync over SSH (or cp, where that is missing), with CPU seconds per GB
	go test -run '^$$' -bench BenchmarkTransfer -benchtime 3x -timeout 30m ./migration/transfer

.PHONY: bench-migration
bench-migration: packages build stale ## Blocks between two practice machines against rsync: speed, CPU, memory, the old server's queries (SIZE=600 in MB); a whole move against doing it by hand and vmctl
	SLIPWAY_BENCH_MB='$(SIZE)' go test -tags lab -run '^$$' -bench BenchmarkMigration -benchtime 1x -timeout 30m ./test/e2e

.PHONY: generate
generate: ## Generate deep copies, CRDs and the API reference
	$(TOOL) controller-gen object paths=./api/...
	$(TOOL) controller-gen crd paths=./api/... output:crd:dir=charts/slipway/crds
	$(TOOL) crd-ref-docs --source-path=api --config=hack/reference.yaml --renderer=markdown --output-path=docs/reference.md --log-level=ERROR

.PHONY: lint
lint: $(LINTER) ## Go lint (allow-list), Ansible lint (production profile), shellcheck
	$(LINTER) run --allow-parallel-runners ./...
	shellcheck $(filter-out %.yaml,$(wildcard hack/*)) .ci/run ansible/fence/fence ansible/lint
	ansible/lint

$(LINTER):
	@echo "Building the linter with the API rules of Kubernetes (minutes, once)"
	@mkdir -p $(@D)
	go build -modfile=go.tools.mod -o $@ sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter

.PHONY: verify
verify: packages ## Tidy, generate, vet, lint; fails when that changes the tree
	@hack/verify

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME (10s) each
	@hack/fuzz

.PHONY: clean-cache
clean-cache: ## Forget every built component, image and tool
	rm -rf '$(CACHE)'

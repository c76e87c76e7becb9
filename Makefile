# `make test` is what CI runs, from a fresh clone; it installs what it needs. Each step has a target of its own.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

CARGO := cargo
BIN := target/e2e/stepgate
PROVIDER := tests/provider
PEERS := tests/peers
SCHEMA := tests/schema
export CARGO_TERM_COLOR ?= auto

.PHONY: help
help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{ printf "  make %-16s %s\n", $$1, $$2 }'

.PHONY: test
test: tools fmt lint core unit doc policies schema deploy e2e instructions ## everything a change must pass

.PHONY: demo
demo: ## the proxy, a small identity provider and an upstream, in one process, with requests to try
	$(CARGO) run --release -- demo

.PHONY: tools
tools: ## installs what the other targets need: a C compiler, Node.js, valgrind, clients and peers, the test provider, a schema validator
	@./tests/tools.sh
	@for folder in $(PROVIDER) $(SCHEMA); do \
	  if [[ ! $$folder/node_modules/.package-lock.json -nt $$folder/package-lock.json ]]; then \
	    (cd $$folder && npm ci --no-audit --no-fund && touch node_modules/.package-lock.json); fi; done

.PHONY: fmt
fmt: ## the formatting is rustfmt's
	$(CARGO) fmt --check

.PHONY: lint
lint: ## clippy, warnings are errors
	$(CARGO) clippy --locked --all-targets --features e2e -- -D warnings
	./tests/mutants/run.py --list

.PHONY: core
core: ## the fence: the core builds without a socket, a file or a clock (`unit` runs its tests)
	$(CARGO) check --locked --lib --no-default-features

# Most tests wait far more than they compute, so that more run at once than there are cores, where these are few.
TEST_THREADS := $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores > 6 ? cores : 6)))

.PHONY: unit
unit: ## tests that need nothing but Rust
	RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO) test --locked

.PHONY: doc
doc: ## the documentation builds without a warning
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps

# The program is optimised and what drives it is not: built as for `unit`, it takes over what that has built. Half as many
# tests at once as there, since these have programs of their own to run.
.PHONY: e2e
e2e: export STEPGATE_TESTED := $(CURDIR)/$(BIN)
e2e: tools .tools/peers/requirements.txt ## the whole program against a real OpenID provider, with real clients and peers
	$(CARGO) build --locked --profile e2e --features e2e --bin stepgate
	RUST_TEST_THREADS=$$(($(TEST_THREADS) / 2)) $(CARGO) test --locked --features e2e --test e2e
	$(CARGO) test --locked --test it reload_load

# Made anew when the list changes, as the one of `deploy`.
.tools/peers/requirements.txt: $(PEERS)/requirements.txt
	rm -rf .tools/peers
	python3 -m venv .tools/peers
	.tools/peers/bin/pip install --quiet --disable-pip-version-check --only-binary :all: --requirement $<
	cp $< $@

.PHONY: instructions
instructions: tools ## a request costs no more instructions than it did: the hot path
	$(CARGO) build --locked --profile e2e --features e2e --bin stepgate
	./tests/instructions/run.py $(BIN) --quick

.PHONY: policies
policies: ## the example policies load, lint clean and keep their promises
	$(CARGO) build --locked --profile e2e --features e2e --bin stepgate
	$(BIN) check policies/examples
	$(BIN) check tests/catalogue
	$(BIN) check --config deploy/stepgate.yaml policies/examples/demo
	$(BIN) test policies/examples
	$(BIN) test tests/catalogue

.PHONY: schema
schema: tools ## an independent validator, with our JSON Schemas, judges files as the loader does
	$(CARGO) build --locked --profile e2e --features e2e --bin stepgate
	node $(SCHEMA)/check.mjs $(BIN)

.PHONY: deploy
deploy: tools .tools/deploy/requirements.txt ## the Dockerfile, the systemd unit and the Kubernetes example are held against schemas and the program
	$(CARGO) build --locked --profile e2e --features e2e --bin stepgate
	.tools/deploy/bin/python tests/deploy/check.py $(BIN)

# Made anew when the list changes; the copy of the list comes last, so that half an environment is none.
.tools/deploy/requirements.txt: tests/deploy/requirements.txt
	rm -rf .tools/deploy
	python3 -m venv .tools/deploy
	.tools/deploy/bin/pip install --quiet --disable-pip-version-check --only-binary :all: --requirement $<
	cp $< $@

.PHONY: certs
certs: ## development certificates into certs/dev
	./certs/make-dev-certs.sh

.PHONY: release
release: ## target/released/stepgate, as it is released: laid out by what a training run executes; half an hour of one core
	./benches/pgo/build.sh

# What is measured is what is released, unless BENCH_BIN names another that is built.
BENCH_BIN :=
.PHONY: bench
bench: tools .tools/compare/requirements.txt $(if $(BENCH_BIN),,release) ## CPU, latency and memory beside nginx, HAProxy and Envoy; BENCH="--rounds 5" to have it shorter, BENCH_BIN=target/release/stepgate for that one
	@./tests/tools.sh bench
	$(CARGO) build --locked --release --example hyper-floor
	.tools/compare/bin/python benches/compare/run.py $(or $(BENCH_BIN),target/released/stepgate) $(BENCH)

# Made anew when the list changes, as the one of `deploy`.
.tools/compare/requirements.txt: benches/compare/requirements.txt
	rm -rf .tools/compare
	python3 -m venv .tools/compare
	.tools/compare/bin/pip install --quiet --disable-pip-version-check --only-binary :all: --requirement $<
	cp $< $@

.PHONY: long
long: deny mutants instructions-all ## what takes long: runs nightly or before a release, not on each change

.PHONY: instructions-all
instructions-all: tools ## the same of every case: tokens that are new, and growth by what does not matter
	$(CARGO) build --locked --profile e2e --features e2e --bin stepgate
	./tests/instructions/run.py $(BIN)

.PHONY: mutants
mutants: ## every fault of the list is noticed by a test
	./tests/mutants/run.py

.PHONY: deny
deny: .tools/bin/cargo-deny ## licences, sources and banned crates of the dependencies
	.tools/bin/cargo-deny check bans licenses sources

.tools/bin/cargo-deny:
	$(CARGO) install --locked --root .tools cargo-deny@0.20.2

# Every verb that a person or CI uses. Plain `make` prints them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
LOCAL := deploy/local
N ?= 1
ATTACK_SCALE ?= 1
FUZZ_SECONDS ?= 60

.PHONY: help
help: ## Print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | column -t -s '|'

.PHONY: run
run: ## Run everything in one process on embedded defaults and print where the portal is
	@$(LOCAL)/require.sh build
	cargo run --quiet -p sallyport

.PHONY: up
up: ## Run PostgreSQL, Redis, RabbitMQ, an SMSC and every service as its own process, with mutual TLS
	@$(LOCAL)/require.sh build servers
	cargo build --quiet -p identity -p otp-dispatch -p account-admin -p gateway -p sallyportctl
	@$(LOCAL)/stack.sh up

.PHONY: down
down: ## Stop what `make up` started
	@$(LOCAL)/stack.sh down

.PHONY: scale
scale: ## Run N dispatchers: make scale N=3
	@$(LOCAL)/stack.sh scale $(N)

.PHONY: certs
certs: ## Make a development CA and certificates for every service under .local/certs
	@$(LOCAL)/require.sh build
	cargo run --quiet -p sallyportctl -- certs --out .local/certs

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all

.PHONY: check
check: ## Format, lints, licences, protos: everything but the tests
	@$(LOCAL)/require.sh build lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo deny --log-level error check bans licenses sources
	cd proto && node_modules/.bin/buf lint

.PHONY: test
test: ## All tests, with real servers and a browser
	@$(LOCAL)/require.sh build test servers browser clients
	cd tests/clients/typescript && npm run --silent build
	cargo nextest run --workspace

.PHONY: ci
ci: check test ## What CI runs

.PHONY: bench
bench: ## Measure the product against the bare limit, in turn; target/reports/bench.json
	@$(LOCAL)/require.sh build servers
	cargo run --quiet --release -p sallyport-tests --bin bench

.PHONY: timing
timing: ## Compare the times of sign-ins, known or not, right or wrong; target/reports/timing.json
	@$(LOCAL)/require.sh build servers
	cargo run --quiet --release -p sallyport-tests --bin bench -- timing

.PHONY: attack
attack: ## Attack the real stack, a million guesses, or a part: make attack ATTACK_SCALE=0.01
	@$(LOCAL)/require.sh build servers
	cargo build --quiet --release -p identity -p otp-dispatch -p account-admin -p gateway -p sallyportctl
	cargo run --quiet --release -p sallyport-tests --bin attack -- --scale $(ATTACK_SCALE)

.PHONY: fuzz
fuzz: ## Fuzz every target by coverage and the front doors, each so long: make fuzz FUZZ_SECONDS=600
	@$(LOCAL)/require.sh build fuzz servers
	@tests/fuzz/run.sh $(FUZZ_SECONDS)

.PHONY: dist
dist: ## One stripped binary of the all-in-one under dist/
	@$(LOCAL)/require.sh build
	cargo build --release -p sallyport
	mkdir -p dist
	cp target/release/sallyport dist/sallyport
	@ls -l dist/sallyport

.PHONY: clean
clean: ## Stop the local stack and remove what was built and stored
	@$(LOCAL)/stack.sh purge
	cargo clean
	rm -rf dist data proto/node_modules tests/foreign-smsc/node_modules tests/browser/axe/node_modules \
		tests/clients/typescript/node_modules tests/clients/typescript/dist

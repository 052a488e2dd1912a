# The commands of this project. CI calls the same ones; CONTRIBUTING.md lists the scripts besides.

# Where rustup puts cargo, for the run that has just installed it.
export PATH := $(PATH):$(HOME)/.cargo/bin
export GIT_COMMIT ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

PRIVATE := tests/databases/private
# Tests marked as ignored need a database server; with one, they run too.
WITH_SERVER := cargo test --locked --test it -- --include-ignored

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: rust ## Start the server on port 8081, with SQLite in chat.db or on DATABASE_URL
	@[ -x "$${CARGO_TARGET_DIR:-target}/release/chat-server" ] || \
	  echo "The first build takes about five minutes on two free processors, and longer on busy ones: it compiles SQLite" \
	  "and 300 libraries, for databases, TLS and telemetry among others. Later builds compile only what has changed."
	cargo run --release --locked

.PHONY: test
test: test-sqlite test-mysql test-mariadb ## Run all tests, on SQLite and on a private MySQL and MariaDB that it brings
	@echo "== All tests passed on SQLite, MySQL and MariaDB"

# One by one for CI, which runs them side by side.
.PHONY: test-sqlite test-mysql test-mariadb
test-sqlite: rust
	@echo "== SQLite, compiled in"
	env -u TEST_DATABASE_URL cargo test --locked
test-mysql test-mariadb: test-%: rust
	@echo "== $*"
	$(PRIVATE) $* run $(WITH_SERVER)

.PHONY: check
check: rust ## Check format, lints, dependencies and the committed OpenAPI document
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked --quiet --test it -- tidy openapi::the_committed docs k6 objectives monitoring
	bench/check
	deploy/observability/check
	.github/check
	deploy/kubernetes/check
	k6/check
	@if command -v redocly >/dev/null; then REDOCLY_TELEMETRY=off redocly lint --extends recommended openapi.json; \
	else echo "redocly is not installed: openapi.json not linted (.github/install redocly)"; fi
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --locked check bans licenses sources; \
	else echo "cargo-deny is not installed: dependencies not checked (cargo install --locked cargo-deny)"; fi

.PHONY: bench
bench: rust ## Measure the server against its peers, about two hours; writes docs/performance/results.md
	bench/run all

.PHONY: observe
observe: ## Start it with MySQL, Prometheus, Grafana and Jaeger in containers
	COMPOSE_PROFILES=observability deploy/compose

.PHONY: openapi
openapi: rust ## Write openapi.json
	cargo run --quiet --locked -- openapi > openapi.json.new
	mv openapi.json.new openapi.json

.PHONY: rust
rust:
	@command -v cargo >/dev/null || { echo "Installing Rust by rustup"; \
	  curl --proto '=https' --tlsv1.2 -sSf https://static.rust-lang.org/rustup/rustup-init.sh | \
	  sh -s -- -y --quiet --profile minimal --default-toolchain none --no-modify-path; }

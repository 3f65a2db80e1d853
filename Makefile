# make help shows what there is. The virtual environment is made once, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# a test worker for each core and one more; whoever is done takes over from the others
TESTS := $(BIN)/python -m pytest -n auto --dist worksteal
STAMP := $(VENV)/.installed
ARGS ?=

.PHONY: help mnist test check bench format clean
.DEFAULT_GOAL := help

help:  ## show this text
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  ARGS=... are added to the command: make mnist ARGS='total_trials=4 data_config.root=path/to/mnist'"

mnist: $(STAMP)  ## the tutorial: search an MLP on handwritten digits
	$(BIN)/python -m hpo +experiment=mnist --multirun $(ARGS)

test: $(STAMP)  ## run all tests
	$(TESTS) $(ARGS)

check: $(STAMP)  ## what CI runs: format, lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(TESTS)

bench: $(STAMP)  ## measure against baselines (ratios; some minutes)
	$(BIN)/python -m tests.benchmarks $(ARGS)

format: $(STAMP)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove the virtual environment and caches, no results
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "hpo needs Python 3.11 or later; name one with PYTHON=..., for example: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

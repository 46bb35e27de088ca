# make quickstart   the whole pipeline on bundled photographs, minutes on a laptop without a GPU
# make test         tests, short enough to run before each commit
# make test-slow    tests that take minutes
# make check        format, lint, types, layers, docs
# make bench        speed measurements, JSON on stdout
# make clean        remove caches and build output; the environment and your runs stay
#
# The first call makes the environment: Python >= 3.11, named by PYTHON. WORKERS is the number of test processes.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := test
.PHONY: quickstart test test-slow check bench clean install

quickstart: $(INSTALLED)
	$(BIN)/pondera quickstart

# One thread per process: the processes already share out the cores.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadscope

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -q -m "slow and not gpu and not network"

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p pondera
	$(BIN)/lint-imports
	$(BIN)/python -m pondera.core.reference_page --check

bench: $(INSTALLED)
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/rewards.py --json

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Pondera needs Python 3.11 or newer, this is " + sys.version.split()[0] + ". Name one: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(INSTALLED)

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

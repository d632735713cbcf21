# The two commands of the README, each from nothing: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run test docs fuzz mutants lint types check-format bench constraints unpinned clean

run: $(READY)
	$(BIN)/kvprobes run

test: lint types
	$(BIN)/python -m pytest $(PYTEST)

# The site, with every example run: docs/_build/index.html.
docs: $(READY)
	$(BIN)/python -m sphinx -q -W --keep-going docs docs/_build

# Damaged and hostile files for every reader; only errors of ours may come.
fuzz: $(READY)
	KVPROBES_FUZZ=10000 $(BIN)/python -m pytest $(PYTEST) tests/test_fuzz.py

# Break the code a line at a time, and see that the tests notice (hours; not CI).
mutants: $(READY)
	$(BIN)/python -m benchmarks.mutants $(MUTANTS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo

types: $(READY)
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m benchmarks.run
	$(BIN)/python -m benchmarks.capture
	$(BIN)/python -m benchmarks.text
	$(BIN)/python -m benchmarks.similarity
	$(BIN)/python -m benchmarks.inference --quick
	$(BIN)/python -m benchmarks.probes
	$(BIN)/python -m benchmarks.causal
	$(BIN)/python -m benchmarks.tying

# pip itself is pinned first: older ones know no dependency groups.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "kvprobes needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt --upgrade pip
	$(BIN)/python -m pip install -q -c constraints.txt --editable . --group test
	touch $(READY)

# Pin again the versions that a fresh environment resolves to.
constraints:
	rm -rf .constraints && $(PYTHON) -m venv .constraints
	.constraints/bin/python -m pip install -q --upgrade pip
	.constraints/bin/python -m pip install -q torch==2.13.0
	.constraints/bin/python -m pip install -q --editable . --group test
	.constraints/bin/python -m pip freeze --all --exclude-editable | grep -v '^setuptools' | sed 's/+cpu//' > constraints.txt
	rm -rf .constraints

# The tests with the newest dependencies: shows which differ from the pinned ones, and may fail.
unpinned:
	rm -rf .unpinned && $(PYTHON) -m venv .unpinned
	.unpinned/bin/python -m pip install -q --upgrade pip
	.unpinned/bin/python -m pip install -q --editable . --group test
	-.unpinned/bin/python -m pip freeze --all --exclude-editable | sed 's/+cpu//' | diff constraints.txt - | grep '^[<>]'
	-.unpinned/bin/python -m pytest $(PYTEST)

clean:
	rm -rf $(VENV) .unpinned .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build

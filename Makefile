# `make demo` and `make test` each do everything on a fresh machine: environment, install, run.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= demo

DOCS_READY := $(VENV)/.docs-ready

.PHONY: demo test test-all lint types check docs release-check clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

demo: $(READY)  ## simulate, fit, sample, compare, report (OUT=folder)
	$(BIN)/spikeloom demo --out $(OUT)

test: $(READY)  ## every test but those marked slow
	$(BIN)/python -m pytest

test-all: $(READY)  ## all of them: also trainings to known truths, kills, clusters, the longest commands of the documentation
	$(BIN)/python -m pytest -m "slow or not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(READY)
	$(BIN)/pyright

check: lint types test-all

$(DOCS_READY): $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $(DOCS_READY)

docs: $(DOCS_READY)  ## the site, from scratch: docs/_build/html/index.html; runs every tutorial, warnings are errors
	rm -rf docs/_build docs/tutorials
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs docs/_build/html

release-check: $(DOCS_READY)  ## version, distributions, clean environments, links (see release/check.py)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[release]"
	$(BIN)/python release/check.py

clean:
	rm -rf $(VENV) build dist *.egg-info src/*.egg-info docs/_build docs/tutorials docs/reference/generated docs/results/measured

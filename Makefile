# Two commands do everything on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test coverage lint docs clean

## demo: a synthetic study from boxes to the report, with the embedded model
demo: $(VENV)/core
	$(BIN)/crowdqc demo crowdqc-demo --force

## test: everything that CI checks; tests run on all cores, a file on one of them
test: lint $(VENV)/dev
	$(BIN)/python -m pytest --quiet --numprocesses auto --dist loadfile

## coverage: the same tests with branch coverage, which must not fall below the floor in pyproject.toml
coverage: lint $(VENV)/dev
	$(BIN)/python -m coverage run -m pytest --quiet
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

## lint: style, types, the layers of the architecture, docstrings of public functions
lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/docstrings.py

## docs: the documentation site, docs/_build/html; a warning is an error
docs: $(VENV)/docs
	$(BIN)/python docs/make.py
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going docs docs/_build/html

clean:
	rm -rf .coverage* docs/_build docs/api $(VENV) crowdqc-demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/core: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable .
	touch $@

$(VENV)/docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[docs]'
	touch $@

$(VENV)/dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[all,dev]'
	touch $@ $(VENV)/core

# The two commands of a fresh machine: `make demo` and `make test`. Each makes .venv/ when it is missing.
# A folder with the public input files may be named in EVERCAST_DATA (several: separated by colons).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SNAKE := Snakefile workflow/requests/Snakefile $(wildcard workflow/rules/*.smk)
NEARBY_DATA := $(wildcard ../shared/data)
export EVERCAST_DATA ?= $(if $(NEARBY_DATA),$(abspath $(NEARBY_DATA)))
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint format docs bench clean help

help:  ## show the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(VENV)/run.stamp: requirements/run.txt pyproject.toml
	@./requirements/install.sh "$(PYTHON)" $(VENV) requirements/run.txt
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml
	@./requirements/install.sh "$(PYTHON)" $(VENV) requirements/dev.txt
	@touch $@ $(VENV)/run.stamp

demo: $(VENV)/run.stamp  ## run the flagship analysis on real collisions and print the result
	$(BIN)/evercast run specs/h4l/analysis.yaml --pseudo-data if-unavailable

test: $(VENV)/dev.stamp  ## run all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/dev.stamp  ## formatting, lint, types, import order, workflow
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/snakefmt --check $(SNAKE)

format: $(VENV)/dev.stamp  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt $(SNAKE)

docs: $(VENV)/dev.stamp  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/dev.stamp  ## run the benchmarks: ratios against peers in the same run
	for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:  ## remove the environment and what the tools left
	rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache .snakemake

# Everything runs from .venv, which is made from requirements.lock; nothing is installed elsewhere.
#
# What the embedded servers keep lies under LAMBDA_PIPELINE_HOME (default: .lambda_pipeline in this folder).

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

VENV    := .venv
PYTHON  := $(VENV)/bin/python
PROGRAM := $(VENV)/bin/lambda-pipeline
STAMP   := $(VENV)/.installed
PIP     := --disable-pip-version-check --no-input --no-warn-script-location --progress-bar off

PORT    ?= 3000
TESTS   ?=
MINUTES ?=
SEED    ?=
# One more than there are cores: tests wait for servers half of their time.
WORKERS ?= $(shell echo $$(($$(nproc 2>/dev/null || echo 2) + 1)))
PYTEST  ?=
COVERAGE ?=
SOAK     = $(PYTHON) -m lambda_pipeline_tests.model soak --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))

.PHONY: help setup demo test test-model test-hapi soak dev stop clean lint docs lock bench

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv from requirements.lock if it is missing or old, and say where the command is
	@echo "setup: the command is $(PROGRAM); in each new terminal, first run: source $(VENV)/bin/activate" >&2

demo: $(STAMP) ## the whole pipeline in a minute: data, one night, one morning, one answer
	@$(PROGRAM) demo

# Every worker has servers of its own, so the number of workers changes the time a run takes, never its result.
test: $(STAMP) ## the tests, on embedded servers; TESTS=path for a part of them, WORKERS=1, COVERAGE=1
	@$(PYTHON) -m pytest $(TESTS) -n $(WORKERS) --maxprocesses 8 --dist worksteal -m "not campaign and not hapi" \
	  $(if $(COVERAGE),--cov --cov-report=term) $(PYTEST)

test-model: $(STAMP) ## the model's long campaign and all seeded mistakes; MINUTES=10 adds random histories, SEED=number
	@$(PYTHON) -m pytest lambda_pipeline_tests/model -m campaign $(PYTEST)
	if [ -n "$(MINUTES)" ]; then $(SOAK); fi

test-hapi: $(STAMP) ## a real HAPI under random requests, against its own REST answers; needs Java 17 and Maven, else it skips
	@$(PYTHON) -m pytest lambda_pipeline_tests/hapi_server -m hapi -rs $(PYTEST)

soak: $(STAMP) ## random histories against the model; MINUTES=30, SEED=number for the same ones again
	@$(SOAK)

dev: $(STAMP) ## the pipeline with Dagster's UI on http://127.0.0.1:3000; PORT=3001 for another port
	@$(PROGRAM) dev --port $(PORT)

stop: ## stop what dev and demo started; data stays
	@if [ -x $(PROGRAM) ]; then $(PROGRAM) stop; else echo "nothing to stop: there is no $(VENV)" >&2; fi

clean: ## stop the servers and remove all they keep
	@if [ -x $(PROGRAM) ]; then $(PROGRAM) clean; else echo "nothing to clean: there is no $(VENV)" >&2; fi

lint: $(STAMP) ## ruff, mypy, import contracts, spelling
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo
	@$(VENV)/bin/codespell

docs: $(STAMP) ## the documentation site in site/; a broken link or anchor is an error
	@NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs --quiet build --strict
	@echo "docs: open site/index.html" >&2

bench: $(STAMP) ## the measurements of benchmarks/
	@$(PYTHON) -m benchmarks

lock: ## resolve the dependencies anew (needs uv)
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-strip-extras --python-version 3.11 \
	  --extra charts --extra dev --extra docs --extra embedded --extra metrics pyproject.toml -o requirements.lock

# A found interpreter may be a shim that starts nothing, so each candidate is asked. Debian's Python has no ensurepip
# without a further package: pip then works on .venv from outside.
$(STAMP): requirements.lock pyproject.toml
	@if ! $(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
	  found=
	  for candidate in $${PYTHON3:-} python3.13 python3.12 python3.11 python3; do
	    if "$$candidate" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
	      found=$$candidate
	      break
	    fi
	  done
	  if [ -z "$$found" ]; then
	    echo "make setup: no Python 3.11, 3.12 or 3.13 found; install one, or name it: make setup PYTHON3=/path/to/python3.11" >&2
	    exit 2
	  fi
	  echo "setup: $(VENV) with $$("$$found" --version)" >&2
	  rm -rf $(VENV)
	  if "$$found" -c 'import ensurepip' 2>/dev/null; then
	    "$$found" -m venv $(VENV)
	  else
	    "$$found" -m venv --without-pip $(VENV)
	    echo "$$found" > $(VENV)/.pip-of
	  fi
	fi
	if [ -f $(VENV)/.pip-of ]; then pip=("$$(cat $(VENV)/.pip-of)" -m pip --python $(PYTHON)); else pip=($(PYTHON) -m pip); fi
	total=$$(grep -c '^[a-z0-9].*==' requirements.lock)
	echo "setup: installing up to $$total packages from requirements.lock" >&2
	"$${pip[@]}" install $(PIP) --require-hashes -r requirements.lock \
	  | awk '/^Collecting/ { if (++n % 20 == 0) { print "setup: " n " packages found"; fflush() } } /^Installing/ { print "setup: installing them"; fflush() }' >&2
	"$${pip[@]}" install $(PIP) --quiet --no-deps --no-build-isolation -e .
	touch $(STAMP)
	echo "setup: done" >&2


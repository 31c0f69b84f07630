# `make` lists the commands. None needs root; PYTHON names another interpreter.
PYTHON ?= python3
VENV := .venv/bin

# What asks a database for more than to keep rows: races, claims, locks, sums, JSON, batches. Where a
# worker is killed differs in nothing that it sees.
LIFECYCLE := $(addprefix tests/integration/lifecycle/test_,approvals.py decisions.py disagreements.py drill.py exports.py judging.py kills.py model_index.py observing.py \
	promotion.py races.py record.py record_owner.py record_search.py retention.py rollback.py rollouts.py together.py upkeep.py updates.py)
ON_POSTGRES := $(LIFECYCLE) tests/integration/portal/test_api.py tests/integration/portal/test_idempotency.py tests/integration/portal/test_business_metrics.py \
	tests/integration/registry/test_mirror.py -k "not killed_anywhere"

# A module path that belongs to something else must not reach the installation.
export PYTHONPATH :=
.DEFAULT_GOAL := help
.PHONY: help run stop reset test installation-tests service-tests start-tests postgres-tests portal-tests lint screenshots lock environment environment-dev python

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 18

run: environment  ## build the environment, start everything, stop it with Ctrl-C
	@exec $(VENV)/python -m embedded.up

stop:  ## stop what `make run` started, also when its terminal is gone
	@if [ -x $(VENV)/python ]; then exec $(VENV)/python -m embedded.down; fi

reset:  ## stop, and remove all data
	@if [ -x $(VENV)/python ]; then exec $(VENV)/python -m embedded.down --reset; fi

test: environment-dev  ## unit, integration and browser tests, and the database's on PostgreSQL too
	$(VENV)/pytest tests/unit
	@$(MAKE) --no-print-directory --keep-going --jobs=3 installation-tests service-tests start-tests postgres-tests portal-tests

# Three at a time: each of them mostly waits for processes that it has started. Every line says whose it is.
NAMED = set -o pipefail; named() { "$$@" 2>&1 | sed -u "s/^/$(@:-tests=): /"; }; named
installation-tests service-tests start-tests postgres-tests portal-tests: SHELL := bash
installation-tests:
	@$(NAMED) $(VENV)/pytest tests/integration tests/browser -m installation

service-tests:
	@$(NAMED) $(VENV)/pytest tests/integration -m "not installation" --ignore=tests/integration/test_make_run.py --ignore=tests/integration/portal

start-tests:
	@$(NAMED) $(VENV)/pytest tests/integration/test_make_run.py

portal-tests:
	@$(NAMED) $(VENV)/pytest tests/integration/portal tests/browser -m "not installation"

postgres-tests:
	@$(NAMED) $(VENV)/python -m tests.postgres pytest $(ON_POSTGRES)

lint: environment-dev  ## ruff, mypy, import-linter, djlint
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports
	$(VENV)/djlint --check --lint templates

screenshots: environment-dev  ## photograph the demo, light and dark: all of it into var/screens, for the README into docs/screens
	$(VENV)/python -m tests.browser.screenshots docs/screens var/screens

lock: environment-dev  ## pin requirements*.in anew, with hashes, and fetch the chart library that goes with them
	$(VENV)/uv pip compile --quiet --universal --no-header --generate-hashes --python-version 3.11 --output-file requirements.txt requirements.in
	$(VENV)/uv pip compile --quiet --universal --no-header --generate-hashes --python-version 3.11 --output-file requirements-dev.txt requirements-dev.in
	$(VENV)/uv pip sync --quiet --require-hashes requirements.txt requirements-dev.txt
	$(VENV)/python -m embedded.chart_library

environment: python
	@$(PYTHON) -m embedded.bootstrap

environment-dev: python
	@$(PYTHON) -m embedded.bootstrap --dev

# What embedded.bootstrap cannot say itself: no Python at all, or one too old to read it.
python:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON). Stagegate needs Python 3.11 or newer: make run PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 7) and "$(PYTHON) is too old. Stagegate needs Python 3.11 or newer: make run PYTHON=/path/to/python3")'

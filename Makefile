# `make serve` and `make test` need Python 3.11 or newer and nothing else. PYTHON=python3.12 picks another one.

PYTHON ?= python3
UV ?= uv
PIP_AUDIT ?= pip-audit
VENV := .venv
BIN := $(VENV)/bin
# Two processes, each with whole files: tests of a file share what they start. A test that hangs fails after a while.
IN_PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder --timeout 900

.DEFAULT_GOAL := help
.PHONY: help serve test test-slow train-env check format reference lock audit clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

serve: $(VENV)/.serving ## Serve the shipped checkpoints on 127.0.0.1:8000
	$(BIN)/python -m service $(ARGS)

test: $(VENV)/.everything ## Unit, integration and end-to-end tests
	$(BIN)/python -m pytest -m "not slow" $(IN_PARALLEL)

test-slow: $(VENV)/.everything ## What takes long: faults, fuzzing, a soak, containers, whole trainings
	$(BIN)/python -m pytest -m slow --timeout 7200

train-env: $(VENV)/.everything ## Install what `python -m training` needs
	@echo "now: $(BIN)/python -m training --help"

check: $(VENV)/.everything ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.everything ## Mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: $(VENV)/.everything ## Write the tables of settings and metrics in docs/operating.md anew
	$(BIN)/python -m ops.reference

lock: ## Make both locks anew from pyproject.toml (needs uv)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: pip install uv, or make UV=/path/to/uv lock" >&2; exit 1; }
	$(UV) pip compile pyproject.toml --extra test --universal --python-version 3.11 --generate-hashes --no-header --upgrade -q -o requirements-dev.lock
	$(UV) pip compile pyproject.toml -c requirements-dev.lock --universal --python-version 3.11 --generate-hashes --no-header --upgrade -q -o requirements.lock
	@! grep -n '://' requirements.lock requirements-dev.lock || { echo "the address of an index got into a lock" >&2; exit 1; }
	@grep -q '^setuptools==' requirements.lock || { echo "setuptools, which builds the project, is not locked" >&2; exit 1; }

# Exceptions, if ever there are any: --ignore-vuln ID, each with its reason beside it and in SECURITY.md.
audit: ## Look for known vulnerabilities in what is locked (needs pip-audit, and the internet)
	@command -v $(PIP_AUDIT) >/dev/null || { echo "make audit needs pip-audit: pip install pip-audit, or make PIP_AUDIT=/path/to/pip-audit audit" >&2; exit 1; }
	$(PIP_AUDIT) --strict --require-hashes --disable-pip -r requirements.lock
	$(PIP_AUDIT) --strict --require-hashes --disable-pip -r requirements-dev.lock

clean: ## Remove the environment and caches; checkpoints and runs stay
	rm -rf $(VENV) .pytest_cache .ruff_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip is what venv adds last; where a distribution leaves it out, a half-made environment must not count.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "Spirale needs Python 3.11 or newer, this is %d.%d; try: make PYTHON=python3.12 ..." % v[:2])'
	$(PYTHON) -m venv $(VENV)

# The serving lock is a part of the other one, at the same versions: whoever has installed everything can serve.
$(VENV)/.serving: requirements.lock pyproject.toml | $(BIN)/pip
	@if [ $(VENV)/.everything -nt requirements-dev.lock ]; then :; else $(BIN)/python -m pip install --require-hashes -r requirements.lock; fi
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.everything: requirements-dev.lock pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

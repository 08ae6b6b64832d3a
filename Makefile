# The verbs of this project. `make run` and `make test` need only Python 3.11, make and a package index.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

# Many tests wait for a socket or a clock, so three workers share two cores well. A file stays with one worker: what a
# module starts is started once. In their order: the long journeys come early, many small files even out the end.
SPREAD := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: run setup dev test check fix bench clean

run: setup ## start everything: servers, web, listener, workers, simulated exchange
	@exec $(BIN)/python manage.py up

setup: $(RUN_STAMP) ## create the environment the product runs in

dev: $(DEV_STAMP) ## add what developers and CI need

test: dev ## the whole test suite against real embedded servers; ARGS="..." passes options to pytest
	@$(BIN)/python -m pytest $(SPREAD) $(ARGS)

check: dev ## what must be green on every commit
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@$(BIN)/python manage.py units --check
	@$(BIN)/hadolint --failure-threshold info Dockerfile
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

fix: dev ## let the tools mend what they can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: dev ## measure; figures go to benchmarks/README.md
	@$(BIN)/python -m benchmarks $(ARGS)

clean: ## remove the environment and caches; keeps var/, where the data is
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache staticfiles
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there: install Python 3.11 or name it, as in 'make run PYTHON=python3'." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "$(PYTHON) is not Python 3.11." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { rm -rf $(VENV); $(MAKE) --no-print-directory venv-without-ensurepip; }

# Debian splits the piece that puts pip into an environment off into a package of its own.
.PHONY: venv-without-ensurepip
venv-without-ensurepip:
	@if $(PYTHON) -m pip --version >/dev/null 2>&1; then \
	  $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --quiet --python $(BIN)/python install pip; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing python3.11-venv ..." && apt-get update -qq && apt-get install -y -qq python3.11-venv >/dev/null && $(PYTHON) -m venv $(VENV); \
	else \
	  echo "No virtual environment could be made: as root, 'apt install python3.11-venv', then try again." >&2; exit 1; \
	fi

$(RUN_STAMP): requirements.txt | $(VENV)/bin/python
	@echo "Installing what the site needs (once, about half a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(DEV_STAMP): requirements-dev.txt requirements-exchanges.txt requirements-monitoring.txt $(RUN_STAMP)
	@echo "Installing what developers need (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

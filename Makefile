# Everything that a person does with this repository. `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
# Every step is a process of its own: without compiled modules it spends half its start compiling.
unexport PYTHONDONTWRITEBYTECODE

UV ?= $(shell command -v uv || echo .reclake/uv/bin/uv)
PYTHON := .venv/bin/python
BASE_PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BENCHMARKS := $(wildcard tests/benchmarks/__main__.py)
ONLY ?=
# Tests that start whole stacks and look at the machine's processes; the others share it two by two.
WHOLE_MACHINE := tests/infra tests/end_to_end
ARGS ?=

.PHONY: help
help: ## List all targets
	@awk -F ':.*## ' -v absent="$(if $(BENCHMARKS),,bench)" '$$1 != absent && /^[a-z][a-z-]*:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(filter .reclake/%,$(UV)):
	@echo "uv is missing: installing it into .reclake/uv"
	@$(BASE_PYTHON) -m venv .reclake/uv 2>/dev/null && .reclake/uv/bin/pip install -q uv \
	  || { rm -rf .reclake/uv && $(BASE_PYTHON) -m pip install -q --target .reclake/uv uv; } \
	  || { echo "uv could not be installed: install it from https://docs.astral.sh/uv/ and try again"; exit 1; }

.PHONY: install
install: $(filter .reclake/%,$(UV)) ## Install both environments from the lock file
	$(UV) sync --frozen
ifeq ($(RECLAKE_LLM_URL),)
	UV_PROJECT_ENVIRONMENT=.venv-serve $(UV) sync --frozen --only-group serve
endif

.PHONY: machine
machine:
	@$(BASE_PYTHON) -m infra.machine

.PHONY: demo
demo: machine install ## Start the embedded stack and publish three days (resumes when run again)
	@$(PYTHON) -m infra.demo up

.PHONY: down
down: ## End every process that the demo started
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m infra.demo down; else echo "Nothing is installed."; fi

.PHONY: test
test: install ## Run all tests but chaos; servers are started on free ports and ended
ifeq ($(ARGS),)
	$(PYTHON) -m pytest -m "not chaos" -n 2 --dist loadfile $(addprefix --ignore ,$(WHOLE_MACHINE))
	$(PYTHON) -m pytest -m "not chaos" $(WHOLE_MACHINE)
else
	$(PYTHON) -m pytest -m "not chaos" $(ARGS)
endif

.PHONY: chaos
chaos: install ## Run the tests that kill servers in the middle of their work
	$(PYTHON) -m pytest -m chaos $(ARGS)

.PHONY: test-fast
test-fast: install ## Run the tests that need no server
	$(PYTHON) -m pytest -m "not server and not chaos" $(ARGS)

.PHONY: lint
lint: install ## Check style, format and types
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy

.PHONY: format
format: install ## Rewrite the code in the project's format
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

ifneq ($(BENCHMARKS),)
.PHONY: bench
bench: install ## Measure against peers; ONLY=name for one (writes .reclake/bench/)
	$(UV) sync --frozen --group bench
ifneq ($(filter llm,$(or $(ONLY),llm)),)
	UV_PROJECT_ENVIRONMENT=.venv-serve $(UV) sync --frozen --only-group serve --only-group serve-bench
endif
	$(PYTHON) -m tests.benchmarks $(if $(ONLY),--only $(ONLY))
endif

.PHONY: mutants
mutants: install ## Change the code and see whether tests fail; ONLY=package, SAMPLE=n, SEED=n, FAST=1
	$(UV) sync --frozen --group mutants
	$(PYTHON) -m tests.mutants $(if $(ONLY),--only $(ONLY)) $(if $(SAMPLE),--sample $(SAMPLE)) \
	  $(if $(FAST),--fast) $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))

.PHONY: screenshots
screenshots: install ## Photograph the finished demo in the Airflow UI (needs Chromium)
	$(UV) run --no-sync --with playwright python -m infra.demo.screenshots

.PHONY: clean
clean: ## End the demo and delete its state: drops, lake, logs, JARs, models
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m infra.demo clean; else echo "Nothing is installed."; fi

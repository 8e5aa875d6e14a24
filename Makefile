# Two commands to begin with: `make up` runs everything here, `make test` tests it. `make` alone lists them all.

VENV := .venv
# Naming another PYTHON than .venv was made with makes it anew; naming none keeps the one that is there.
MADE_WITH := $(shell cat $(VENV)/.python 2>/dev/null)
PYTHON ?= $(or $(MADE_WITH),python3)
OTHER_PYTHON := $(if $(filter-out $(PYTHON),$(MADE_WITH)),other-python)
GATEWAY_PORT ?=
QUERY_PORT ?=
DATA_DIR ?= .threatlog
RPS ?= 200
STACK ?= embedded
ARGS ?=
# Test processes side by side, each with servers of its own: most tests wait more than they compute.
JOBS ?= 3
SEEDS ?= 20
FAULTS ?= full

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Not given, the ports are those of config.yaml and the variables: 8080 and 8081.
UP = --data-dir '$(DATA_DIR)' $(if $(GATEWAY_PORT),--gateway-port '$(GATEWAY_PORT)') \
    $(if $(QUERY_PORT),--query-port '$(QUERY_PORT)') $(ARGS)
# Tests of the repository itself: its architecture, its documents, its deployment files.
REPOSITORY_TESTS = $(wildcard tests/test_*.py)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: other-python help up demo test faults coverage check audit sbom format bench lock clean

help: ## list these targets
	@echo 'usage: make TARGET [NAME=value ...]'
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sort | while IFS= read -r line; do \
	    printf '  %-10s %s\n' "$${line%%:*}" "$${line#*## }"; done

# `exec` puts the program in the shell's place, so that signals for the recipe reach it.
up: $(STAMP) ## run everything here [GATEWAY_PORT=8080 QUERY_PORT=8081 DATA_DIR=.threatlog]
	@exec $(BIN)/python -m threatlog up $(UP)

demo: $(STAMP) ## the same, and send sample events at a steady rate [RPS=200]
	@exec $(BIN)/python -m threatlog demo --rps '$(RPS)' $(UP)

test: $(STAMP) ## run all tests on real servers [STACK=embedded|containers JOBS=3 ARGS='-k name']
	@exec $(BIN)/python -m pytest -n '$(JOBS)' --dist loadfile --stack='$(STACK)' $(ARGS)

# Longer than a run of all tests, and repeated: hours with twenty seeds. Broken off, the next one goes on from there.
faults: $(STAMP) ## repeat every fault, and write docs/resiliency.md [SEEDS=20 or 9-16 FAULTS=full ARGS='-k B6']
	@exec $(BIN)/python -m pytest -n '$(JOBS)' --dist worksteal tests/faults --faults='$(FAULTS)' --fault-seeds='$(SEEDS)' $(ARGS)

coverage: $(STAMP) ## run all tests and say which lines of the services they reach
	@exec $(BIN)/python -m pytest -n '$(JOBS)' --dist loadfile --stack='$(STACK)' --cov \
	    --cov-report=term-missing:skip-covered $(ARGS)

# All four run, also after a failure: one run then says everything.
check: $(STAMP) ## style, types, architecture, documents
	@status=0; run() { echo "$$*"; "$$@" || status=1; }; \
	run $(BIN)/ruff check; \
	run $(BIN)/ruff format --check --quiet; \
	run $(BIN)/mypy; \
	$(if $(REPOSITORY_TESTS),run $(BIN)/python -m pytest -q $(REPOSITORY_TESTS);) \
	exit $$status

audit: $(STAMP) ## look for known vulnerabilities in what is pinned
	@exec $(BIN)/python deploy/audit.py

sbom: $(STAMP) ## print what ThreatLog is made of, as CycloneDX
	@exec $(BIN)/python deploy/sbom.py

format: $(STAMP) ## mend the style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(STAMP) ## measure, and write docs/benchmarks.md [ARGS='--help']
	@exec $(BIN)/python -m benchmarks $(ARGS)

lock: $(STAMP) ## pin the dependencies of pyproject.toml anew in requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --all-extras --generate-hashes \
	    --no-header --no-emit-index-url --no-emit-find-links -o requirements.lock pyproject.toml

clean: ## remove the virtual environment and caches; the data in DATA_DIR stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* build dist *.egg-info
	find . -name __pycache__ -type d -not -path './$(DATA_DIR)/*' -prune -exec rm -rf {} +

$(STAMP): requirements.lock pyproject.toml $(OTHER_PYTHON)
	@PYTHON='$(PYTHON)' VENV='$(VENV)' exec sh deploy/install.sh

# What can be done here. `make` alone lists it.
SHELL := /bin/bash
PYTEST := .venv/bin/pytest
# Where much of the time is waiting for clusters, two at once take little more than half of it.
STREAMS ?= 2
AT_ONCE := -n $(STREAMS) --dist loadgroup
LAB := tests/lab/lab
DEMO := demo

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv with all that the collection and its tests need
	@tests/setup

prepared: setup ## build or fetch once what the clusters of the tests are made of: programs, images, charts
	@$(LAB) prepare --all

demo: setup ## a cluster with a mesh on this machine, and what to try with it
	@tests/lab/demo $(DEMO)

demo-down: ## remove the demo's cluster
	@$(LAB) down --name $(DEMO)

test: prepared ## everything below but the benchmarks and the soak: lint, unit, integration, e2e, molecule
	$(PYTEST) $(AT_ONCE) tests/unit tests/lint tests/integration tests/e2e

lint: setup ## ruff, yamllint, ansible-lint, import directions, ansible-test sanity, changelog, documentation
	$(PYTEST) tests/lint

fast: setup ## what to run after every change: format, ruff, import directions, types, unit tests
	.venv/bin/ruff format --check -q . && .venv/bin/ruff check -q . && .venv/bin/lint-imports --no-cache > /dev/null && .venv/bin/mypy
	$(PYTEST) -q -n $(STREAMS) tests/unit

types: setup ## mypy, strict, over module_utils and the operator
	.venv/bin/mypy

unit: setup ## tests without a cluster
	$(PYTEST) tests/unit

integration: prepared ## modules and roles on a plain API server
	$(PYTEST) $(AT_ONCE) tests/integration

e2e: prepared ## whole stories with traffic, on kind
	$(PYTEST) $(AT_ONCE) tests/e2e

molecule: prepared ## the Molecule scenarios, on kind
	PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/molecule test --all

matrix: prepared ## unit and integration tests with other versions of Python, ansible-core and the kubernetes client
	tests/matrix

soak: prepared ## stories of an hour and more, the purge of every kind of installation, and the matrix
	$(PYTEST) tests/soak --timeout 7200
	tests/matrix
	MESHOPS_KILLS=10 $(PYTEST) tests/e2e/test_releases.py -k killed

bench: prepared ## measure against other ways to do the same
	@for each in tests/bench/*/run; do echo "== $$each"; "$$each" || exit 1; done

lab-down: ## remove all of the lab's clusters and API servers; what was built stays
	@$(LAB) down --all

clean: lab-down ## remove also .venv, caches and what the lab has built
	rm -rf .venv .cache build .hypothesis .mypy_cache .ruff_cache .ansible
	@$(LAB) clean

.PHONY: help setup prepared demo demo-down test lint fast types unit integration e2e molecule matrix soak bench lab-down clean
.DEFAULT_GOAL := help

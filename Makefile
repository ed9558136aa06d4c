# Every target sets itself up. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export MLOPS_HOME ?= $(CURDIR)/.mlops
export DAGSTER_HOME := $(MLOPS_HOME)
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup system demo test test-fast dev check bench soak screenshots clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## make .venv with the exact, tested versions

$(STAMP): constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is required, found {v[0]}.{v[1]}: make PYTHON=python3.11 setup")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $(STAMP)

demo: setup ## run the main job on real flights (about two minutes)
	$(BIN)/mlops demo

dev: setup ## Dagster UI with sensors and daemon, MLflow UI beside it
	$(BIN)/mlops dev

system: ## what some tests need and pip does not give (Debian's Chromium and Redis), where it can be installed
	@for each in chromium:chromium redis-server:redis-server; do command -v $${each%%:*} >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
	  && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $${each##*:} >/dev/null; } \
	  || echo "$${each##*:} is not here and cannot be installed without root: its tests will be skipped"; done

# Many tests wait for real processes: two workers share two cores well.
WORKERS ?= 2

test: setup system ## run every test, in two workers (make test WORKERS=0: in this process)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-fast: setup ## run the tests that take no long end-to-end run
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not long and not soak"

check: setup ## lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## print the figures of docs/benchmarks.md
	$(BIN)/python -m benchmarks

soak: setup ## the hours-long version of sampled tests
	$(BIN)/python -m pytest -m soak --override-ini addopts=

screenshots: setup system ## take the README's screenshots from a running UI
	$(BIN)/python -m mlops_platform_tests.face.screenshots docs/images

clean: ## remove the environment and the home
	rm -rf $(VENV) .mlops

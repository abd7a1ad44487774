# Bare `make` explains itself.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo

.DEFAULT_GOAL := help

help:  ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/ready  ## simulate an organisation with attacks, and judge it (about 3 minutes)
	@if [ ! -e $(DEMO)/labels.csv ]; then $(BIN)/raretrail simulate $(DEMO); fi
	@rm -rf $(DEMO)/out
	@$(BIN)/raretrail run $(DEMO)/logs --geoip_database $(DEMO)/city.mmdb --output $(DEMO)/out
	@$(BIN)/python -m pipeline.simulate.check $(DEMO) $(DEMO)/out

test: $(VENV)/ready  ## run all tests
	$(BIN)/python -m pytest

test-cluster: $(VENV)/ready  ## run the tests on a real Flink (Java 17 and Maven; about 5 minutes)
	$(BIN)/python -m pytest tests/integration

lint: $(VENV)/ready  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/ready  ## speed and memory, as ratios (about 30 minutes)
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.replay
	$(BIN)/python -m benchmarks.peers

soak: $(VENV)/ready  ## long campaigns: kill -9 at random moments, steps and incremental runs
	$(BIN)/python -m benchmarks.soak

quality: $(VENV)/ready  ## how well attacks are found, by scorer (about 12 minutes)
	$(BIN)/python -m benchmarks.quality --page docs/quality.md --picture docs/quality.svg

demo-clean:  ## remove what `make run` wrote
	rm -rf $(DEMO)

clean: demo-clean  ## remove the virtual environment and all that was built
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/ready: pyproject.toml
	@echo "Installing into $(VENV): a minute or two, mostly Apache Beam"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.PHONY: help run test test-cluster lint bench quality soak demo-clean clean

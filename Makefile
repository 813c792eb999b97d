# Everything sets itself up: Python 3.11 or newer, pip, make and git are enough. `make` alone says what there is.

# What makes the environment. Found by running it: a name may be on the path and fail (a shim of pyenv for a version that is
# not chosen, a Debian without its venv). 3.11 comes first: it is what the pinned versions are tested with.
SERVES  := -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
PYTHON  ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do $$p $(SERVES) && echo $$p && break; done)
VENV    ?= .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready

CATALOG   ?= embedded
SCHEDULER ?= local
ROOT      ?= shards
REGION    ?= all
SEASON    ?= all
LIMIT     ?=
LABELS    ?=

WHERE := $(foreach c,$(CATALOG),--catalog '$(c)') --region $(REGION) --root $(ROOT)
LABELLED := $(if $(LABELS),--labels '$(LABELS)')
FLAGS := $(if $(LIMIT),--limit $(LIMIT)) $(if $(UNKNOWN_LABELS),--allow-unknown-labels) $(LABELLED)

.DEFAULT_GOAL := help
.PHONY: help setup ssl4eo-s12-ml ssl4eo-s kuro-siwo fomo test test-slow test-all test-integration lint types check mutants bench bench-read bench-scale bench-stream loops clean

help: ## Say what there is
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'
	@echo
	@echo "  make <dataset> takes CATALOG SCHEDULER ROOT REGION SEASON LIMIT LABELS (now: $(CATALOG) $(SCHEDULER) $(ROOT) $(REGION) $(SEASON) $(LIMIT) $(LABELS))"

setup: $(READY) ## Install into .venv what everything else needs

$(READY): pyproject.toml .constraints.txt
	@'$(PYTHON)' $(SERVES) || { echo "make: PYTHON = '$(PYTHON)': expected a Python of 3.11 or newer that runs and has venv and" \
		"ensurepip; install one, or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "make: setting up $(VENV), torch among it: this takes minutes, and is silent"
	'$(PYTHON)' -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint .constraints.txt torch
	$(BIN)/pip install --quiet --constraint .constraints.txt --editable '.[dev,earth,dashboard,earthengine,onnx,graph]'
	touch $@

ssl4eo-s12-ml: $(READY) ## Make the SSL4EO-S12-ML dataset (CATALOG=planetary-computer LABELS=<file or catalog> for the real thing)
ssl4eo-s: $(READY) ## Make the SSL4EO-S dataset: cells of Sentinel-3, -5P and the DEM, with places of Sentinel-1 and -2
kuro-siwo: $(READY) ## Make the Kuro Siwo dataset: Sentinel-1 after and twice before floods, with labels of polygons
fomo: $(READY) ## Make the FoMo dataset: forests by Sentinel-1 and -2, Landsat, aerial pictures and the DEM, with climate and genera of trees

ssl4eo-s12-ml ssl4eo-s kuro-siwo fomo:
	$(BIN)/curate --dataset $@ $(WHERE) --season $(SEASON) --scheduler $(SCHEDULER) $(FLAGS)
	$(BIN)/curate pack --dataset $@ $(WHERE) --scheduler $(SCHEDULER) $(LABELLED)
	$(BIN)/curate verify --dataset $@ --root $(ROOT)
	$(BIN)/curate report --dataset $@ --root $(ROOT)

test: $(READY) ## Run the fast tests, some at a time (PYTEST_FLAGS: what else pytest is told)
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST_FLAGS)

test-slow: $(READY) ## Run the slow tests (crashes, clusters, the whole job), and those of properties on more examples
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder -m "(slow and not alone) or hypothesis" --hypothesis-profile thorough $(PYTEST_FLAGS)
	$(BIN)/pytest -n 2 --dist loadfile -m "slow and alone" $(PYTEST_FLAGS)

# One run for what `test` and `test-slow` do in two: loaded, made and rendered once, and properties on more examples alone.
test-all: $(READY) ## Run all tests, as CI does
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder -m "not integration and not (slow and alone)" --hypothesis-profile thorough $(PYTEST_FLAGS)
	$(BIN)/pytest -n 2 --dist loadfile -m "slow and alone" $(PYTEST_FLAGS)

test-integration: $(READY) ## Make a dataset with pgstac, signed blobs, S3, Azurite, Slurm and dask-gateway, where they can run
	$(BIN)/python -m tests.integration $(PYTEST_FLAGS)

mutants: $(READY) ## Remove each guard of a table, and show that its test notices (see tests/mutants; not in CI)
	$(BIN)/python -m tests.mutants

lint: $(READY) ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## Check types
	$(BIN)/mypy

check: lint types test ## All that is fast

bench: $(READY) ## Measure the main job (see tests/benchmarks)
	$(BIN)/python -m tests.benchmarks.main_job

bench-read: $(READY) ## Measure reading patches of COGs beside other readers, in an environment of their own
	$(BIN)/python -m tests.benchmarks.reading

bench-scale: $(READY) ## Measure planning, scheduling and recording from 10,000 patches to a million (an hour)
	$(BIN)/python -m tests.benchmarks.scale

bench-stream: $(READY) ## Measure streaming beside other readers, each in an environment of its own
	$(BIN)/python -m tests.benchmarks.streaming

loops: $(READY) ## Run training loops of others (Lightning, accelerate, transformers) on two ranks, in an environment of their own
	$(BIN)/python -m tests.benchmarks.loops

clean: ## Remove what tests and builds left (not the datasets)
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

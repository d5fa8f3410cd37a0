# NoiseFS Gateway: what there is to run. `make help` lists it.

DATA ?= noisefs-data
SEEDS ?= 1000
KILLS ?= 200
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PYTEST_ARGS ?=

python := .venv/bin/python
stage := @sh tools/stage.sh

.DEFAULT_GOAL := help
.PHONY: help env run run-ipfs dev components kubo test lint types bench crash simulate format lock wheel docs clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: .venv/.program ## make .venv with the program in .venv/bin/noisefs

run: .venv/.program ## serve ./noisefs-data (or DATA=folder); makes the store if there is none
	@exec .venv/bin/noisefs serve --data $(DATA)

run-ipfs: .venv/.program ## the same with packs on a private IPFS node of its own, in ./noisefs-data-ipfs
	@$(python) tools/components.py install ipfs
	@exec $(python) -m tools.run_ipfs --data $(DATA)

dev: .venv/.dev ## env, and what tests and checks need

components: .venv/.dev ## install the clients that tests run (apt, Go, environments of their own)
	@$(python) tools/components.py install

kubo: .venv/.dev ## build the pinned Kubo into .tools/bin/ipfs, unless the machine has a newer `ipfs`
	@$(python) tools/components.py install ipfs

test: ## run every check and every test, each stage timed
	$(stage) environment $(MAKE) --no-print-directory dev
	$(stage) components $(python) tools/components.py install
	$(stage) lint $(MAKE) --no-print-directory lint
	$(stage) types $(MAKE) --no-print-directory types
	@$(python) -m pytest -n $(JOBS) --dist loadgroup $(PYTEST_ARGS)

lint: .venv/.dev ## ruff and the layers of the architecture
	@$(python) -m ruff format --check .
	@$(python) -m ruff check .
	@.venv/bin/lint-imports --no-cache

types: .venv/.dev ## mypy --strict
	@$(python) -m mypy

format: .venv/.dev ## let ruff lay out the code
	@$(python) -m ruff format .
	@$(python) -m ruff check --fix .

bench: .venv/.dev ## compare with every server found on this machine; results in bench-results/
	@$(python) -m bench $(BENCH_ARGS)

crash: .venv/.dev ## kill a loaded server KILLS=200 times and check every answer it gave (SEED=n replays)
	@$(python) -m tests.e2e.crash --kills $(KILLS) $(if $(SEED),--seed $(SEED))

simulate: .venv/.dev ## run the store on a simulated disk, SEEDS=1000 histories (or FIRST=n to replay from one)
	@$(python) -m tests.simulation --seeds $(SEEDS) $(if $(FIRST),--first $(FIRST))

docs: .venv/.program ## write the generated tables of README.md anew
	@$(python) tools/docs.py

lock: ## pin the newest versions that pyproject.toml allows, with hashes
	@sh tools/lock.sh

wheel: .venv/.program ## build the wheel and the source archive into dist/
	@$(python) -m hatchling build -d dist

clean: ## remove what was made, except data
	rm -rf .venv .tools dist bench-results .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/.program: requirements.txt pyproject.toml tools/env.sh
	@sh tools/env.sh requirements.txt
	@touch $@

.venv/.dev: requirements-dev.txt requirements.txt pyproject.toml tools/env.sh
	@sh tools/env.sh requirements-dev.txt
	@touch .venv/.program $@

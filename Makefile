# make help explains every target. All of them work from a fresh clone with Python 3.11 to 3.13.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup train test check types format hooks sweep tensorboard notebooks clean

help: ## explain the targets
	@grep -E '^[a-z_]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /: /' | awk -F': ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## make or renew .venv/ with everything that train and test need

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"error: $(PYTHON) is Python {v[0]}.{v[1]}; gan_lab needs 3.11 to 3.13: make setup PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $(READY)

train: $(READY) ## train the default experiment; ARGS='networks=mlp trainer.max_time=00:00:05:00' adds overrides
	$(BIN)/python -m gan_lab.train $(ARGS)

test: $(READY) ## run all tests
	$(BIN)/python -m pytest $(ARGS)

check: $(READY) types ## lint, types and fast tests, under 90 seconds
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -m 'not slow' -q -n auto --maxprocesses 4 $(ARGS)

types: $(READY) ## check the types of package and tests
	$(BIN)/mypy

format: $(READY) ## put the code in its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

hooks: $(READY) ## let git check what is staged before each commit (.pre-commit-config.yaml)
	git config core.hooksPath .githooks

sweep: $(READY) ## a small multirun over learning rates, one minute each
	$(BIN)/python -m gan_lab.train -m optimizer.generator.lr=3e-4,1e-3,3e-3 trainer.max_time=00:00:01:00 $(ARGS)

tensorboard: $(READY) ## watch all runs in the browser
	$(BIN)/tensorboard --logdir runs --samples_per_plugin images=200 --host 127.0.0.1 $(ARGS)

notebooks: $(READY) ## execute all notebooks again with their full budget, a few minutes each
	$(BIN)/jupyter execute --inplace --NotebookClient.record_timing=False notebooks/*.ipynb

clean: ## remove caches and build files; keeps .venv/ and runs/
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find gan_lab conf tests -name __pycache__ -type d -prune -exec rm -rf {} +

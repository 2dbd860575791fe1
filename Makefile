# make help explains every target. All of them work from a fresh clone with Python 3.11 to 3.13.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := .venv/bin/python -m pip install --quiet --disable-pip-version-check
READY := .venv/.ready
ARGS ?=
LOCKED ?=
MINUTES ?= 10
TABLES ?= recipes conditional default stacked data_size long

.DEFAULT_GOAL := help
.PHONY: help setup lock audit train test check types format hooks results sweep search soak tensorboard notebooks clean

help: ## explain the targets
	@grep -E '^[a-z_]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /: /' | awk -F': ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## make or renew .venv/ with everything that train and test need; LOCKED=1 by hash (Linux, Python 3.11)

$(READY): pyproject.toml constraints.txt $(if $(LOCKED),requirements.lock FORCE)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"error: $(PYTHON) is Python {v[0]}.{v[1]}; gan_lab needs 3.11 to 3.13: make setup PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(if $(LOCKED),$(INSTALL_LOCKED),$(INSTALL) -c constraints.txt -e '.[test]')
	@touch $(READY)

# The builder comes first and alone: what has to be built must find it here, checked by its hash,
# and not fetch one of its own.
define INSTALL_LOCKED
@$(BIN)/python -c 'import platform, sys; here = (sys.version_info[:2], sys.platform, platform.machine()); sys.exit(None if here == ((3, 11), "linux", "x86_64") else f"error: requirements.lock is for Python 3.11 on Linux (x86_64), and this is {here}; use PYTHON=python3.11 with a new .venv, or leave LOCKED out")'
grep -E '^(#|setuptools==|wheel==)' requirements.lock > .venv/builder.lock
$(INSTALL) --no-deps --require-hashes -r .venv/builder.lock
$(INSTALL) --no-deps --require-hashes --no-build-isolation -r requirements.lock
$(INSTALL) --no-deps --no-build-isolation -e .
$(BIN)/python -m pip check
endef

# What was installed without the lock is never up to date with it.
FORCE:

lock: $(READY) ## renew requirements.lock from constraints.txt; on Linux with Python 3.11
	$(INSTALL) --dry-run --ignore-installed --report .venv/report.json -c constraints.txt '.[test]' 'setuptools>=77'
	$(BIN)/python tools/lock.py .venv/report.json > .venv/requirements.lock
	mv .venv/requirements.lock requirements.lock

audit: $(READY) ## ask whether a package of requirements.lock has a known vulnerability; needs the network
	@test -x .venv-audit/bin/pip-audit || $(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.9'
	@$(BIN)/python tools/audit.py .venv-audit/bin/pip-audit requirements.lock

train: $(READY) ## train the default experiment; ARGS='networks=mlp trainer.max_time=00:00:05:00' adds overrides
	$(BIN)/python -m gan_lab.train $(ARGS)

test: $(READY) ## run all tests
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

check: $(READY) types ## lint, types and fast tests, under 90 seconds
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -m 'not slow' -q -n auto --maxprocesses 4 --dist worksteal $(ARGS)

types: $(READY) ## check the types of package and tests
	$(BIN)/mypy

format: $(READY) ## put the code in its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

hooks: $(READY) ## let git check what is staged before each commit (.pre-commit-config.yaml)
	git config core.hooksPath .githooks

results: $(READY) ## train and measure every recipe, some nine hours of two cores, and renew docs/results.md; finished runs are not repeated; TABLES='recipes stacked' makes some
	@failed=0; for table in $(TABLES); do \
	  $(BIN)/python -m gan_lab.bench_zoo table=$$table document=docs/results.md $(ARGS) || failed=$$?; \
	  [ $$failed -lt 128 ] || exit $$failed; \
	done; exit $$failed

sweep: $(READY) ## a small multirun over learning rates, a minute each; the same command goes on with it
	$(BIN)/python -m gan_lab.train -m optimizer.generator.lr=3e-4,1e-3,3e-3 trainer.max_time=00:00:01:00 hydra.sweep.dir=runs/sweep $(ARGS)

search: $(READY) ## let Optuna search for learning rates, a minute each; the same command goes on with it
	$(BIN)/python -m gan_lab.sweep 'overrides=["trainer.max_time=00:00:01:00"]' $(ARGS)

soak: $(READY) ## kill and resume runs at random for MINUTES=10, and compare what they leave with whole ones
	$(BIN)/python benchmarks/soak.py minutes=$(MINUTES) $(ARGS)

tensorboard: $(READY) ## watch all runs in the browser
	$(BIN)/tensorboard --logdir runs --samples_per_plugin images=200 --host 127.0.0.1 $(ARGS)

notebooks: $(READY) ## execute all notebooks again with their full budget, a few minutes each
	$(BIN)/jupyter execute --inplace --NotebookClient.record_timing=False notebooks/*.ipynb

clean: ## remove caches and build files; keeps .venv/ and runs/
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find gan_lab conf tests -name __pycache__ -type d -prune -exec rm -rf {} +

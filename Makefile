# Everything from a clean clone with Python 3.11+ and pip: `make demo`, `make test`.

PYTHON ?= python3
BIN := .venv/bin
# What linters need to load the settings; nothing is contacted.
LINT_ENV := DATABASE_URL=postgresql://lint@127.0.0.1/lint REDIS_URL=redis://127.0.0.1:1 \
	SECRET_KEY=lint CREDENTIAL_KEYS=lint ENV_FILE=/dev/null

.PHONY: demo up test nightly unit lint format bench lock clean

demo: .venv/installed  ## Watch it work: make demo ARGS="--for 60s"
	@$(BIN)/python -m syncservice demo $(ARGS)

up: .venv/installed  ## The whole service on this machine
	@$(BIN)/python -m syncservice up $(ARGS)

test: .venv/installed-dev  ## Every test, on real servers
	$(BIN)/python -m pytest -n 3 --dist loadgroup $(ARGS)

nightly: .venv/installed-dev  ## Every test, and those that take long
	$(BIN)/python -m pytest -n 3 --dist loadgroup -m "nightly or not nightly" $(ARGS)

unit: .venv/installed-dev  ## The pure rules alone
	$(BIN)/python -m pytest tests/domain -q $(ARGS)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(LINT_ENV) $(BIN)/mypy
	$(LINT_ENV) $(BIN)/lint-imports --no-logo

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/installed-dev  ## A line a bench
	$(BIN)/python -m bench.dispatch
	$(BIN)/python -m bench.lateness
	$(BIN)/python -m bench.isolation
	$(BIN)/python -m bench.intervals --mailboxes 10000
	$(BIN)/python -m bench.incoming_exchange
	$(BIN)/python -m bench.incoming_pop3
	$(BIN)/python -m bench.track_now
	$(BIN)/python -m bench.first_visit
	$(BIN)/python -m bench.crowds
	$(BIN)/python -m bench.history
	$(BIN)/python -m bench.flood
	$(BIN)/python -m bench.items

lock: .venv/installed-dev  ## Renew the hash-locked requirements after a change of pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --extra demo --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header -q -o requirements.txt
	$(BIN)/uv pip compile pyproject.toml --extra demo --group dev -c requirements.txt --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q \
		-o requirements-dev.txt

clean:  ## Everything that the other targets made
	rm -rf .venv .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: requirements.txt .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@ .venv/installed

# Everything a person types. `make demo` and `make test` work on a fresh machine with Python 3.11, pip and gcc.
PYTHON ?= python3
PORT ?=
# Test processes: most tests wait for sockets, so a few more than cores do no harm. A test that hangs ends its process, and
# the one that started that says which test it was.
WORKERS ?= 3
# How long `make soak` runs, and how often it kills a process.
SECONDS := 3600
KILLS := 100
VENV := .venv
BIN := $(VENV)/bin
PORT_FLAG := $(if $(PORT),--port $(PORT))

# Tests start the gateway a thousand times: it is compiled once, also where the environment says not to keep that.
export PYTHONDONTWRITEBYTECODE =

# The C library's allocator for all of Python: it gives pages back where Python's own keeps whole megabytes for a few small
# objects in them. It costs some CPU: benchmarks/README.md has both.
demo run soak: export PYTHONMALLOC = malloc

.PHONY: demo run test test-browser soak sdk-suites bench lint docs lock clean

demo: $(VENV)/ready
	$(BIN)/python -m gateway demo $(PORT_FLAG)

run: $(VENV)/ready
	$(BIN)/python -m gateway serve $(PORT_FLAG)

test: $(VENV)/ready-test
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not browser and not soak and not alone"
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "alone and not soak"

test-browser: $(VENV)/ready-test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m browser tests/browser

soak: $(VENV)/ready-test
	SOAK_S=$(SECONDS) SOAK_KILLS=$(KILLS) SOAK_REPORT=soak.json $(BIN)/python -m pytest -m soak --timeout 0 tests/soak

# The official SDKs' own tests, fetched from the package index (tests/sdk_suites).
sdk-suites: $(VENV)/ready-test
	$(BIN)/python -m tests.sdk_suites

bench: $(VENV)/ready-test
	$(BIN)/python -m benchmarks

lint: $(VENV)/ready-test
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/ready
	$(BIN)/python -m gateway docs gateway.toml > gateway.toml.new && mv gateway.toml.new gateway.toml
	$(BIN)/python -m gateway docs configuration > docs/configuration.md
	$(BIN)/python -m gateway docs hooks > docs/hooks.md

# Exact versions with hashes, for the image: run it after a change of setup.cfg, and now and then for updates.
lock: $(VENV)/ready-test
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	  --generate-hashes --extra speed --extra docs --extra r2 setup.cfg -o requirements.lock

$(VENV)/ready: setup.cfg pyproject.toml
	@echo "Installing what the gateway needs into $(VENV): once, about half a minute ..."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .[speed,docs]
	touch $@

$(VENV)/ready-test: $(VENV)/ready
	@echo "Installing what the tests need into $(VENV): once, a minute or two ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .[speed,docs,test]
	touch $@

clean:
	rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

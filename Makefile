# Every target needs only Python 3.11+ and make: the first one run makes .venv and installs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo up test test-long test-full check lint types words compose-test gpu-check bench gallery wheels lock audit clean

demo: .venv  ## train MNIST through the whole service and show it
	@$(BIN)/optserve demo

up: .venv  ## start the service and stay
	@$(BIN)/optserve up

test: .venv  ## all that matters, within ten minutes
	@$(BIN)/python -m pytest -m "not long and not slow" -n 2 --no-loadscope-reorder

test-long: .venv  ## what takes up to a minute a test; CI runs it too
	@$(BIN)/python -m pytest -m "long and not slow" -n 2 --no-loadscope-reorder

test-full: .venv  ## every test, for hours
	@$(BIN)/python -m pytest

check: lint types test  ## what main must always pass

lint: .venv
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@if command -v luacheck >/dev/null; then $(BIN)/python -m store.redis.library | luacheck -q -; \
	else echo "luacheck is not installed (Debian: lua-check): the Lua functions are not checked"; fi

types: .venv
	@$(BIN)/mypy

words: .venv  ## list replaced words that are still used, each with its reason
	@$(BIN)/python scripts/words --all

.venv: FORCE
	@PYTHON="$(PYTHON)" scripts/venv

FORCE:

compose-test: .venv  ## the service in real containers; exit 77 where there can be none
	@scripts/compose-test

gpu-check: .venv  ## what only a GPU can tell, in eight minutes; writes docs/gpu.md
	@$(BIN)/python -m benchmarks.gpu

BENCHMARKS := $(filter-out __init__ harness clocked gpu releases,$(basename $(notdir $(wildcard benchmarks/*.py))))

bench: .venv  ## measure every claim beside a peer; wants a quiet machine
	@for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name || exit 1; done

gallery: .venv  ## write docs/schedules from the specs
	@$(BIN)/python -m optcore.schedules.gallery docs/schedules

wheels: .venv  ## build both distributions into dist
	@PYTHON=.venv/bin/python scripts/wheels dist

lock:  ## write the hashes of the versions in constraints.txt into locks/
	@scripts/lock

audit:  ## look up known holes of the versions in constraints.txt
	@scripts/audit

clean:  ## remove what make made; .optserve, the data of the service, stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info build service/build dist

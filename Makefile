# Every target needs only Python 3.11+ and make: the first one run makes .venv and installs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo up test test-full check lint types bench gallery clean

demo: .venv  ## train MNIST through the whole service and show it
	@$(BIN)/optserve demo

up: .venv  ## start the service and stay
	@$(BIN)/optserve up

test: .venv  ## all that matters, in minutes
	@$(BIN)/python -m pytest -m "not slow" -n 2 --no-loadscope-reorder

test-full: .venv  ## and the long ones
	@$(BIN)/python -m pytest

check: lint types test  ## what main must always pass

lint: .venv
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: .venv
	@$(BIN)/mypy

.venv: FORCE
	@PYTHON="$(PYTHON)" scripts/venv

FORCE:

BENCHMARKS := $(filter-out __init__ harness clocked,$(basename $(notdir $(wildcard benchmarks/*.py))))

bench: .venv  ## measure every claim beside a peer; wants a quiet machine
	@for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name || exit 1; done

gallery: .venv  ## write docs/schedules from the specs
	@$(BIN)/python -m optcore.schedules.gallery docs/schedules

clean:  ## remove what make made; .optserve, the data of the service, stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

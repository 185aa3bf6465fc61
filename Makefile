# Every target works as the first command on a fresh clone: Python 3.11, a C++ compiler and make are all it takes.

PYTHON ?= $(shell for p in python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed

ifneq ($(wildcard ../shared/data),)
export SEQLOOM_DATA ?= $(abspath ../shared/data)
endif

.PHONY: help install demo test test-long mutations check format bench sanitize docs clean

help:            ## this list
	@grep -hE '^[a-z-]+: .*##' Makefile | sed -E 's/:[^#]*##/:/'

install: $(INSTALLED)  ## .venv with everything, the compiled core included

# Remade whenever what it was made from changes, so that no stale core is ever run.
$(INSTALLED): pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/*)
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or later is not found. Install it, or say where: make PYTHON=..."; exit 2; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt --no-deps torch
	PIP_CONSTRAINT="$(CURDIR)/constraints.txt" $(BIN)/pip install -q -e '.[dev]'
	@$(BIN)/python -c 'from seqloom.kernels import native; print("compiled core:", native.reason() or native.isa())'
	@touch $@

demo: install    ## train on an embedded example, end to end
	$(BIN)/seqloom demo

# Tests start many processes: where the environment forbids compiled modules, each would compile them anew.
test test-long: export PYTHONDONTWRITEBYTECODE =

test: install    ## all tests but the long ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 -m "not long" tests

test-long: install  ## the long tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 -m long tests

mutations: install  ## every listed mistake must turn a test red
	$(BIN)/python -m tests.mutations.run

check: install   ## style, types, import rules, generated pages, size
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/reference.py --check
	$(BIN)/python tools/count_lines.py

format: install  ## lay out the code as `make check` wants it
	$(BIN)/ruff check --fix-only -q .
	$(BIN)/ruff format -q .

bench: install   ## the short benchmarks
	$(BIN)/python -m benchmarks.run --short

sanitize: install  ## the C++ tests under address, undefined-behaviour and data-race checks
	for checks in ON thread; do \
		export PATH="$(CURDIR)/$(BIN):$$PATH"; \
		cmake -S . -B build/sanitize-$$checks -DSEQLOOM_SANITIZE=$$checks -DCMAKE_BUILD_TYPE=RelWithDebInfo || exit; \
		cmake --build build/sanitize-$$checks || exit; \
		for test in activations plan pool recurrent attend; do build/sanitize-$$checks/test_$$test || exit; done; \
	done

docs: install    ## the pages generated from the code
	$(BIN)/python tools/reference.py

clean:           ## remove all that the other targets made
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

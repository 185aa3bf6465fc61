# Every target works as the first command on a fresh clone: Python 3.11, a C++ compiler and make are all it takes.

PYTHON ?= $(shell for p in python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed

ifneq ($(wildcard ../shared/data),)
export SEQLOOM_DATA ?= $(abspath ../shared/data)
endif

.PHONY: help install demo test test-long mutations check format bench sanitize sanitize-module docs clean

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

sanitize: install  ## the C++ tests and the kernel tests under address and undefined-behaviour checks, the former also for data races
	for checks in ON thread; do \
		export PATH="$(CURDIR)/$(BIN):$$PATH"; \
		cmake -S . -B build/sanitize-$$checks -DSEQLOOM_SANITIZE=$$checks -DCMAKE_BUILD_TYPE=RelWithDebInfo || exit; \
		cmake --build build/sanitize-$$checks || exit; \
		for test in activations plan pool recurrent attend; do build/sanitize-$$checks/test_$$test || exit; done; \
	done
	$(MAKE) sanitize-module

# In a Python of its own, which finds the other packages in ours: so that processes that a test begins have the checked core too.
CHECKED := build/sanitize-module
# Python's own memory is never all given back; sizes beyond all memory are refused as the system would.
LIMITS := detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=6144
# It needs memory that is used again at once, which the checks keep apart for a while.
NOT_CHECKED := --deselect tests/kernels/test_packing.py::test_a_layer_in_the_place_of_another_has_its_own_weights
WATCHED = LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" ASAN_OPTIONS=$(LIMITS) \
	OMP_NUM_THREADS=1 $(CHECKED)/bin/python
SITE := import site; print(site.getsitepackages()[0])
sanitize-module: install
	$(BIN)/python -m venv --clear --without-pip $(CHECKED)
	PIP_CONSTRAINT="$(CURDIR)/constraints.txt" $(BIN)/pip --python $(CHECKED)/bin/python install -q --no-deps \
		-C build-dir=$(CHECKED)-objects -C cmake.define.SEQLOOM_SANITIZE=module -C cmake.build-type=RelWithDebInfo .
	$(BIN)/python -c '$(SITE)' > "$$($(CHECKED)/bin/python -c '$(SITE)')/ours.pth"
	$(WATCHED) -c 'import sys; from seqloom.kernels import native; sys.exit(native.reason() or None)'
	$(WATCHED) -m pytest -q -n 2 -p no:cacheprovider $(NOT_CHECKED) tests/kernels < /dev/null

docs: install    ## the pages generated from the code
	$(BIN)/python tools/reference.py

clean:           ## remove all that the other targets made
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

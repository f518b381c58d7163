# Set-up needs Python (3.10 or newer) with pip and venv, and make: nothing else.
PYTHON ?= python3
# one more than there are cores, as many tests wait for the processes that they start
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint format bench constraints clean

demo: $(READY)  ## the main job on the embedded data: a table and a report in about three minutes
	$(BIN)/segbench run

# bytecode is written, or each of the many processes would compile the sources again
test: $(READY)  ## the whole suite: on all cores, and then by themselves the tests that depend on the real clock
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m "clock and not gpu and not slow" $$(grep -rl --include='test_*.py' mark.clock tests)

lint: $(READY)  ## style, types, import rules and generated text
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m cogapp --check README.md

format: $(READY)  ## put sources and generated text in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m cogapp -r README.md

bench: $(READY)  ## the benchmarks of the program itself
	$(BIN)/python -m pytest tests/benchmarks -m "" --benchmark-enable --benchmark-only -p no:cacheprovider

constraints: $(READY)  ## pin what CI uses, for every Python and platform
	$(BIN)/uv pip compile -q --universal --python-version 3.10 pyproject.toml --extra all --extra dev \
		--no-emit-index-url --no-annotate --no-header --upgrade -o constraints.txt

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache

# uv installs torch and torchvision as the matching pair that constraints.txt names; compiled at once, as each of a run's many processes
# would compile them again where the environment forbids to write bytecode
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[all,dev]'
	touch $(READY)

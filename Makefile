# Everything from a bare clone, with python3 and make alone; `make help` lists the targets.

PYTHON ?= >=3.11,<3.14
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv || echo .uv/bin/uv)
EXTRAS := search,yolo,quantized,train,api,providers,evals,studio
DEMO := runs/demo

.PHONY: help demo quick test vllm mutants check setup setup-core bench lock clean
.DELETE_ON_ERROR:

help: ## list the targets; PYTHON=3.12 chooses the version that a new environment is built with
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.core ## recognize the bundled clip, with the core dependencies alone
	$(BIN)/video-star demo --out $(DEMO)

quick: $(VENV)/.full ## the quick tests: no servers, no training, no browser, no torch
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(ARGS)

# Two processes for two cores. More threads in each would wait for a core by spinning, and make tests many times slower.
quick test: export OMP_NUM_THREADS := 1

test: $(VENV)/.full ## all tests, in two processes, with coverage
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term:skip-covered --cov-fail-under=97 $(ARGS)

vllm: $(VENV)/.full ## the tests against a real vLLM, whose Python VIDEO_STAR_VLLM_PYTHON names
	$(BIN)/python -m pytest -m vllm $(ARGS)

mutants: $(VENV)/.full ## check that the tests fail when central functions are broken
	$(BIN)/python tests/mutants.py

check: $(VENV)/.full ## lint, format, types, import order
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

setup: $(VENV)/.full ## build the full environment

setup-core: $(VENV)/.core ## build the environment of the core

bench: $(VENV)/.full ## print the figures of evals/bench
	$(BIN)/python -m video_star.evals.bench.cold_start
	$(BIN)/python -m video_star.evals.bench.overhead
	$(BIN)/python -m video_star.evals.bench.decode

# The vllm engine is left out: it runs as a server in an environment of its own.
$(VENV)/.full: $(VENV)/.core requirements/all.txt
	$(UV) pip install --quiet --python $(BIN)/python --constraint requirements/all.txt --group dev --editable ".[$(EXTRAS)]"
	touch $@

$(VENV)/.core: requirements/core.txt pyproject.toml | $(UV)
	test -x $(BIN)/python || $(UV) venv --quiet --python "$(PYTHON)" $(VENV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements/core.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check uv

lock: | $(UV) ## refresh requirements/*.txt
	$(UV) pip compile --quiet --universal --generate-hashes --upgrade pyproject.toml --all-extras --group dev --custom-compile-command "make lock" --output-file requirements/all.txt
	$(UV) pip compile --quiet --universal --generate-hashes pyproject.toml --constraint requirements/all.txt --custom-compile-command "make lock" --output-file requirements/core.txt

clean: ## delete the environments and what was built
	rm -rf $(VENV) .uv build *.egg-info .langgraph_api

# Everything from a bare clone, with python3 and make alone:
#   make demo    recognise the bundled clip        (core environment)
#   make test    all tests, with coverage          (full environment)
#   make check   lint, types, import order         make setup   only build the full environment
#   make lock    refresh requirements/*.txt        make bench   print the figures of evals/bench

VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv || echo .uv/bin/uv)
EXTRAS := search,yolo,quantized,train,api,providers,evals,studio
DEMO := runs/demo

.PHONY: demo test check setup setup-core lock bench clean
.DELETE_ON_ERROR:

demo: $(VENV)/.core
	$(BIN)/video-star demo --out $(DEMO)

test: $(VENV)/.full
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered --cov-fail-under=85 $(ARGS)

check: $(VENV)/.full
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

setup: $(VENV)/.full

setup-core: $(VENV)/.core

bench: $(VENV)/.full
	$(BIN)/python -m video_star.evals.bench.cold_start
	$(BIN)/python -m video_star.evals.bench.overhead
	$(BIN)/python -m video_star.evals.bench.decode

# The vllm engine is left out: it runs as a server in an environment of its own.
$(VENV)/.full: $(VENV)/.core requirements/all.txt
	$(UV) pip install --quiet --python $(BIN)/python --constraint requirements/all.txt --group dev --editable ".[$(EXTRAS)]"
	touch $@

$(VENV)/.core: requirements/core.txt pyproject.toml | $(UV)
	test -x $(BIN)/python || $(UV) venv --quiet --python ">=3.11,<3.14" $(VENV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements/core.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check uv

lock: | $(UV)
	$(UV) pip compile --quiet --universal --generate-hashes --upgrade pyproject.toml --all-extras --group dev --custom-compile-command "make lock" --output-file requirements/all.txt
	$(UV) pip compile --quiet --universal --generate-hashes pyproject.toml --constraint requirements/all.txt --custom-compile-command "make lock" --output-file requirements/core.txt

clean:
	rm -rf $(VENV) .uv build *.egg-info .langgraph_api

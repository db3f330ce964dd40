# Every target does its own set-up; `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help setup run test lint lock doctor serve clean

CONFIG ?= pipeline/configs/demo.yaml
SET ?=
PORT ?= 8500
REST_PORT ?= 8501
PYTHON := .venv/bin/python
OVERRIDES = $(foreach pair,$(SET),--set '$(pair)')

help:  ## this list
	@sed -n 's/^\([a-z]*\): .*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) \
		| column -t -s '|'

setup:  ## the Python 3.10 environment .venv from the .lock files
	@scripts/setup.sh

run: setup  ## the pipeline: make run [CONFIG=file.yaml] [SET="a.b=1 name=x"]
	@$(PYTHON) -m pipeline.run --config '$(CONFIG)' $(OVERRIDES)

test: setup  ## style, types and all tests: make test [ARGS="-k name"]
	@scripts/test.sh $(ARGS)

lint: setup  ## style and types only
	@scripts/test.sh --lint-only

lock:  ## compiles requirements.in and -dev.in into their .lock files
	@uv="$$(scripts/setup.sh --tools-only)" && \
	compile() { "$$uv" pip compile --quiet --python-version 3.10 \
		--generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" "$$@"; } && \
	compile --output-file requirements.lock requirements.in && \
	compile --constraint requirements.lock \
		$$(sed -n 's/^\([^ =]*\)==.*/--no-emit-package \1/p' requirements.lock) \
		--output-file requirements-dev.lock requirements-dev.in

doctor: setup  ## checks the environment; every failure names its fix
	@$(PYTHON) -m pipeline.doctor

serve: setup  ## the pushed model over gRPC and REST [CONFIG= SET= PORT= REST_PORT=]
	@flags="$$($(PYTHON) -m pipeline.paths --config '$(CONFIG)' $(OVERRIDES) \
		--serving-flags)" && eval "exec $(PYTHON) -m serving.server $$flags \
		--port $(PORT) --rest_api_port $(REST_PORT)"

clean:  ## removes the environment, tools and caches; keeps runs/ and data/
	@rm -rf .venv .tools .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help demo test bench lint lab clean

help: ## Show these lines
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile

demo: ## Make an image of a real conda environment and run it
	@scripts/demo

test: ## Run the tests (PYTEST_ARGS="-k registry -x")
	@scripts/with-services .venv/bin/python -m pytest $(PYTEST_ARGS)

bench: ## Measure what we claim
	@scripts/with-services .venv/bin/python -m benchmarks $(BENCH_ARGS)

lint: ## Check style and types
	@scripts/venv
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/shellcheck $(filter-out %.py,$(wildcard scripts/*)) .ci/run

lab: ## Open JupyterLab with a kernel in the demo's environment
	@scripts/lab $(LAB_ARGS)

clean: ## Stop the services and remove what was made here
	@scripts/services stop
	rm -rf --one-file-system .state .venv node_modules labextension/lib jupyter_condabuild/labextension .mypy_cache .pytest_cache .ruff_cache .hypothesis dist demo.tar

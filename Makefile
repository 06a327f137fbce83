.PHONY: help demo demo-mac test torture bench lint lab clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile

demo: ## Make an image of a conda environment and run it
	@scripts/demo

demo-mac: ## Make an image for Linux of the lock file of a Mac, and run it
	@scripts/demo-mac

test: ## Run the tests (PYTEST_ARGS="tests/oci -x"; one process: PYTEST_ARGS="-n 0")
	@scripts/with-services .venv/bin/python -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(PYTEST_ARGS)

torture: ## Give hostile inputs to the program, search for secrets, fuzz (TORTURE_ARGS="package archive", FUZZ_ARGS="--examples 100000")
	@scripts/venv
	.venv/bin/python -m tests.torture $(TORTURE_ARGS)
	.venv/bin/python -m tests.torture.canaries
	.venv/bin/python -m tests.torture.fuzz $(FUZZ_ARGS)

bench: ## Run the benchmarks (BENCH_ARGS="table --rounds 1")
	@scripts/with-services .venv/bin/python -m benchmarks $(BENCH_ARGS)

lint: ## Check style and types
	@scripts/venv
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/mypy --platform darwin --cache-dir .mypy_cache/darwin jupyter_condabuild
	.venv/bin/mypy --platform win32 --cache-dir .mypy_cache/win32 jupyter_condabuild
	.venv/bin/shellcheck $(filter-out %.py,$(wildcard scripts/*)) .ci/run

lab: ## Open JupyterLab with a kernel in the environment of the demo
	@scripts/lab $(LAB_ARGS)

clean: ## Stop the services and remove all generated files
	@scripts/services stop
	rm -rf --one-file-system .state .venv node_modules labextension/lib jupyter_condabuild/labextension .mypy_cache .pytest_cache .ruff_cache .hypothesis dist demo.tar demo-mac.tar

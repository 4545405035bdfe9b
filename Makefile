# make run: try it; make test: the whole suite; make fuzz: a minute of bad input; make install: the environment that both use
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)

.PHONY: install run test fuzz lint

install: .venv/installed

.venv/installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or 3.12 was found; install one, or name it: make PYTHON=/path/to/python3.11"; exit 2; }
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --editable ".[fuzz,opensmile,postgres,ray,test]"
	touch $@

run: install
	.venv/bin/python -m benchmarks run --method all --dataset baum1s

test: install
	.venv/bin/python -m pytest -n auto

fuzz: install
	.venv/bin/python -m tests.fuzzing 4

lint: install
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

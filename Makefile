# make run: try it; make test: the whole suite; make fuzz: a minute of bad input; make install: the environment that both use
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)

.PHONY: install run test fuzz lint audit lock

install: .venv/installed

.venv/installed: pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or 3.12 was found; install one, or name it: make PYTHON=/path/to/python3.11"; exit 2; }
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --require-hashes --requirement requirements.lock
	.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

run: install
	.venv/bin/python -m benchmarks run --method all --dataset baum1s --preset quick

test: install
	.venv/bin/python -m pytest -n auto

fuzz: install
	.venv/bin/python -m tests.fuzzing 4

lint: install
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

# versions with known faults; what no database that can be reached here knows is counted, and is no fault
audit: install
	@found=$$(.venv/bin/pip-audit --require-hashes --disable-pip --requirement requirements.lock --progress-spinner off); code=$$?; \
	case "$$code $$found" in \
	  *"Fix Versions"*) echo "$$found"; exit 1 ;; \
	  "0 "*) echo "$$(echo "$$found" | grep -c "could not be audited") of $$(grep -c == requirements.lock) packages not audited" ;; \
	  *) echo "no database of known faults can be reached: not audited" ;; \
	esac

# after a change of what pyproject.toml asks for; needs uv (pip install uv)
lock:
	uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --all-extras pyproject.toml --output-file requirements.lock

# Two commands for a newcomer, on a machine with Python 3.11+ and make: `make run` and `make test`.
# Everything is installed into .venv; `rm -rf .venv` is always safe.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:
.SUFFIXES:

# Variables: `make run PORT=8080`, `make test ARGS='tests/survey -k back'`
PYTHON ?= python3
# Twice as many test processes as cores: tests wait for servers, databases and browsers for half of their time.
WORKERS ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))
ARGS ?=
# 1: measure branch coverage, and fail below 100% for app/survey and app/store, or 95% in all. Only for a complete run.
COVERAGE ?=
# 1: `make lock` also upgrades to the newest versions; otherwise only what pyproject.toml requires changes.
UPGRADE ?=

VENV_PYTHON := .venv/bin/python
CHROMIUM = $(shell command -v chromium-headless-shell || command -v chromium || command -v chromium-browser || command -v google-chrome)

.PHONY: help
help: ## print this list
	@echo 'Stepkeep: a survey server that never loses an answer.'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name text; do \
		printf '%-24s%s\n' "$$name" "$$text"; done

.PHONY: run
run: .venv/.run-stamp ## serve on http://127.0.0.1:8000 (PORT, HOST, DATABASE_URL, STEPKEEP_SURVEYS_DIR)
	@exec $(VENV_PYTHON) -m app.serve

# Without column ranges in tracebacks: CPython parses a line's syntax for them, and fails with a SystemError when a
# garbage collection meanwhile lets another thread parse something.
# In CI a failed test runs up to twice more. One that then passes is listed as RERUN, with its traceback: it is flaky, and
# has a fault to find.
PYTEST = PYTHONNODEBUGRANGES=1 $(VENV_PYTHON) -m pytest -n $(WORKERS) --dist loadgroup \
	$(if $(filter true,$(CI)),--reruns 2 --rerun-show-tracebacks) $(if $(COVERAGE),--cov --cov-report=)

.PHONY: test test-all find-chromium
test: .venv/.dev-stamp find-chromium ## run the tests (ARGS='tests/survey -k back' for some, WORKERS=0 for no parallel runs)
	@$(PYTEST) $(ARGS)
ifneq ($(COVERAGE),)
	@$(VENV_PYTHON) -m coverage report --include='app/survey/*,app/store/*' --fail-under=100
	@$(VENV_PYTHON) -m coverage report --fail-under=95
endif

test-all: .venv/.dev-stamp find-chromium ## run the long tests too, with more random examples, then fuzzing and faults: hours
	@$(PYTEST) --long --hypothesis-profile nightly $(ARGS)
	@$(VENV_PYTHON) -m tests.fuzz --cases 1000000 --streams 20000 --cycles 10000
	@$(VENV_PYTHON) -m tests.chaos --minutes $(MINUTES)

find-chromium:
ifeq ($(CHROMIUM),)
	@echo 'No Chromium found: the browser tests cannot run (Debian: apt install chromium-headless-shell).'
	@if [ "$${CI:-}" = true ]; then echo 'With CI=true that is a failure.' >&2; exit 1; fi
endif

CHECKS := check-format check-lint check-types check-layers check-dependencies check-security check-migrations

.PHONY: check $(CHECKS)
check: $(CHECKS) ## format, lint, types, layers, dependencies, security, migrations: what CI runs before the tests

$(CHECKS): .venv/.dev-stamp

check-format:
	@echo '== format'
	@$(VENV_PYTHON) -m ruff format --check --quiet . || { echo 'Run `make format` to fix this.' >&2; exit 1; }

check-lint:
	@echo '== lint'
	@$(VENV_PYTHON) -m ruff check --quiet .

check-types:
	@echo '== types'
	@$(VENV_PYTHON) -m mypy --no-error-summary

check-layers:
	@echo '== layers'
	@! grep -rnE '^[[:space:]]*(from|import) app([. ]|$$)' app --include='*.py' || { echo 'Use relative imports inside app/.' >&2; exit 1; }
	@$(VENV_PYTHON) -c 'from importlinter.cli import lint_imports_command as run; run()' --no-logo

check-dependencies:
	@echo '== dependencies'
	@$(VENV_PYTHON) -m deptry . --no-ansi

# Skipped: what ruff's rules of these numbers (S101 for B101) check too, with a reason beside each exception; and B404, the
# mere import of subprocess.
check-security:
	@echo '== security'
	@$(VENV_PYTHON) -m bandit -q -r app alembic wsgi.py gunicorn.conf.py database.py --skip B101,B105,B106,B108,B311,B404,B603,B606,B608

# The revisions create exactly the tables that app/store/tables.py defines.
check-migrations:
	@echo '== migrations'
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && trap 'exit 130' INT TERM && \
	DATABASE_URL="sqlite:///$$folder/check.db" && export DATABASE_URL && \
	$(VENV_PYTHON) -m alembic upgrade head && $(VENV_PYTHON) -m alembic check

.PHONY: format
format: .venv/.dev-stamp ## format the code and apply the fixes of ruff
	@$(VENV_PYTHON) -m ruff check --fix-only --quiet .
	@$(VENV_PYTHON) -m ruff format --quiet .

# One file for every platform and Python from 3.11 on, without the address of an index. It keeps extras: pip before 23.3
# takes `coverage[toml]` for another package than a pinned `coverage`.
COMPILE = $(VENV_PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	$(if $(UPGRADE),--upgrade)

# What `make run` needs: the server on each database.
RUN = pyproject.toml --extra server --extra postgresql --extra mysql --extra client

.PHONY: lock
lock: .venv/.dev-stamp ## update requirements/*.txt from pyproject.toml (UPGRADE=1: the newest versions)
	@$(COMPILE) $(RUN) -o requirements/run.txt
	@$(COMPILE) $(RUN) -o requirements/server.txt --extra redis --extra tracing -c requirements/run.txt
	@$(COMPILE) $(RUN) -o requirements/server-export.txt --extra redis --extra tracing --extra export -c requirements/run.txt
	@$(COMPILE) $(RUN) -o requirements/dev.txt --extra test --extra check --extra lock -c requirements/run.txt
	@$(COMPILE) $(RUN) -o requirements/bench.txt --extra bench -c requirements/dev.txt
	@$(COMPILE) --group peers -o requirements/peers.txt
	@$(COMPILE) --group otree -o requirements/otree.txt
	@! grep -nE '^ *--(index|extra-index|find-links)|://' requirements/*.txt

# A page's scripts and styles as one file each, which the repository and the wheel contain: servers need no Node.
.PHONY: bundle
bundle: ## bundle the pages' scripts and styles; after each change to app/web/static (needs Node.js 20 and npm)
	@npm --prefix bundle ci --ignore-scripts --no-audit --no-fund --silent
	@node bundle/build.mjs

.PHONY: wheel
wheel: .venv/.dev-stamp ## build the package `stepkeep` into dist/
	@$(VENV_PYTHON) -m hatchling build -t wheel

.PHONY: bench bench-profile
bench: .venv/.bench-stamp .venv-peers/.stamp ## compare the speed with raw drivers and other libraries (ARGS=--quick)
	@exec $(VENV_PYTHON) -m benchmarks $(ARGS)

bench-profile: .venv/.bench-stamp ## print where a turn spends its time (ARGS='--only sqlite')
	@exec $(VENV_PYTHON) -m benchmarks.profile_turns $(ARGS)

.PHONY: bench-plans
bench-plans: .venv/.bench-stamp ## write the query plan of each operation on each database: docs/performance/plans.md
	@exec $(VENV_PYTHON) -m benchmarks.plans

.PHONY: bench-analytics bench-backup bench-export bench-page bench-purge bench-observed bench-sockets
bench-analytics: .venv/.bench-stamp ## measure analytics over a million rows of history: docs/performance/analytics.md
	@exec $(VENV_PYTHON) -m benchmarks.analytics $(ARGS)

bench-backup: .venv/.bench-stamp ## measure backups, restores and moves of a million rows: docs/performance/backup.md
	@exec $(VENV_PYTHON) -m benchmarks.backup $(ARGS)

bench-export: .venv/.bench-stamp ## measure exports in every format, and their memory: docs/performance/export.md
	@exec $(VENV_PYTHON) -m benchmarks.export $(or $(ARGS),20000 200000)

bench-purge: .venv/.bench-stamp ## measure the latency of turns during a purge: docs/performance/purge.md
	@exec $(VENV_PYTHON) -m benchmarks.purge $(ARGS)

bench-page: .venv/.dev-stamp find-chromium ## measure pages over a slow network in Chromium: docs/performance/page.md
	@exec $(VENV_PYTHON) -m benchmarks.page $(ARGS)

bench-sockets: .venv/.bench-stamp .venv-peers/.stamp .venv-otree/.stamp ## compare WebSocket servers with up to 10,000 sockets: docs/performance/sockets.md
	@exec $(VENV_PYTHON) -m benchmarks.sockets $(ARGS)

bench-observed: .venv/.bench-stamp ## measure the cost of metrics: docs/performance/observability.md
	@exec $(VENV_PYTHON) -m benchmarks.observed $(ARGS)

# Duration of `make chaos`, over the three databases together, and the seed of its faults.
MINUTES ?= 6
SEED ?=

# The revision from which `make upgrade` upgrades.
OLD ?= 2f5a872

.PHONY: chaos fuzz conformance upgrade
chaos: .venv/.bench-stamp ## break servers, databases and networks while participants answer (MINUTES=30 SEED=1); docs/reliability
	@exec $(VENV_PYTHON) -m tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) --report docs/reliability $(ARGS)

fuzz: .venv/.dev-stamp ## send a million frames, 20,000 byte streams, and open and close 10,000 connections
	@exec $(VENV_PYTHON) -m tests.fuzz $(or $(ARGS),--cases 1000000 --streams 20000 --cycles 10000)

upgrade: .venv/.dev-stamp ## upgrade from an older release while participants answer (OLD=revision)
	@exec $(VENV_PYTHON) -m tests.upgrade --old $(OLD) $(ARGS)

conformance: .venv/.dev-stamp ## run the Autobahn test suite against the WebSocket layer; needs Python 2.7
	@exec $(VENV_PYTHON) -m tests.conformance $(ARGS)

.PHONY: clean
clean: ## remove .venv, caches and reports; databases stay
	@rm -rf .venv .venv-peers .venv-otree .venv-autobahn .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis htmlcov build dist *.egg-info
	@rm -f .coverage .coverage.*
	@find app tests alembic benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# ---------------------------------------------------------------------------------------- .venv
# A stamp that is newer than its lock file says that the lock file is installed. dev.txt and bench.txt contain all of
# run.txt at the same versions.

.venv/.run-stamp: requirements/run.txt
	@$(call install,requirements/run.txt)
	@touch $@

.venv/.dev-stamp: requirements/dev.txt requirements/run.txt
	@$(call install,requirements/dev.txt)
	@touch .venv/.run-stamp $@

.venv/.bench-stamp: requirements/bench.txt requirements/run.txt
	@$(call install,requirements/bench.txt)
	@touch .venv/.run-stamp $@

# The libraries with which `make bench` compares need other versions of the dependencies.
.venv-peers/.stamp: requirements/peers.txt .venv/.bench-stamp
	@.venv-peers/bin/python -c 'import pip' 2>/dev/null || \
		{ rm -rf .venv-peers && $(VENV_PYTHON) -m venv .venv-peers; }
	@$(call install,requirements/peers.txt,.venv-peers)
	@touch $@

# Some of oTree's libraries are old: where they can't be built, the benchmark leaves it out.
.venv-otree/.stamp: requirements/otree.txt .venv/.bench-stamp
	@rm -rf .venv-otree && $(VENV_PYTHON) -m venv .venv-otree
	@if $(call install,requirements/otree.txt,.venv-otree); then touch $@; else echo 'oTree cannot be installed here; the benchmark leaves it out.'; fi

# A .venv that was copied or moved, or whose Python is missing or another, is created again. Checked while make reads this
# file, because make checks a stamp before its prerequisites are built.
VENV_WORKS := $(shell [ "$$(cat .venv/.made-in 2>/dev/null)" = "$(CURDIR)" ] && \
	$(VENV_PYTHON) -c 'import pip' 2>/dev/null && echo yes)
ifeq ($(VENV_WORKS),)
.venv/.run-stamp .venv/.dev-stamp .venv/.bench-stamp: venv
endif

NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

.PHONY: venv
venv:
	@for python in '$(PYTHON)' python3.14 python3.13 python3.12 python3.11 ''; do \
		if "$$python" -c '$(NEW_ENOUGH)' 2>/dev/null; then break; fi; \
	done; \
	[ "$$python" ] || { \
		echo "Stepkeep needs Python 3.11 or newer; $(PYTHON) is: $$('$(PYTHON)' -V 2>&1 | head -n 1)." \
			"Install one (Debian: apt install python3 python3-venv) or name it: make PYTHON=/path/to/python" >&2; \
		exit 1; }; \
	"$$python" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$$python cannot make a virtual environment: install its venv module (Debian, Ubuntu:" \
			"apt install python3-venv)." >&2; \
		exit 1; }; \
	[ ! -e .venv ] || echo 'The .venv was created elsewhere or does not run.'; \
	echo "Creating .venv with $$("$$python" -V)"; \
	rm -rf .venv && "$$python" -m venv .venv && printf '%s\n' '$(CURDIR)' > .venv/.made-in

# $(call install,lock file,environment): into .venv by default.
# One dot a package; pip's output only if it fails. pip checks each file against its hash.
define install
printf 'Installing pinned dependencies, about a minute, only this once: '; \
{ PYTHONUNBUFFERED=1 $(or $(2),.venv)/bin/python -m pip install --require-hashes --no-input \
	--disable-pip-version-check -r $(1) 2>&1 || echo 'pip failed'; } | { \
	: > $(or $(2),.venv)/install.log; \
	while IFS= read -r line; do \
		printf '%s\n' "$$line" >> $(or $(2),.venv)/install.log; \
		case "$$line" in \
			Collecting*) printf .;; \
			'Installing collected'*) printf ' unpacking';; \
			'pip failed') echo; cat $(or $(2),.venv)/install.log >&2; exit 1;; \
		esac; \
	done; echo ' done'; }
endef

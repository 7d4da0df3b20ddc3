# make rock   run the demo            PORT=8000 HOST=127.0.0.1
#             as five processes       REDIS=1, or REDIS_URL=redis://host:6379/0
# make test   run every check and test
# make bench  measure                 JOBS=200 SECONDS=20 CLICKS=15
# make bench-delay                    JOBS=1000 EVERY_MS=1000 STEPS=20 WORKERS=1 SCHEDULERS=1 PEERS=1
# make bench-jobs                     JOBS=1000 EVERY_MS=1000 STEPS=60
# make bench-fanout                   SOCKETS=1000 UPDATES=1000 SECONDS=20 WEB=1 SERVER=daphne LAYER=pubsub BASELINE=1 DASHBOARD=1
# make bench-track                    ITEMS=1000000 ROUNDS=20
# make bench-services                 JOBS=1000 EVERY_MS=1000 SECONDS=20 WAYS="single batch" PEERS=1
# make chaos  kill, freeze and starve all parts of a site        JOBS=200 REPEAT=20 STRIKES=5 FREEZE=6 SEED= ONLY="names of faults"
#             and show that the run can fail                     SABOTAGE=1
# make load   1,000 clients at docker compose up, containers killed and replaced   MINUTES=10 SOCKETS=1000 JOBS=2000 LOAD="more options"
# make lock   renew requirements/ and package-lock.json
# make words  bring the catalogues of all languages up to date, and compile them
# make remotes  install the services of others that the tests run

PYTHON ?= python3
PORT ?= 8000
HOST ?= 127.0.0.1
BIN := .venv/bin
# With the node that is locked, whatever else the machine has.
NPM := PATH="$(abspath $(BIN)):$$PATH" npm
export PORT HOST

.PHONY: rock test test-frontend test-waiting test-processes test-browser test-pages test-rest bench bench-delay bench-fanout bench-jobs bench-services bench-track chaos load lock lint words programs chromium redis postgres nginx remotes clean
.DELETE_ON_ERROR:

rock: .venv/run.installed $(if $(filter 1,$(REDIS)),$(if $(REDIS_URL),,redis))
	@$(BIN)/python -m config.rock

# Each of what comes first keeps one processor busy, and much of it waits for the network.
test:
	@$(MAKE) --no-print-directory -j4 -Otarget programs remotes lint test-frontend
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	@$(MAKE) --no-print-directory -j5 -Otarget test-waiting test-processes test-browser test-pages test-rest
endif

# Five at a time, on two processors: all of them wait most of their time, those of the first for processes that start, die
# and come back, those of the third and the fourth for what a person waits for. Each takes about as long as the others.
WAITING := tests/chaos tests/faults tests/remotes
PROCESSES := tests/test_postgresql.py tests/upgrade tests/push tests/contrib tests/benchmarks tests/delay
BROWSER := $(patsubst %,tests/e2e/test_%.py,browser fallback engine) tests/synth

test-waiting:
	$(BIN)/python -m pytest $(WAITING)

test-processes:
	$(BIN)/python -m pytest $(PROCESSES)

test-browser:
	$(BIN)/python -m pytest $(BROWSER)

test-pages:
	$(BIN)/python -m pytest $(addprefix --ignore=,$(BROWSER)) tests/e2e

test-rest:
	$(BIN)/python -m pytest $(addprefix --ignore=,$(WAITING) $(PROCESSES) $(BROWSER) tests/e2e)

test-frontend: node_modules/.package-lock.json
	$(NPM) --silent test

lint: .venv/test.installed node_modules/.package-lock.json
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(NPM) --silent run check

bench-delay: .venv/test.installed redis
	@$(BIN)/python -m tests.benchmarks.delay

bench-jobs: .venv/test.installed redis
	@$(BIN)/python -m tests.benchmarks.jobs

bench-fanout: .venv/test.installed redis
	@$(BIN)/python -m tests.benchmarks.fanout

bench-track: .venv/test.installed redis
	@$(BIN)/python -m tests.benchmarks.track

bench-services: .venv/test.installed redis
	@$(BIN)/python -m tests.benchmarks.services

chaos: .venv/test.installed redis postgres
	@$(BIN)/python -m tests.chaos $(if $(filter 1,$(SABOTAGE)),--sabotage)

# The site is to run already: export SYNTH_INTERVAL=2000 MAX_STARTS_PER_MINUTE=240; docker compose up -d --build
load: .venv/test.installed
	@$(BIN)/python -m tests.load --compose . --report docs/explanation/load-run.md \
		$(foreach name,MINUTES SOCKETS JOBS,$(if $($(name)),--$(shell echo $(name) | tr A-Z a-z) $($(name)))) $(LOAD)

bench: .venv/test.installed
	@$(BIN)/python -m tests.benchmarks.embedded

words: .venv/test.installed
	@$(BIN)/python -m tests.catalogues

# The library pins nothing; what the project and its tests run with is locked here, by hash.
lock: .venv/test.installed
	$(BIN)/uv pip compile -q pyproject.toml --group rock --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --no-annotate -o requirements/run.txt
	$(BIN)/uv pip compile -q pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --no-annotate -o requirements/test.txt
	$(BIN)/uv pip compile -q --group remotes --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --no-annotate -o requirements/remotes.txt
	$(NPM) install --omit-lockfile-registry-resolved --package-lock-only

.venv/bin/pip:
	@command -v $(PYTHON) >/dev/null || { echo "ProgRock needs Python 3.11 or newer: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "ProgRock needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) -V). Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Making .venv"
	@$(PYTHON) -m venv .venv >/dev/null || { rm -rf .venv; echo "No virtual environment could be made: apt-get install python3-venv" >&2; exit 1; }

.venv/run.installed: requirements/run.txt | .venv/bin/pip
	@echo "Installing what the demo needs"
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/run.txt
	@touch $@

.venv/test.installed: requirements/test.txt | .venv/bin/pip
	@echo "Installing what the tests need"
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/test.txt
	@touch $@ .venv/run.installed

# The services that the tests run for real; what they need is no business of ours, nor of what we need.
remotes: .venv-remotes/installed

# uv takes seconds where pip takes minutes, but does not know what pip has been told of proxies and mirrors.
.venv-remotes/installed: requirements/remotes.txt | .venv/test.installed
	@echo "Installing the services that the tests run"
	@test -e .venv-remotes/bin/pip || $(BIN)/python -m venv .venv-remotes
	@$(BIN)/uv pip install -q --python .venv-remotes/bin/python --require-hashes -r requirements/remotes.txt || \
		.venv-remotes/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements/remotes.txt
	@touch $@

node_modules/.package-lock.json: package-lock.json .venv/test.installed
	@echo "Installing the JavaScript type checker"
	@$(NPM) ci --silent --no-audit --no-fund
	@touch $@

# One after the other: there is one package manager.
programs:
	@for each in chromium redis postgres nginx; do $(MAKE) --no-print-directory $$each || exit 1; done

chromium:
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ]; then echo "Installing Chromium" && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null && exit 0; fi; \
	echo "The browser tests need Chromium: sudo apt-get install chromium" >&2; exit 1

# Only the program is wanted: each Redis of ours has a port of its own, whatever else the system starts.
redis:
	@command -v redis-server >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ]; then echo "Installing Redis" && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server >/dev/null && exit 0; fi; \
	echo "Redis is needed: sudo apt-get install redis-server" >&2; exit 1

# Only the programs are wanted: the tests' PostgreSQL has a folder and a port of its own, the system gets no cluster.
postgres:
	@command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 && exit 0; \
	if [ "$$(id -u)" = 0 ]; then echo "Installing PostgreSQL" && mkdir -p /etc/postgresql-common && \
		{ test -e /etc/postgresql-common/createcluster.conf || \
			echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf; } && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null && exit 0; fi; \
	echo "The tests need PostgreSQL: sudo apt-get install postgresql" >&2; exit 1

# Only the program is wanted: the tests' nginx has a folder and a port of its own.
nginx:
	@PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ]; then echo "Installing nginx" && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx >/dev/null && exit 0; fi; \
	echo "The tests need nginx: sudo apt-get install nginx" >&2; exit 1

clean:
	rm -rf .venv .venv-remotes node_modules var dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

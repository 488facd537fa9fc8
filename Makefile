# Everything here makes what it needs first, once: a second run does no set-up again.
# ARGS go to the program: make test ARGS='-k lease -x', make demo ARGS=--zookeeper

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
JARS := /usr/share/java
APT := env DEBIAN_FRONTEND=noninteractive apt-get -qq

.PHONY: help demo test interop simulate mutate chaos lint bench clean stores
.DELETE_ON_ERROR:

help:
	@echo 'make demo             three candidates on this host, one of them killed: see what happens'
	@echo 'make test             all tests, on real servers (ZooKeeper, PostgreSQL, Redis: installed if need be)'
	@echo 'make interop TURNS=n  elections shared with Curator, kazoo, ZooKeeper'"'"'s own recipe and the C++ scheme, for long'
	@echo 'make simulate SEEDS=n random faults in virtual time; MUTANTS=1: planted bugs, each to be caught; SEED=n: one again'
	@echo 'make mutate           small changes to what makes an election safe: which of them does no test notice?'
	@echo 'make chaos MINUTES=n  random faults on real servers and candidates (Linux, root)'
	@echo 'make lint | bench | clean'
	@echo 'ARGS=... is passed on, as in: make test ARGS="-k lease -x", make demo ARGS=--zookeeper'

demo: .venv/made
	@$(BIN)/aioha demo $(ARGS)

# What we share elections with, and what compiles a program for it.
OTHERS := libcurator-recipes-java default-jdk-headless libzookeeper-mt-dev gcc libc6-dev

test: STORES := zookeeper postgresql redis-server iproute2 iptables $(OTHERS)
test: .venv/made-dev stores
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile $(ARGS)

interop: STORES := zookeeper $(OTHERS)
interop: .venv/made-dev stores
	AIOHA_TURNS=$(or $(TURNS),100) $(BIN)/python -m pytest tests/test_foreign_*.py $(ARGS)

simulate: .venv/made-dev
	PYTHONPATH=tests $(BIN)/python -m \
	    $(if $(MUTANTS),proof.mutants,proof.simulate $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000)) \
	    $(if $(LAYOUT),--layout $(LAYOUT))) $(ARGS)

mutate: .venv/made-mutation
	PYTHONPATH=tests $(BIN)/python -m mutation $(ARGS)

chaos: STORES := zookeeper iproute2 iptables
chaos: .venv/made-dev stores
	PYTHONPATH=tests $(BIN)/python -m chaos --minutes $(or $(MINUTES),30) $(ARGS)

lint: .venv/made-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: STORES := zookeeper
bench: .venv/made-dev stores
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What runs needs no tools; tools need all of it.
.venv/made: pyproject.toml
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -e '.[cli]'
	@touch $@

.venv/made-dev: pyproject.toml .venv/made
	$(BIN)/pip install -q --disable-pip-version-check 'pip>=25.1'  # the first that knows --group
	$(BIN)/pip install -q --disable-pip-version-check -e '.[cli]' --group dev
	@touch $@

.venv/made-mutation: pyproject.toml .venv/made-dev
	$(BIN)/pip install -q --disable-pip-version-check --group mutation
	@touch $@

# Servers to test with, and tools to break networks with, by the names of Debian's packages. Tests start processes of their
# own; a service that a package starts is left alone. Tests that need one skip loudly without it; with AIOHA_REQUIRE_ALL=1
# they fail.
stores:
	@missing=; for store in $(STORES); do \
	    case $$store in \
	        zookeeper) [ -e $(JARS)/zookeeper.jar ] && command -v java ;; \
	        postgresql) ls /usr/lib/postgresql/*/bin/initdb || command -v initdb ;; \
	        iproute2) command -v ip ;; \
	        libcurator-recipes-java) [ -e $(JARS)/curator-recipes.jar ] ;; \
	        default-jdk-headless) command -v javac ;; \
	        libzookeeper-mt-dev) [ -e /usr/include/zookeeper/zookeeper.h ] ;; \
	        libc6-dev) [ -e /usr/include/stdio.h ] ;; \
	        *) command -v $$store ;; \
	    esac >/dev/null 2>&1 || missing="$$missing $$store"; \
	done; \
	if [ -z "$$missing" ]; then :; \
	elif ! command -v apt-get >/dev/null; then echo "not all is here to test with: install$$missing"; \
	elif [ "$$(id -u)" = 0 ]; then $(APT) update && $(APT) install -y $$missing; \
	elif sudo -n true 2>/dev/null; then sudo $(APT) update && sudo $(APT) install -y $$missing; \
	else echo "not all is here to test with: sudo apt-get install$$missing"; fi

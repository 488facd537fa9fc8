# Everything here makes what it needs first, once: a second run does no set-up again.
# ARGS go to the program: make test ARGS='-k lease -x', make demo ARGS=--zookeeper

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
JAR := /usr/share/java/zookeeper.jar
APT := env DEBIAN_FRONTEND=noninteractive apt-get -qq

.PHONY: help demo test lint bench clean zookeeper
.DELETE_ON_ERROR:

help:
	@echo 'make demo | test | lint | bench | clean   (ARGS=... is passed on)'

demo: .venv/made
	@$(BIN)/aioha demo $(ARGS)

test: .venv/made-dev zookeeper
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/made-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: .venv/made-dev zookeeper
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

# Tests that need a server skip loudly without one; with AIOHA_REQUIRE_ALL=1 they fail.
zookeeper:
	@if [ -e $(JAR) ] && command -v java >/dev/null; then :; \
	elif ! command -v apt-get >/dev/null; then echo 'no ZooKeeper server here to test with: install Debian'"'"'s package zookeeper'; \
	elif [ "$$(id -u)" = 0 ]; then $(APT) update && $(APT) install -y zookeeper; \
	elif sudo -n true 2>/dev/null; then sudo $(APT) update && sudo $(APT) install -y zookeeper; \
	else echo 'no ZooKeeper server here to test with: sudo apt-get install zookeeper'; fi

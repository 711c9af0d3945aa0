SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help
.PHONY: help demo guest deb wheel test test-all check simulate bench docs clean

PYTHON := .venv/bin/python
# What QEMU guests run in: without a /dev/kvm that exists and hangs.
LAB := tools/without_kvm $(PYTHON)
PREPARE := tools/bootstrap --lab && PYTHONPATH=tests $(PYTHON) -m lab.image
# GUESTWAKE_WINE=no: without Wine, and so without the tests of what runs on Windows.
WINDOWS := $(if $(filter no,$(GUESTWAKE_WINE)),,--windows)
PREPARE_TESTS := tools/bootstrap --lab --deb $(WINDOWS) && \
	PYTHONPATH=tests $(PYTHON) -m lab.image && \
	PYTHONPATH=tests $(PYTHON) -m lab.host_image && PYTHONPATH=tests $(PYTHON) -m lab.wine

# Tests without a guest. Two processes share them, but for those that measure time themselves.
FAST := -m "not more and not full and not qemu and not host and not windows"

help:  ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 18

# Proof under fault: two processes share these in `make test`, for most of it is waiting.
PROOF := tests/simulation $(patsubst %,tests/integration/test_%.py,deaf_guests full_disks \
	hostile_guest images_of_others kill_nine killed_in_each_phase lost_journal panics trouble \
	twenty_workspaces)

demo:  ## a real hibernated guest is woken, updated by its own update client, put back
	@$(PREPARE)
	@$(LAB) tools/demo

guest:  ## the Guest Update Service as one file to install in a guest
	@python3 tools/guest

deb:  ## Debian packages of host and guest, into dist/
	@tools/bootstrap --deb
	@tools/deb

wheel:  ## the host's program for pip and pipx, into dist/
	@tools/bootstrap
	@$(PYTHON) tools/wheel

test:  ## one real pass of every story, with real guests (half an hour on two cores)
	@$(PREPARE_TESTS)
	@echo "test: the log is $(CURDIR)/.cache/test.log"
	@failed=0; \
	$(LAB) -m pytest -rfEs -m "not full" -n 2 --dist worksteal $(PROOF) 2>&1 \
		| tee .cache/test.log || failed=1; \
	$(LAB) -m pytest -rfEs -m "not full" $(PROOF:%=--ignore=%) 2>&1 \
		| tee -a .cache/test.log || failed=1; \
	exit $$failed

test-all:  ## the full matrix
	@$(PREPARE_TESTS)
	@echo "test-all: the log is $(CURDIR)/.cache/test-all.log"
	@$(LAB) -m pytest -rfEs 2>&1 | tee .cache/test-all.log

check:  ## lint, types and the tests that need no guest (a minute)
	@tools/bootstrap
	@$(PYTHON) -m pytest $(FAST) -n 2 --ignore=tests/hostile --ignore=tests/contract
	@$(PYTHON) -m pytest $(FAST) tests/hostile tests/contract

simulate:  ## random days with every fault there is, until Ctrl-C; or DAYS=1000, SEED=people:17
	@tools/bootstrap
	@TZ=UTC $(PYTHON) tools/simulate $(if $(DAYS),--days $(DAYS)) $(if $(FIRST),--first $(FIRST)) \
		$(if $(SEED),--seed '$(SEED)')

bench:  ## the figures of docs/performance.md
	@$(PREPARE)
	@$(LAB) tools/bench $(ARGUMENTS)

docs:  ## write the generated pages of docs/
	@tools/bootstrap
	@$(PYTHON) tools/docs

clean:  ## remove what was built: the virtual environment, guest images, caches
	rm -rf .venv .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf src/*.egg-info

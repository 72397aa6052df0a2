# `make lab` is all a reader needs: it makes .venv, installs what is missing and opens the first lesson.

PYTHON ?= python3 python3.13 python3.12 python3.11 python3.14 python
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.stamp
GRADE := $(VENV)/grade
FIRST := notebooks/00_start_here.ipynb

# A home that cannot be written to (containers): pip, Jupyter and matplotlib keep their files beside the environment.
ifneq ($(shell test -w "$$HOME" && echo writable),writable)
export HOME := $(CURDIR)/$(VENV)/home
endif
# Lab's «Python 3» is this environment's, whatever kernels the user has installed elsewhere.
export JUPYTER_PREFER_ENV_PATH := 1

.DEFAULT_GOAL := help
.PHONY: help lab check test lint bench notebooks clean

help: ## list what make can do here
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

lab: $(STAMP) ## open the lessons in JupyterLab (elsewhere: make lab PORT=8899 IP=0.0.0.0)
	@set --; \
	if [ "$$(id -u)" = 0 ]; then set -- "$$@" --allow-root; fi; \
	if [ -z "$$DISPLAY$$WAYLAND_DISPLAY" ] && [ "$$(uname)" != Darwin ]; then set -- "$$@" --no-browser; fi; \
	exec $(PY) -m jupyterlab --LabApp.default_url=/lab/tree/$(FIRST) \
	  $(if $(IP),--ServerApp.ip=$(IP)) $(if $(PORT),--ServerApp.port=$(PORT)) "$$@"

check: $(STAMP) ## check style, types and all that starts no ranks, in a minute: before each commit
	$(PY) -m ruff check .
	@$(PY) -m mypy & types=$$!; $(PY) -m pytest -m "not slow" --hypothesis-profile=check -n 2 --dist worksteal; tests=$$?; \
	wait $$types && exit $$tests

test: lint $(GRADE)/.stamp ## check everything: ruff, mypy, all tests, every lesson, the browser
	$(PY) -m pytest

lint: $(STAMP) ## check with ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m mypy

bench: $(STAMP) ## print the figures: speed against peers and limits
	@for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(PY) "$$file" || exit 1; done

notebooks: $(STAMP) ## execute every lesson again, in place
	$(PY) tests/notebooks/execute.py --in-place notebooks/*.ipynb

clean: ## remove the environment and what tools left behind
	rm -rf $(VENV) artefacts build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# The stamp is written last, so an installation that was cut off is taken up again. It holds the checkout's place,
# for a checkout that was moved must be installed again.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif
$(STAMP): pyproject.toml constraints.txt $(PY)
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip --default-pip
	$(PY) -m pip install --disable-pip-version-check --no-user -c constraints.txt -e '.[lab,test]'
	@echo '$(CURDIR)' > $@

# nbgrader brings extensions of JupyterLab along that no reader should meet: it gets an environment of its own, which
# sees everything in the other one, for the tests of the assignments.
$(GRADE)/.stamp: $(STAMP)
	@$(PY) -m venv --clear --without-pip $(GRADE)
	@$(GRADE)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $(GRADE)/site
	@$(PY) -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' > "$$(cat $(GRADE)/site)/lessons.pth"
	$(PY) -m pip --python $(GRADE)/bin/python install --disable-pip-version-check -c constraints.txt nbgrader
	@touch $@

$(PY):
	@for python in $(PYTHON); do \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  found="$$found $$python"; \
	  $$python -c 'import ensurepip, venv' 2>/dev/null || continue; \
	  echo "Making $(VENV) with $$python and installing what the lessons need: some minutes, once."; \
	  exec $$python -m venv --clear $(VENV); \
	done; \
	if [ -n "$$found" ]; then \
	  echo "Found Python ($$found ), but without its venv module. On Debian and Ubuntu: sudo apt install python3-venv"; \
	else \
	  echo "pipelab needs Python 3.11 or newer, and none of these is one: $(PYTHON)."; \
	  echo "Install it (python.org, or your system's packages), or name yours: make lab PYTHON=/path/to/python3"; \
	fi >&2; exit 1

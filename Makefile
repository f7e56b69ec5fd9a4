# The laboratory's everyday commands. "make help" lists them; README.md has the plain pip lines behind them.

VENV     ?= .venv
LAB_ARGS ?=
# Passed to voila, for instance VOILA_ARGS="--no-browser --port=8890".
VOILA_ARGS ?=
# Passed to pytest as they are, for instance PYTEST_ARGS="-k records -x".
PYTEST_ARGS ?=
# Test processes, four at most, one thread each (small models gain nothing from a second thread): one a core, and for "make
# test" one more, because a browser test waits for its kernel and its page.
WORKERS  ?=
# Seconds that a notebook's cell may take before its test fails; training on a slow machine needs room.
CELL_TIMEOUT ?= 900
# How many times the suite's inputs "make fuzz" tries; 200 take seven minutes on one core.
FUZZ_TIMES ?= 200

PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip --disable-pip-version-check --no-input
STAMPS := $(VENV)/stamps
# Jupyter refuses to serve as root unless told that root is meant (containers usually are root).
AS_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help lab voila test test-portable quick lint notebooks docs proof bench audit fuzz endure clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo '  variables: LAB_ARGS="--no-browser --port=8890", PYTEST_ARGS="-k records", WORKERS=2, PYTHON=python3.12'

lab: $(STAMPS)/lab ## install what is missing and open JupyterLab on the first notebook
	$(VENV)/bin/jupyter lab $(AS_ROOT) $(LAB_ARGS) notebooks/00_start_here.ipynb

# Each page runs its notebook when it is opened, which takes as long as the notebook does.
voila: $(STAMPS)/voila ## serve the notebooks as pages without code (http://localhost:8866)
	$(VENV)/bin/voila --strip_sources=True $(VOILA_ARGS) notebooks

# One pytest run for everything: notebooks under nbval, browser, library, doctests. Files are dealt to the processes whole
# (nbval shares one kernel a notebook), the long ones first (conftest.py).
test: $(STAMPS)/test ## run all tests: library, doctests, notebooks, browser
	OMP_NUM_THREADS=1 MPLBACKEND=agg $(PY) -m pytest notebooks tests medn_lab \
	  -n $(or $(WORKERS),$(shell expr $$(getconf _NPROCESSORS_ONLN || echo 2) + 1)) --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
	  --nbval-lax --nbval-current-env --nbval-cell-timeout $(CELL_TIMEOUT) \
	  $(PYTEST_ARGS)

quick: $(STAMPS)/test ## the library's tests and doctests alone, without what takes processes of its own or long
	OMP_NUM_THREADS=1 MPLBACKEND=agg $(PY) -m pytest -p no:nbval --hypothesis-profile quick tests medn_lab \
	  --ignore=tests/browser --ignore=tests/benchmarks -m "not slow" \
	  -n $(or $(WORKERS),logical) --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-portable: $(STAMPS)/test ## the library's tests and the browser acts as on an older processor, whose last digits differ
	OMP_NUM_THREADS=1 MPLBACKEND=agg $(PY) tests/tools/other_processor.py $(PY) -m pytest \
	  tests medn_lab --ignore=tests/benchmarks -m "not slow and (acts or not browser)" \
	  -n 3 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(STAMPS)/dev ## check style, security, formatting and types
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

notebooks: $(STAMPS)/dev ## execute the notebooks and store them with their pictures (needs a Chromium)
	$(PY) tests/tools/execute_notebooks.py

docs: $(STAMPS)/docs ## write the API reference from the docstrings, into build/docs
	$(VENV)/bin/pdoc --docformat numpy --no-show-source -o build/docs medn_lab '!medn_lab\.\w+\..+'

proof: $(STAMPS)/test ## train and measure everything that notebook 10 shows (resumes; an hour or more)
	OMP_NUM_THREADS=1 $(PY) notebooks/proof/run_proof.py

bench: $(STAMPS)/test ## print tables of speed (a quarter of an hour on an idle machine)
	OMP_NUM_THREADS=1 $(PY) tests/benchmarks/bench_import.py
	OMP_NUM_THREADS=1 $(PY) tests/benchmarks/bench_facelab.py
	OMP_NUM_THREADS=1 $(PY) tests/benchmarks/bench_model.py steps overhead
	OMP_NUM_THREADS=1 $(PY) tests/benchmarks/bench_scale.py folds prepare --counts 100 1000
	OMP_NUM_THREADS=1 $(PY) tests/benchmarks/bench_diagnose.py

fuzz: $(STAMPS)/test ## spoil every kind of input, FUZZ_TIMES as often as the suite does
	FUZZ_TIMES=$(FUZZ_TIMES) OMP_NUM_THREADS=1 $(PY) -m pytest tests/test_fuzz.py $(PYTEST_ARGS)

endure: $(STAMPS)/test ## kill long jobs in 30 rounds and at every step, and start and stop 50 trainings
	$(PY) tests/endurance/kill_rounds.py --rounds 30
	$(PY) tests/endurance/kill_rounds.py --rounds 0 --steps
	$(PY) tests/endurance/soak.py trainings --steps 50
	$(PY) tests/endurance/soak.py gestures --steps 200

# In an environment of its own: what it needs is no part of the tested set.
audit: $(STAMPS)/venv ## ask whether the pinned packages have known holes (needs the network)
	$(PY) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip --disable-pip-version-check --no-input install --quiet pip-audit
	$(VENV)/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

clean: ## remove the environment and every cache
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis screenshots
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment -------------------------------------------------------------------------------------------------

define NO_PYTHON
echo "medn_lab needs Python 3.11 or newer; none of these is: $(PYTHON)."; \
echo "Install one (for instance from python.org or with conda) and name it: make lab PYTHON=/path/to/python3.11"
endef

# The first interpreter that is new enough; PYTHON=... on the command line is tried alone.
PYTHON ?= python3 python3.13 python3.12 python3.11 python

$(STAMPS)/venv:
	@set -e; \
	for candidate in $(PYTHON); do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then chosen=$$candidate; break; fi; \
	done; \
	if [ -z "$${chosen:-}" ]; then $(NO_PYTHON); exit 1; fi; \
	if ! $(PY) -m pip --version >/dev/null 2>&1; then \
	  echo "making $(VENV) with $$chosen ($$($$chosen --version))"; \
	  "$$chosen" -m venv $(VENV) || { echo "on Debian and Ubuntu: apt install python3-venv"; exit 1; }; \
	fi; \
	mkdir -p $(STAMPS); touch $@

# Compiling what was installed takes pip half of its time on one core; compileall does it on all cores. Some packages hold
# files that do not compile, and need them for nothing.
# The opencv-python wheel needs the system's libGL, which servers and containers lack. The headless wheel of the same
# version is the same library without windows, which medn_lab never opens. The two must not be installed together.
define INSTALL
$(PIP) install --no-compile -c constraints.txt -e '.$(1)'
@$(PY) -m compileall -qq -j 0 $(VENV)/lib || true
@if ! said=$$($(PY) -c 'import cv2' 2>&1); then \
  echo "opencv-python cannot be loaded here: $$(echo "$$said" | tail -1)"; \
  echo "installing opencv-python-headless of the same version in its place"; \
  $(PIP) uninstall -y opencv-python opencv-python-headless && \
  $(PIP) install -c constraints.txt opencv-python-headless && $(PY) -c 'import cv2'; \
fi
endef

$(STAMPS)/lab: $(STAMPS)/venv pyproject.toml constraints.txt
	$(call INSTALL,)
	@touch $@

$(STAMPS)/voila: $(STAMPS)/lab
	$(call INSTALL,[voila])
	@touch $@

$(STAMPS)/test: $(STAMPS)/venv pyproject.toml constraints.txt
	$(call INSTALL,[test])
	@touch $@ $(STAMPS)/lab

$(STAMPS)/docs: $(STAMPS)/venv pyproject.toml constraints.txt
	$(call INSTALL,[docs])
	@touch $@ $(STAMPS)/lab

$(STAMPS)/dev: $(STAMPS)/venv pyproject.toml constraints.txt
	$(call INSTALL,[dev])
	@touch $@ $(STAMPS)/test $(STAMPS)/lab

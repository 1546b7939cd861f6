# Everything runs in a virtual environment of its own, .venv, which the first command makes: `make help` lists them.
# Needed on the machine: Python 3.11 or newer with pip and venv. If `uv` is there, it does the installing.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PORT ?= 8000

.DEFAULT_GOAL := help
.PHONY: help book pdf widgets test test-all test-site lint serve bench audit strip clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

# Installation leaves byte code to the first import; without it each process would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# The last line alone makes the stamp, so an install that was interrupted is taken up again by the next command.
# d2l is an independent reference for the tests. It pins a numpy that torch has long left behind, hence --no-deps;
# what it needs in order to be imported is in the `test` extra.
$(INSTALLED): pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not. Name another one: make PYTHON=python3.12" >&2; exit 1; }
	@rm -f $@
	@if command -v uv > /dev/null; then \
	  set -ex; \
	  uv venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv; \
	  uv pip install --python $(BIN)/python -e '.[book,test]'; \
	  uv pip install --python $(BIN)/python --no-deps 'd2l>=1.0.3'; \
	else \
	  set -ex; \
	  $(PYTHON) -m venv .venv; \
	  $(BIN)/python -m pip install --no-compile --progress-bar off -e '.[book,test]'; \
	  $(BIN)/python -m pip install --no-compile --progress-bar off --no-deps 'd2l>=1.0.3'; \
	fi
	@touch $@

book: $(INSTALLED) ## execute the chapters (the first runs the default experiment), build the site in _build/html
	$(BIN)/python tools/book/make_site.py

pdf: $(INSTALLED) | _build/html/index.html ## print the built site as PDF, in _build/pdf (FOLDS=--open-folds: with hints and solutions)
	$(BIN)/python tools/book/make_pdf.py $(FOLDS)

# The products are committed: only who edits the explorers' JavaScript needs node and npm (20 or newer).
widgets: ## bundle the explorers' JavaScript, after an edit of it (needs npm)
	npm ci --no-audit --no-fund --loglevel=error
	$(PYTHON) tools/book/make_widgets.py

# Three processes for two cores, as many tests wait for others; each with one computing thread. In which order and how
# they share the tests: tests/conftest.py.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadgroup --no-loadscope-reorder

test: lint ## check style and spelling, run the quick tests
	$(PYTEST) -m "not slow and not browser and not site"

test-all: lint ## the same with the slow tests: all that need neither the built site nor a browser
	$(PYTEST) -m "not browser and not site"

# The tests of the site read the pages that are there: after a change, build first.
test-site: $(INSTALLED) | _build/html/index.html ## test the built site: its pages in Chromium, its downloads in a bare environment
	$(PYTEST) -m "browser or site" tests/book tests/widgets

_build/html/index.html:
	$(MAKE) book

lint: $(INSTALLED) ## check style and spelling only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

serve: $(INSTALLED) | _build/html/index.html ## serve the site on http://127.0.0.1:8000, and build and reload it on changes (PORT=... for another port)
	$(BIN)/python tools/book/serve.py --port $(PORT)

bench: $(INSTALLED) ## measure ourselves beside other tools
	@if command -v uv > /dev/null; then uv pip install --python $(BIN)/python -e '.[bench]'; \
	  else $(BIN)/python -m pip install --quiet -e '.[bench]'; fi
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

audit: $(INSTALLED) | _build/html/index.html ## print each page's bytes, requests, barriers, dead links and, where npx is, Lighthouse marks
	$(BIN)/python tools/audit.py

strip: $(INSTALLED) ## store the notebooks: no outputs, no widget state, the same set-up cell in each
	$(BIN)/python tools/book/chapter_files.py

clean: ## remove the built site, its cache and the virtual environment; runs/ stays
	rm -rf _build .venv .pytest_cache .ruff_cache dist

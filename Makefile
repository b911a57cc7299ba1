# One short command for everything a reader or contributor does. `make help` lists them.
#
# Needs python3 (3.11 or newer), make and a C compiler (some readers' torch.compile asks for one).
# Nothing is activated by hand: each target first makes or refreshes .venv, when the lock is newer
# than the last installation.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
BOOT := .venv-boot
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
NODE := tests/node/node_modules/.installed
WEB := book/web/node_modules/.installed

# smoke: the smallest of everything, for tests · cpu: minutes on two cores · gpu: a free Colab T4 · paper: the paper's scale, GPUs of 40 GB
PROFILE ?= $(shell nvidia-smi -L >/dev/null 2>&1 && echo gpu || echo cpu)
# some chapters only, for authors: make book CHAPTERS="ch03 ch04"
CHAPTERS ?=
PORT ?= 8000
SHEET ?= sheet.csv
# arguments handed on: make bench ARGS="--peer path/of/a/checkout", make test ARGS="-k layout"
ARGS ?=

.PHONY: help book pdf course grade test serve weights bench colab lint notebooks lock setup clean

help: ## show this list
	@echo "studiolike: make TARGET [PROFILE=smoke|cpu|gpu|paper]   (PROFILE is now: $(PROFILE))"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

book: $(INSTALLED) $(WEB) ## run every chapter and render the book into _build/html (PROFILE=, CHAPTERS=)
	$(RUN) book/tools/execute.py --profile $(PROFILE) --chapters $(CHAPTERS)
	$(RUN) book/tools/build.py --profile $(PROFILE) --chapters $(CHAPTERS)

# No part of `make book` or `make test`: XeLaTeX takes 330 MB, and few readers have it. What is missing is said before
# the chapters run.
pdf: $(INSTALLED) ## run every chapter and set the book as one PDF, _build/studiolike.pdf; needs XeLaTeX (PROFILE=)
	@$(RUN) book/tools/pdf.py --check
	$(RUN) book/tools/execute.py --profile $(PROFILE)
	$(RUN) book/tools/pdf.py --profile $(PROFILE)

course: $(INSTALLED) ## make teaching material in _build/course: notebooks, slides, quizzes, schedules (PROFILE=)
	$(RUN) book/tools/course.py --profile $(PROFILE)

grade: $(INSTALLED) ## fill a grading sheet from the notebooks that students hand in (FOLDER=, SHEET=sheet.csv)
	@test -n "$(FOLDER)" || { echo "Name the folder: make grade FOLDER=handed-in"; exit 2; }
	@$(RUN) book/tools/grading.py "$(FOLDER)" --out "$(SHEET)"

# The unit tests, then every chapter twice in its smallest size: papermill runs it and stores what
# it showed; nbval runs the committed notebook and compares with that. So a chapter that no longer
# runs fails, and so does one whose results depend on luck. Then the pages are made of that, with the
# model in its page, and opened in Chromium, if there is one: a page that a reader could not use fails
# too. After `make book PROFILE=smoke` chapters and pages are there, and neither is made again. Two chapters run at a
# time, and two pages are open, where there are cores and memory for it.
test: $(INSTALLED) $(NODE) $(WEB) ## the unit tests, every chapter twice in the smoke profile, its pages in a browser (ARGS= for pytest)
	$(RUN) -m pytest -n 2 $(ARGS)
	$(RUN) book/tools/execute.py --profile smoke
	$(RUN) book/tools/validate.py --profile smoke
	$(RUN) book/tools/build.py --profile smoke
	$(RUN) book/tools/browse.py

serve: $(INSTALLED) ## show the built book on http://localhost:8000 (PORT=)
	@test -f _build/html/index.html || { echo "There is no book yet: run 'make book' first."; exit 2; }
	$(RUN) -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

weights: $(INSTALLED) ## retrain every released network and write it with its card into studiolike/weights (PROFILE=, ARGS=)
	$(VENV)/bin/studiolike train all --profile $(PROFILE) --release $(ARGS)

bench: $(INSTALLED) ## measure speed and memory of every stage on this machine (ARGS=)
	$(RUN) benchmarks/run.py $(ARGS)

# What a few tests ask of Node; where there is no npm, or no network, they are skipped.
$(NODE): tests/node/package-lock.json
	@if ! command -v npm >/dev/null; then echo "note: no npm here, so the tests that need Node are skipped"; \
	elif npm ci --prefix tests/node --no-audit --no-fund --ignore-scripts --silent; then touch $@; \
	else echo "note: npm cannot install tests/node, so the tests that need it are skipped"; fi

# An environment like Colab's takes gigabytes and minutes, so this is no part of `make test`, which only resolves it.
# uv fetches Python 3.13 if it may; where it may not, the Python at hand stands in, for which there is no tifffile that new.
COLAB := _build/colab
colab: $(BOOT)/bin/uv ## run every chapter's set-up and first cells among Colab's packages, in an environment of its own
	@mkdir -p _build && cp tests/colab/packages.txt $(COLAB).txt
	$(BOOT)/bin/uv venv --quiet --clear --seed --python 3.13 $(COLAB) || { echo "note: no Python 3.13 here"; \
		sed -i '/^tifffile/d' $(COLAB).txt && $(BOOT)/bin/uv venv --quiet --clear --seed --python $(BOOT)/bin/python $(COLAB); }
	$(BOOT)/bin/uv pip install --quiet --python $(COLAB) -c $(COLAB).txt torch torchvision numpy pillow scipy \
		scikit-image ipython ipywidgets ipykernel matplotlib diffusers accelerate huggingface_hub safetensors tqdm
	$(COLAB)/bin/python book/tools/colab.py

# The runtime of the page with the model; where there is no npm, or no network, the page says that it has none.
$(WEB): book/web/package-lock.json
	@if ! command -v npm >/dev/null; then echo "note: no npm here, so the book's page with the model has none"; \
	elif npm ci --prefix book/web --no-audit --no-fund --ignore-scripts --silent; then touch $@; \
	else echo "note: npm cannot install book/web, so the book's page with the model has none"; fi

lint: $(INSTALLED) ## check format and style with ruff, types with mypy, and that the notebooks agree with their text sources
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(RUN) book/tools/notebooks.py --check

notebooks: $(INSTALLED) ## write notebooks/*.ipynb (the Colab flavour) from notebooks/*.py
	$(RUN) book/tools/notebooks.py

# The lock comes from `uv pip compile`, not from `uv lock`: a uv.lock writes the address of the
# index it was made with into every line, and a lock must work with any mirror. --universal: one
# file for Python 3.11 to 3.13. What the extra `capture` brings, `dev` has too.
lock: $(BOOT)/bin/uv ## resolve pyproject.toml anew and write requirements.lock (ARGS="--upgrade" for newest versions)
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(BOOT)/bin/uv pip compile pyproject.toml --extra book --extra dev \
		--universal --python-version 3.11 --generate-hashes --no-emit-index-url $(ARGS) --quiet -o requirements.lock

setup: $(INSTALLED) ## only make or refresh .venv

clean: ## remove what was built (_build and caches); .venv stays, delete it by hand for a fresh one
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

# uv, in an environment of its own, so that it can rebuild .venv while it runs.
$(BOOT)/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "This needs Python 3.11 or newer; '$(PYTHON)' is older. Name another: make PYTHON=python3.12 ..."; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo "'$(PYTHON)' has no venv module. On Debian or Ubuntu: apt-get install python3-venv"; exit 2; }
	$(PYTHON) -m venv --clear $(BOOT)
	$(BOOT)/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5'

# The mark is written last: an installation that was cut off starts again.
# The project itself goes in as editable, without its dependencies (the lock has them all) and
# without a build environment of its own (its build tool is in the lock too).
# --compile-bytecode: half a minute once, and every start of the package is seconds shorter, also
# where Python may not write bytecode by itself.
$(INSTALLED): requirements.lock pyproject.toml | $(BOOT)/bin/uv
	@test -x $(RUN) && $(RUN) -c '' 2>/dev/null || $(BOOT)/bin/uv venv --quiet --clear --python $(BOOT)/bin/python $(VENV)
	$(BOOT)/bin/uv pip sync --python $(RUN) --compile-bytecode --require-hashes requirements.lock
	$(BOOT)/bin/uv pip install --quiet --python $(RUN) --no-deps --no-build-isolation --editable .
	@touch $@

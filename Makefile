# make demo       set everything up and serve the app at http://127.0.0.1:7860
# make test       the same set-up plus the test dependencies, then the fast tests
# make test-all   every test, the slow ones too
# make lint       ruff, check and format
# make zoo        train anew the lite models in checkpoints/, from nothing (hours); GRID=FOLDER names GRID's speaker 1
#                 SEED=n trains rows from scratch with that seed instead, into runs/zoo-seed-n
# make zoo-lr-asd trains a defended LR-ASD on from its published weights, three seeds
# make zoo-full   the same for the full-size ones (20 minutes on an H100, days on a CPU)
# make clean      remove the virtual environment and caches
#
# JOBS=n runs tests in n processes, 0 in one that a debugger can stop.
# PYTHON=python3.12 chooses the interpreter, ARGS="--port 8000" reaches app.py, T="tests/media/test_media.py -k webm" pytest.

VENV := .venv
BIN := $(VENV)/bin
T ?=
JOBS ?= 2

# The first interpreter that is in range. Ours to find: `python3` is 3.9 on some systems and 3.14 on others.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10 python; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)

GRID ?= ../shared/data/grid_s1
HEADS := runs/heads
MORE_HEADS := runs/heads1700
SOURCES = talkset:$(GRID),talkheads:$(HEADS)*1.5
MORE = talkset:$(GRID),talkheads:$(MORE_HEADS)*1.5
MAKE_HEADS = LP_NUM_THREADS=0 $(BIN)/python -m pushpull.data.talkheads make --seed 1 --size 160 --workers 2 \
	--share-in-sync .56 --share-dubbed .08 --share-shifted .04 --share-silence .02 --share-noise .04
LITE = Row A, trained on with sound that comes early or late as in other people's recordings, and with more talking heads; \
averaged with its former self after either. This card tells of the last stage, docs/training.md of all.
FULL = $(BIN)/python -m pushpull.training.zoo --config checkpoints/zoo-full.json --workers 4 --data "$(MORE)" $(ARGS)

.PHONY: demo test test-all lint zoo zoo-full zoo-lr-asd clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/python app.py $(ARGS)

test: $(VENV)/.test
	$(PYTEST) -m "not slow" $(T)

test-all: $(VENV)/.test
	$(PYTEST) $(T)

# Freed memory stays with the process, in huge pages: fewer page faults in every step.
zoo: export GLIBC_TUNABLES := glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=4000000000

ifdef SEED
zoo: $(VENV)/.test
	$(MAKE_HEADS) --clips 520 --out $(HEADS)
	$(BIN)/python -m pushpull.training.zoo --config checkpoints/zoo-scratch.json --seed $(SEED) --data "$(SOURCES)" \
		--out runs/zoo-seed-$(SEED) $(ARGS)
else
zoo: $(VENV)/.test
	$(MAKE_HEADS) --clips 520 --out $(HEADS)
	$(BIN)/python -m pushpull.training.zoo --config checkpoints/zoo.json --data "$(SOURCES)" \
		--out runs/zoo --install checkpoints $(ARGS)
	$(BIN)/python -m pushpull.train --config checkpoints/late.json --data "$(SOURCES)" --start checkpoints/talknet-lite-a.safetensors \
		--out runs/late
	$(BIN)/python -m pushpull.training.average talknet-lite-a runs/late/talknet-lite.safetensors --data "$(SOURCES)" \
		--out runs/late/talknet-lite-late --overwrite
	$(MAKE_HEADS) --clips 1700 --out $(MORE_HEADS)
	$(BIN)/python -m pushpull.train --config checkpoints/late.json --data "$(MORE)" --seed 5 --frames 450000 \
		--learning-rate 6e-4 --start runs/late/talknet-lite-late.safetensors --name talknet-lite-heads --out runs/lite-heads
	$(BIN)/python -m pushpull.training.average runs/late/talknet-lite-late.safetensors runs/lite-heads/talknet-lite-heads.safetensors \
		--weight 0.5 --data "$(MORE)" --title "For any recording" --summary "$(LITE)" --out checkpoints/talknet-lite --overwrite
endif

zoo-lr-asd: $(VENV)/.test
	$(BIN)/python -m pushpull.training.zoo --config checkpoints/zoo-lr-asd.json --data "talkset:$(GRID)" --out runs/zoo-lr-asd $(ARGS)

zoo-full: $(VENV)/.test
	$(MAKE_HEADS) --clips 1700 --out $(MORE_HEADS)
	$(FULL) --rows A,spec --out runs/full-first
	cp runs/full-first/A/talknet-full-a.safetensors runs/talknet-full-more.safetensors
	$(FULL) --rows nc --base-rate 5e-4 --substitute-frames 1500000 --out runs/full
	$(FULL) --rows A,B2,C4,D3,E2 --base runs/talknet-full-more.safetensors --more-frames 0 --out runs/full
	$(FULL) --rows A,E2 --base runs/talknet-full-more.safetensors --more-frames 0 --out runs/full --install checkpoints

lint: $(VENV)/.test
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "pushpull needs Python 3.10 to 3.13 and none is on PATH. Install one \
	(Debian: apt install python3 python3-venv), or name it: make demo PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) lacks the venv module. \
	Install it (Debian: apt install python3-venv) and run make again."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The stamps are newer than the requirements they satisfied, so a second run installs nothing.
# A file's tests stay in one process: they share what took long to make.
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadfile
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt --editable
WANTED := pyproject.toml requirements.txt constraints.txt

$(VENV)/.demo: $(WANTED) | $(BIN)/python
	@echo "Installing pushpull and what requirements.txt names into $(VENV) (once; torch is large) ..."
	$(INSTALL) .
	@touch $@

$(VENV)/.test: $(WANTED) | $(BIN)/python
	@echo "Installing pushpull[dev] into $(VENV) (once; torch is large) ..."
	$(INSTALL) '.[dev]'
	@touch $@ $(VENV)/.demo

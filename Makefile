# Needs a Python of 3.11 or newer and nothing else; everything goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
OUT := out/demo
TRAINED := out/demo-train

.PHONY: help setup demo demo-pages demo-train test check bench bench-gpu bench-truth bench-train browser lock clean

help:
	@echo "make demo    sets up and curates the demo clips and screens into $(OUT), $(OUT)-screens"
	@echo "make demo-train  trains a tiny Magma on the demo clips in minutes, into $(TRAINED)"
	@echo "make demo-pages  captures the demo's web pages anew, with the system's browser"
	@echo "make setup   makes .venv with the base install (somtom is .venv/bin/somtom)"
	@echo "make test    all tests; make check  linter, types and the fast tests"
	@echo "make bench   speed and memory; make lock  renews the lock files"
	@echo "make bench-gpu  SAM, YOLO and CoTracker against their libraries' own loops, on a GPU"
	@echo "make bench-truth  our rules and the published ones on clips whose truth is known"
	@echo "make bench-train  what training on marks and traces teaches, on generated scenes"

setup: .venv/base
.venv/base: requirements.lock pyproject.toml setup.py
	$(call install,requirements.lock)
	@touch $@

.venv/dev: requirements-dev.lock pyproject.toml setup.py
	$(call install,requirements-dev.lock)
	@touch $@ .venv/base

# lock files hold all that there is: what packages ask for is not looked at. uv takes seconds where pip takes minutes;
# pip is there if uv can't be had
define install
test -x $(BIN)/python || $(PYTHON) -m venv .venv
$(BIN)/python -m pip install -q --disable-pip-version-check uv || true
if test -x $(BIN)/uv; then $(BIN)/uv pip install -q --no-deps --compile-bytecode --python $(BIN)/python -r $(1); \
	else $(BIN)/python -m pip install -q --no-deps -r $(1); fi
$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
endef

demo: setup
	rm -rf $(OUT)
	$(BIN)/somtom run demo/demo.yaml --out $(OUT)
	$(BIN)/somtom lint $(OUT)
	$(BIN)/somtom preview $(OUT) --png $(OUT)/contact_sheet.png
	rm -rf $(OUT)-screens
	$(BIN)/somtom run demo/screens.yaml --out $(OUT)-screens
	$(BIN)/somtom lint $(OUT)-screens
	$(BIN)/somtom preview $(OUT)-screens --png $(OUT)-screens/contact_sheet.png
	@echo
	@echo "shards          $(OUT)/shards, $(OUT)-screens/shards"
	@echo "card            $(OUT)/README.md"
	@echo "contact sheets  $(OUT)/contact_sheet.png, $(OUT)-screens/contact_sheet.png"

demo-train: .venv/dev
	rm -rf $(TRAINED)
	$(BIN)/somtom run demo/train.yaml --out $(TRAINED)/data
	$(BIN)/somtom train tiny data.mixture.0.path=$(TRAINED)/data epochs=60 model.tile_px=128 optimiser.lr=2e-3 \
		--out $(TRAINED)/run
	$(BIN)/python -m demo.train_tiny $(TRAINED)/data $(TRAINED)/run --out $(TRAINED)

demo-pages: .venv/dev
	$(BIN)/python -m demo.capture_pages

# a thread for each of the two workers: more would only take turns
check: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m "not slow"

test: browser check
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m slow

# some slow tests open pages in a browser, and say so where they skip for want of one
browser:
	@for name in chromium chromium-browser google-chrome microsoft-edge; do \
		command -v $$name >/dev/null && exit 0; done; \
	[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
		apt-get install -qq -y chromium >/dev/null 2>&1 && exit 0; \
	echo "no browser: tests of captures will be skipped; install chromium for them"

bench: .venv/dev
	$(BIN)/python -m bench

bench-gpu: .venv/dev
	$(BIN)/python -m bench gpu

bench-truth: .venv/dev
	$(BIN)/python -m bench.truth

bench-train: .venv/dev
	$(BIN)/python -m bench.learning

lock:
	$(BIN)/uv pip compile -q --universal --no-emit-index-url pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --no-emit-index-url --extra dev --extra train -c requirements.lock pyproject.toml -o requirements-dev.lock

clean:
	rm -rf .venv out build dist *.egg-info

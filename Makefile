# Two commands on a fresh machine: `make demo` and `make test`. While at work: `make quick`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt
# two processes, a thread each
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup
OUT := out
PEERS := $(OUT)/venv-peers
# a folder of .osm.pbf extracts; results in docs/benchmarks.md name those used
DATA ?= ../shared/data/osm
# places that the shipped checkpoint was not trained on: docs/model-card.md judges it there
HELD_OUT ?= helsinki lauf us-baltimore-harbor monaco garmisch duitama us-honolulu copenhagen maldives us-yuma zuerich
# a folder of places, each with tiles z/x/y.png and buildings.geojson
IMAGERY ?= ../shared/data/imagery

.PHONY: demo test test-web check quick fuzz lint format clean checkpoint checkpoint-tiles
.PHONY: bench-search bench-serve bench-build bench-embed bench-query bench-tokens bench-imagery bench-seen bench-ablate bench-knn bench-quality bench-peers bench-labels bench-guess bench-update

# pip as of 25.1 installs dependency groups
$(VENV)/pip-ready:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) 'pip>=25.1'
	touch $@

# what a user installs, and the sample map
$(VENV)/demo-ready: $(VENV)/pip-ready pyproject.toml constraints.txt
	$(PIP) --editable '.[sample]'
	touch $@

# everything that tests and linters need, torch's CPU build among it where one is offered
$(VENV)/dev-ready: $(VENV)/pip-ready pyproject.toml constraints.txt
	$(PIP) --editable '.[all]' --group dev
	touch $@

demo: $(VENV)/demo-ready  ## build an index of central Helsinki, ask it, export it
	@BIN=$(BIN) OUT=$(OUT) sh scripts/demo.sh

test: lint  ## everything that must hold, with the lines that tests run
	$(PYTEST) --cov $(ARGS)

check: test

quick: $(VENV)/dev-ready  ## the tests that take no time: under two minutes
	$(PYTEST) -m 'not slow and not web' $(ARGS)

test-web: $(VENV)/dev-ready  ## the page in a browser: the system's chromium, or GEOINDEX_CHROMIUM
	$(BIN)/python -m pytest -m web $(ARGS)

fuzz: $(VENV)/dev-ready  ## the property tests with new examples, many of them
	$(PYTEST) --hypothesis-profile fuzz -m hypothesis $(ARGS)

lint: $(VENV)/dev-ready  ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev-ready  ## mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

checkpoint: $(VENV)/dev-ready  ## train the shipped checkpoint anew, into encoder/data/relational; an hour of one core
	$(BIN)/python scripts/train_relational.py places $(OUT)/relational-places $(DATA)/*.osm.pbf $(DATA)-more/*
	$(BIN)/python scripts/train_relational.py train $(OUT)/relational-places $(OUT)/relational --steps 18000 --without $(HELD_OUT)
	$(BIN)/python scripts/train_relational.py checkpoint $(OUT)/relational-places $(OUT)/relational encoder/data/relational --without $(HELD_OUT)

checkpoint-tiles: $(VENV)/dev-ready  ## train the checkpoint before it anew, into encoder/data/geojepa
	$(BIN)/python -m scripts.image_places $(IMAGERY) -o $(OUT)/places
	$(BIN)/geoindex train $(DATA)/*.osm.pbf $(OUT)/places/*.geoindex -o $(OUT)/geojepa --config scripts/geojepa.toml $(ARGS)
	install -m 644 $(OUT)/geojepa/best/config.json $(OUT)/geojepa/best/model.safetensors encoder/data/geojepa/

bench-build: $(VENV)/dev-ready  ## docs/benchmarks.md, "Build"; QUACKOSM=PATH of a Python that has it
	$(BIN)/python bench/build.py $(if $(QUACKOSM),--quackosm-python $(QUACKOSM)) $(ARGS)

# places at several dates, and the changes between
PAIRS ?= ../shared/data/pairs

bench-update: $(VENV)/dev-ready  ## docs/updating.md; ARGS='--encoder tagpool'
	OMP_NUM_THREADS=1 $(BIN)/python bench/update.py --pairs $(PAIRS) $(ARGS)

bench-embed: $(VENV)/dev-ready  ## docs/benchmarks.md, "Embedding"
	$(BIN)/python bench/embed.py $(DATA)/*.osm.pbf

bench-query: $(VENV)/dev-ready  ## docs/benchmarks.md, "Query"
	$(BIN)/python bench/query.py $(ARGS)

bench-tokens: $(VENV)/dev-ready  ## docs/benchmarks.md, "Tokens"
	mkdir -p $(OUT)
	$(BIN)/python bench/geometry.py $(DATA)/liechtenstein_2022-12.osm.pbf
	HF_HUB_OFFLINE=1 $(BIN)/python scripts/distil_tags.py --hold-out -o $(OUT)/held.safetensors $(DATA)/*.osm.pbf
	HF_HUB_OFFLINE=1 $(BIN)/python bench/tags.py --table $(OUT)/held.safetensors $(DATA)/*.osm.pbf

bench-knn: $(VENV)/dev-ready  ## docs/benchmarks.md, "k-NN over folds"
	$(BIN)/python bench/knn.py $(ARGS)

# the peers that search is measured beside; PEERS_SKIP='usearch duckdb' leaves some out
bench-search: $(VENV)/dev-ready  ## docs/benchmarks.md, "Search"; draws docs/search-growth.svg
	$(PIP) --editable '.[faiss]' --group search-peers
	mkdir -p $(OUT)
	$(BIN)/python bench/search.py --folder $(OUT)/search --skip $(PEERS_SKIP) $(ARGS)

# the published objective at the size and length of ours, which stands beside it in the tables
$(OUT)/ema/best/model.safetensors: scripts/ema.toml
	$(BIN)/geoindex train $(DATA)/*.osm.pbf -o $(OUT)/ema --config scripts/ema.toml

bench-quality: $(VENV)/dev-ready $(OUT)/ema/best/model.safetensors  ## docs/benchmarks.md, "Quality"; hours
	OMP_NUM_THREADS=1 $(BIN)/python bench/quality.py --data $(DATA) --encoders untrained ema=$(OUT)/ema/best geojepa $(ARGS)

bench-labels: $(VENV)/dev-ready  ## labels that no map holds, from exported cells; docs/evaluation.md
	OMP_NUM_THREADS=1 $(BIN)/python bench/outside_labels.py --work $(OUT)/outside-labels --data $(DATA)/.. $(ARGS)

# indexes that `bench-quality` builds
bench-guess: $(VENV)/dev-ready  ## guesses of hidden kinds; docs/evaluation.md; ARGS='--methods ENCODER ...'
	OMP_NUM_THREADS=1 $(BIN)/python bench/guess.py $(OUT)/quality/*.geoindex $(ARGS)

# srai wants another polars than the tests, so it has an environment of its own
$(PEERS)/ready: pyproject.toml
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(PEERS)/bin/python -m pip install --quiet --editable '.[evaluate]' --group peers
	touch $@

bench-peers: $(PEERS)/ready $(OUT)/ema/best/model.safetensors  ## docs/benchmarks.md, "Peers"
	$(PEERS)/bin/python bench/peers.py --data $(DATA) --encoders ema=$(OUT)/ema/best $(ARGS)

bench-serve: $(VENV)/dev-ready  ## docs/benchmarks.md, "Serve"
	$(BIN)/python -m bench.serve --data $(DATA) $(ARGS)

bench-imagery: $(VENV)/dev-ready  ## docs/benchmarks.md, "Imagery"; tiles and buildings in IMAGERY
	$(BIN)/python -m bench.imagery $(IMAGERY) $(ARGS)
	$(BIN)/python -m bench.imagery_speed $(IMAGERY)
	$(BIN)/python bench/pictures.py $(IMAGERY)

bench-ablate: $(VENV)/dev-ready  ## docs/benchmarks.md, "Ablations"; hours; ARGS='--only VARIANT ...'
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.ablate --data $(DATA) $(ARGS)

# maps without imagery that train along in `bench-seen`
SEEN_WITH ?= $(DATA)/monaco_2023-12.osm.pbf $(DATA)/neuss_2026-03.osm.pbf

bench-seen: $(VENV)/dev-ready  ## docs/benchmarks.md, "Seen from above"; four trainings
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.seen $(IMAGERY) $(SEEN_WITH) $(ARGS)

clean:
	rm -rf $(OUT) dist build

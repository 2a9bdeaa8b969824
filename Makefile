# These do everything on a machine that has Python, git and make:
#   make demo   set up and run the main job
#   make test   set up and pass the tests
#   make docs   set up and serve the guide on http://127.0.0.1:8000
# make demo DATA=my-chat.txt runs it on your own text; ROUNDS=, DEVICES=, FULL=1, BROKER=mosquitto and JSON=1 do what they
# say, and DIR=runs/... goes on where a stopped demo was.

PYTHON ?= python3
BIN := .venv/bin
# tflite-runtime 2.14 has wheels for Python up to 3.11 only and wants NumPy 1, so it has an environment of its own.
OLD_PYTHON ?= $(shell for p in python3.11 python3.10; do if $$p -c 'import venv' 2>/dev/null; then command -v $$p; break; fi; done)

DEMO_OPTIONS := $(strip $(if $(DATA),--data "$(DATA)") $(if $(ROUNDS),--rounds $(ROUNDS)) \
  $(if $(DEVICES),--devices $(DEVICES)) $(if $(BROKER),--broker "$(BROKER)") $(if $(FULL),--full) \
  $(if $(DIR),--dir "$(DIR)") $(if $(JSON),--json))

.DEFAULT_GOAL := help
.PHONY: demo docs test lint check-types check-imports pytest pytest-tflite android fixtures clean help

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -6

demo: .venv/.simulate
	@EDGEWISE_STARTED_BY=make $(BIN)/edgewise demo $(DEMO_OPTIONS)

test: lint check-types check-imports pytest-tflite android pytest

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check-types: .venv/.dev
	$(BIN)/mypy

check-imports: .venv/.dev
	$(BIN)/lint-imports

pytest: .venv/.dev fixtures
	$(BIN)/pytest -n 2 --dist loadfile

# The device's side again, on the other runtime: same tests, same model files.
pytest-tflite: fixtures
ifeq ($(OLD_PYTHON),)
	@echo "tflite-runtime needs Python 3.10 or 3.11, and none is here: its tests are left out; ai-edge-litert's run."
else
	$(MAKE) .venv-tflite/.ready
	.venv-tflite/bin/python -m pytest tests/wire tests/edge --ignore-glob='tests/wire/test_transport_*'
endif

# The Android client: built with Maven Central alone, tested on this machine's JVM. The mixed rounds in pytest use it.
android: fixtures
ifneq ($(and $(shell command -v javac),$(shell command -v mvn)),)
	cd android_stub && mvn -q -B verify
else
	@echo "The Android client needs a JDK 17 and Maven, and they are not here: its tests are left out"
	@echo "(apt install openjdk-17-jdk-headless maven)."
endif

fixtures: .venv/.dev
	$(BIN)/python -m edgewise_models.fixtures build/fixtures

# The guide, served until Ctrl-C. Material for MkDocs says in each run that it will end in 2027; said once is enough.
docs: .venv/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

.venv/bin/python:
	@echo "Making .venv …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --upgrade pip

.venv/.simulate: pyproject.toml | .venv/bin/python
	@echo "Installing edgewise and TensorFlow into .venv: a few minutes the first time …"
	@$(BIN)/python -m pip install --quiet --editable '.[simulate]'
	@touch $@

.venv/.dev: pyproject.toml | .venv/bin/python
	@echo "Installing what tests and the guide need into .venv: a few minutes the first time …"
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ .venv/.simulate

.venv-tflite/.ready: pyproject.toml
	$(OLD_PYTHON) -m venv .venv-tflite
	.venv-tflite/bin/python -m pip install --quiet --upgrade pip
	.venv-tflite/bin/python -m pip install --quiet 'tflite-runtime==2.14.0' 'numpy<2' 'cryptography>=42' pytest pytest-timeout hypothesis
	.venv-tflite/bin/python -m pip install --quiet --editable .
	touch $@

clean:
	rm -rf .venv .venv-tflite build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

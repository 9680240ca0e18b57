# Two commands do everything:
#   make demo   install into .venv, segment a real brain MR, show where the results are
#   make test   install into .venv, then ruff, mypy and all tests
#
# Settings, e.g. `make test PYTHON=python3.12`:
#   PYTHON      the interpreter the virtual environment is made with (3.10 to 3.13); to change it, `make clean` first
#   VENV        the virtual environment's folder
#   PIP_FLAGS   further options for pip install
#   PYTEST      further options for pytest, e.g. PYTEST="-m 'not slow'"

PYTHON ?= python3
VENV ?= .venv
PIP_FLAGS ?=
PYTEST ?=

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet $(PIP_FLAGS) --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test lint cmake-lists benchmark clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.installed-demo
	$(BIN)/python Testing/system_libraries.py opengl
	$(BIN)/python Testing/Demo/demo.py --output demo

test: export QT_QPA_PLATFORM ?= offscreen
test: lint
	$(BIN)/python Testing/system_libraries.py opengl qt
	$(BIN)/python -m pytest $(PYTEST)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Rewrites the modules' CMakeLists.txt after files were added, moved or deleted.
cmake-lists:
	$(PYTHON) Testing/Static/cmake_lists.py

benchmark: $(VENV)/.installed-benchmark
	$(BIN)/python Testing/Benchmarks/engine.py

clean:
	rm -rf $(VENV) demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 13) else f"MedAI needs Python 3.10 to 3.13; $(PYTHON) is {v[0]}.{v[1]}. Name another one: make PYTHON=python3.12")'
	@$(PYTHON) -m venv --clear $(VENV) || { echo 'No virtual environment could be made. On Debian and Ubuntu: apt install python3-venv'; exit 1; }
	@touch $@

$(VENV)/.installed-demo: $(VENV)/.made pyproject.toml constraints.txt
	@echo 'Installing MedAI and its demo into $(VENV); the first time this takes some minutes.'
	@$(INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/.installed-test: $(VENV)/.made pyproject.toml constraints.txt
	@echo 'Installing MedAI, its demo and its tests into $(VENV); the first time this takes some minutes.'
	@$(INSTALL) --editable '.[demo,test]'
	@touch $@ $(VENV)/.installed-demo

$(VENV)/.installed-benchmark: $(VENV)/.made pyproject.toml constraints.txt
	@echo 'Installing MedAI and the peers it is measured against into $(VENV).'
	@$(INSTALL) --editable '.[benchmark]'
	@touch $@

# Each target sets up .venv by itself: nothing but Python 3.11 to 3.13 is needed.
PYTHON ?= python3
RUN := .venv/bin/python -m

.PHONY: report test test-all fuzz lint bench reference notebooks lock clean

report: .venv/.installed  ## run what is missing (3 seeds each) and write reports/latest
	$(RUN) experiments report

test: .venv/.installed-dev  ## all tests
	$(RUN) pytest -n auto --dist loadfile

test-all: .venv/.installed-dev .venv/.installed-pytorch  ## all tests, where one that needs what is not installed fails
	ALL_OPTIONAL=1 $(RUN) pytest -n auto --dist loadfile

fuzz: .venv/.installed-dev  ## tens of thousands of damaged files for every reader, other ones each time
	HYPOTHESIS_PROFILE=fuzz $(RUN) pytest -n auto tests/whole/test_fuzz.py

lint: .venv/.installed-dev  ## format, lint, types
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy

bench: .venv/.installed  ## speed against the notebooks' own way (and PyTorch, if installed) into benchmarks/README.md
	$(RUN) benchmarks

reference: .venv/.installed-dev .venv/.installed-pytorch  ## what has changed of reports/reference: 20 seeds and all ablations; and the tables in README.md
	$(RUN) experiments report --reference

NOTEBOOKS := $(patsubst experiments/%.py,reports/reference/notebooks/%.ipynb,$(filter-out experiments/__%,$(wildcard experiments/*.py)))

notebooks: $(NOTEBOOKS)  ## what has changed of reports/reference/notebooks: the experiments as executed notebooks

reports/reference/notebooks/%.ipynb: experiments/%.py common/notebook/convert.py | .venv/.installed-dev
	mkdir -p $(@D)
	$(RUN) experiments notebook $* --execute --out $@

lock: .venv/.installed-dev  ## every transitive version, with hashes, for all supported Pythons and systems
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
		requirements.txt -o requirements.lock
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
		-c requirements.lock requirements-dev.txt -o requirements-dev.lock

clean:  ## remove the environment and this machine's runs and reports
	rm -rf .venv reports/runs reports/latest

.venv/bin/python:
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 13), "Python 3.11 to 3.13 is needed"'
	$(PYTHON) -m venv .venv

# The stamp is written last, so that an installation which broke off is taken up again.
.venv/.installed: requirements.lock pyproject.toml | .venv/bin/python
	$(RUN) pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(RUN) pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.venv/.installed-dev: requirements-dev.lock .venv/.installed
	$(RUN) pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@

# The ablation in the source's own framework. PyTorch is large and optional, so only the reference and CI ask for it. It is
# not in a lock file, since its builds with and without CUDA have the same version, and each index has its own.
.venv/.installed-pytorch: .venv/.installed
	$(RUN) pip install --quiet --disable-pip-version-check torch==2.13.0
	touch $@

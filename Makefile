# Tasks of the template. `make` alone lists them; the tasks of the service are in template/Makefile.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The first Python that is new enough. To use another one: make new PYTHON=/path/to/python3
PYTHON ?= $(shell unset PYTHONHOME PYTHONPATH; for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$python" && break; done)
BIN := .venv/bin
# Installs write only to .venv, independently of the shell's variables. Of pip's variables only those for the sources of packages
# and the network are passed on, and the same for uv and Poetry, which `make lock` runs (template/Makefile has more of both).
PASSED_ON := PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_NO_INDEX PIP_KEYRING_PROVIDER PIP_TRUSTED_HOST PIP_CERT \
	PIP_CLIENT_CERT PIP_PROXY PIP_TIMEOUT PIP_DEFAULT_TIMEOUT PIP_RETRIES PIP_CONFIG_FILE \
	UV_INDEX% UV_DEFAULT_INDEX UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_NO_INDEX UV_KEYRING_PROVIDER UV_CREDENTIALS_DIR UV_NATIVE_TLS \
	UV_SYSTEM_CERTS UV_INSECURE_HOST UV_TRUSTED_HOST UV_HTTP% UV_SSL% UV_REQUEST_TIMEOUT UV_OFFLINE UV_CONCURRENT_% UV_CACHE_DIR \
	UV_NO_CACHE UV_LINK_MODE UV_CONFIG_FILE UV_NO_CONFIG UV_NETRC
unexport $(filter-out $(PASSED_ON),$(filter UV_% PIP_% POETRY_%,$(.VARIABLES)))
unexport VIRTUAL_ENV CONDA_PREFIX CONDA_DEFAULT_ENV PYTHONHOME PYTHONPATH PYTHONSAFEPATH PYTHONOPTIMIZE CDPATH
# One environment with two locks: the packages of `make new`, and the tools of this repository, which include them.
COPIER := .venv/copier.installed
TOOLS := .venv/tools.installed
# Without the work that Copier repeats for every file; a wrong answer prints one line.
RUN_COPIER := $(BIN)/python -m tools.run_copier
ONCE_MORE := $(BIN)/python -m tools.once_more
MAKE_NEW := PYTHONPATH=hooks $(BIN)/python -m tools.make_new

TEMPLATED := $(shell find template -name .venv -prune -o -name '*.jinja' ! -name '{*' -print)
RENDERED := $(TEMPLATED:.jinja=)
IN_PLACE := .cache/in-place.rendered
MIN_AGE := 7 days
# A new version is locked only when it is a week old; versions that are locked already may stay.
COMPILE := "$(CURDIR)/$(BIN)/uv" pip compile --quiet --no-config --universal --generate-hashes --no-annotate --no-strip-extras --python-version 3.11 --exclude-newer "$(MIN_AGE)"
PIN := $(COMPILE) --custom-compile-command "make lock"
LOCK := $(PIN) pyproject.toml
# Those that the Makefile of the service names.
extras = $(if $(filter template,$(1)),$(addprefix --extra ,$(shell sed -n 's/^STORE := //p' template/Makefile)))
may-stay = $(if $(UPGRADE),,$(shell sed -n 's/^\([a-z0-9.-]*\).*==.*/--exclude-newer-package \1=false/p' $(1)))

##@ Use it

export DEST
.PHONY: new
new: ## Generate a service (DEST=../my-service ARGS="--defaults -d ci=gitlab")
	@dest=$$DEST; \
	if [ -z "$$dest" ] && [ -t 0 ]; then printf 'Directory of the new service? [../ai-service] '; read -r dest; dest=$${dest:-../ai-service}; fi; \
	case $$dest in "~" | "~/"*) dest=$$HOME$${dest#?} ;; esac; \
	if [ -z "$$dest" ]; then echo "make new: DEST is missing, for example: make new DEST=../ai-service" >&2; exit 2; fi; \
	if [ -e "$$dest" ] && { [ ! -d "$$dest" ] || [ -n "$$(ls -A "$$dest")" ]; }; then echo "make new: $$dest exists and is not empty; choose another DEST" >&2; exit 2; fi; \
	$(MAKE) --silent $(COPIER) || exit; \
	$(MAKE_NEW) check $(ARGS) || exit; \
	$(RUN_COPIER) copy $(if $(filter -q --quiet,$(ARGS)),,--quiet) --vcs-ref HEAD $(ARGS) "$(CURDIR)" "$$dest" || exit; \
	$(MAKE_NEW) finish "$$dest" $(ARGS)

##@ Keep it

.PHONY: test
test: $(TOOLS) in-place ## Run all tests (ARGS="-k update": only some); without Docker, those with containers are skipped
	@$(if $(ARGS),,$(ONCE_MORE) template $(MAKE) -C template test NATIVE=1)
	@# The slow ones wait for most of their time, so more of them than there are processors run at once.
	@$(if $(ARGS),,$(ONCE_MORE) template $(MAKE) -C template test NATIVE=1 ARGS="-m slow --numprocesses=4")
	@$(if $(ARGS),,$(ONCE_MORE) .) $(BIN)/python -m pytest $(ARGS)

.PHONY: proof
proof: $(TOOLS) ## Run only the end-to-end tests over every answer and pair of answers
	@$(BIN)/python -m pytest tests/test_every_answer.py $(ARGS)

.PHONY: test-fast
test-fast: $(TOOLS) ## Run only the fast tests (no installs, no servers); about a minute
	@$(BIN)/python -m pytest -m "not slow and not docker" $(ARGS)

.PHONY: lint
lint: $(TOOLS) in-place ## Check hooks, tests and workflows here, then the service in place
	$(BIN)/ruff check
	$(BIN)/black --check .
	$(BIN)/mypy
	$(BIN)/typos
	$(BIN)/python -m tools.words .
	$(BIN)/pre-commit validate-config .pre-commit-config.yaml template/.pre-commit-config.yaml
	$(BIN)/zizmor --offline --quiet --no-progress .github template/.github
	$(BIN)/hadolint template/Dockerfile
	git ls-files -z '*.sh' .ci/run | xargs -0 $(BIN)/shellcheck
	$(MAKE) -C template lint NATIVE=1
	@# A second type checker, which many editors use too.
	$(BIN)/basedpyright --project template/pyproject.toml --warnings

.PHONY: format
format: $(TOOLS) ## Format hooks and tests, and fix what can be fixed
	$(BIN)/ruff check --fix
	$(BIN)/black --quiet .

.PHONY: in-place
in-place: $(IN_PLACE) ## Render the templated files next to their sources, so that template/ is a complete service

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
lock: $(TOOLS) in-place ## Write all locks again, of the tools and the service (UPGRADE=--upgrade: with new versions)
	$(call lock-requirements,.)
	$(call lock-requirements,template)
	@echo template/requirements-notebook.txt
	@echo 'jupyterlab>=4.5' | $(PIN) $(call may-stay,template/requirements-notebook.txt) --output-file template/requirements-notebook.txt --constraint template/requirements-dev.txt $(UPGRADE) -
	@echo template/requirements-poetry.txt
	@echo 'poetry>=2.5' | $(COMPILE) $(call may-stay,template/requirements-poetry.txt) --custom-compile-command "make upgrade" --output-file template/requirements-poetry.txt $(UPGRADE) -
	@echo template/poetry.lock
	@rm -rf .cache/poetry && $(RUN_COPIER) copy --quiet --defaults --vcs-ref HEAD --data lock=poetry . .cache/poetry
	@PYTHONPATH=. POETRY_VIRTUALENVS_CREATE=false $(BIN)/python -m tools.simple_poetry --at template/requirements-dev.txt lock --regenerate --quiet --directory .cache/poetry
	@sed -E -f template/scripts/locks/poetry.sed .cache/poetry/poetry.lock >template/poetry.lock && rm -rf .cache/poetry
	@# A project with the name of one of its own dependencies could not be installed.
	@sed -n 's/^\([a-z0-9-]*\)\(\[.*\]\)*==.*/\1/p' template/requirements-dev.txt | cat hooks/reserved_names.txt - \
		| awk '!seen[$$0]++' >.cache/reserved_names.txt && cp .cache/reserved_names.txt hooks/reserved_names.txt

.PHONY: key-rules
key-rules: $(TOOLS) ## Write the rules for keys of the service from the locked catalog (ARGS=--check: only compare)
	@$(BIN)/python -m tools.key_rules $(ARGS)

define lock-requirements
	@echo $(1)/requirements.txt $(1)/requirements-dev.txt
	@cd $(1) && $(LOCK) $(call extras,$(1)) $(call may-stay,$(1)/requirements-dev.txt) --output-file requirements.txt $(UPGRADE)
	@cd $(1) && $(LOCK) $(call extras,$(1)) $(call may-stay,$(1)/requirements-dev.txt) --output-file requirements-dev.txt --group dev --constraint requirements.txt $(UPGRADE)
endef

.PHONY: figures
figures: $(TOOLS) ## Measure and print builds, image size, start, reload and stop (needs Docker)
	@$(BIN)/python -m tests.figures

.PHONY: generation
generation: $(TOOLS) ## Measure the template's share of a generation beside the engines' start
	@$(BIN)/python -m tests.generation

.PHONY: clean
clean: ## Remove the files that the other targets made here
	@rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache
	@rm -f $(RENDERED)
	@find hooks tests -name __pycache__ -prune -exec rm -rf {} +
	@if [ -d template/.venv ]; then $(MAKE) -C template clean NATIVE=1; fi

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n\033[1m%s\033[0m\n", substr($$0, 5) } /^[a-z-]+:.*## / { printf "  \033[36m%-10s\033[0m", $$1; column = 12; count = split($$2, words, " "); \
		for (i = 1; i <= count; i++) { if (column + length(words[i]) > 79) { printf "\n%12s", ""; column = 12 } printf " %s", words[i]; column += length(words[i]) + 1 } print "" }' $(firstword $(MAKEFILE_LIST))

# Runs once, and again if the lock changes. It writes nothing outside this directory.
define install
	@if [ -z "$(PYTHON)" ]; then printf '%s\n' "make: Python 3.11 or newer is needed: install it, or give its path:" "make PYTHON=/path/to/python3" >&2; exit 1; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "make: $(PYTHON) is not Python 3.11 or newer" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { printf '%s\n' "make: $(PYTHON) cannot make virtual environments." "On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@git --version >/dev/null 2>&1 || { echo "make: Git is needed: install it" >&2; exit 1; }
	@echo "Installing $(1) into .venv, once"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear .venv
	@rm -f $@
	@# On the command line, because these override pip.conf, which may contain `user = true` or another target.
	@PIP_CACHE_DIR="$$PWD/.cache/pip" PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
		sh template/scripts/step.sh $(BIN)/python -m pip install --require-hashes \
		--no-user --target= --prefix="$$PWD/.venv" --root=/ --requirement $(1)
	@touch $@
endef

$(COPIER): requirements.txt
	$(call install,requirements.txt)

$(TOOLS): requirements-dev.txt
	$(call install,requirements-dev.txt)
	@touch $(COPIER)

# Create an environment again if its Python no longer exists.
ifneq ($(wildcard .venv),)
ifneq ($(shell $(BIN)/python -c 'print(1)' 2>/dev/null),1)
.PHONY: $(COPIER) $(TOOLS)
endif
endif

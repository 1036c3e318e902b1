# LetServer. Every target builds the environment it needs first (.venv; LETSERVER_VENV moves it).
# Recipes use exec: one process less between a terminal and what it runs, and signals arrive once.

PYTHON ?= python3
ifneq ($(filter command\ line environment,$(origin PYTHON)),)
# Somebody asked for this interpreter by name: no other is looked for.
EXACTLY := --exactly-this-python
endif
ENVIRONMENT = $(PYTHON) -I letserver/bootstrap.py $(EXACTLY)

PRODUCT = $(wildcard kernel accounts agents notifications jobs chat letserver skadi devtools)
# Tools that only load the settings need some key; nothing is signed with this one.
CHECK_SETTINGS = LETSERVER_SECRET_KEY=only-for-linters-and-type-checks-never-for-a-server

LOCK = $(ENVIRONMENT) base,dev -m uv pip compile --quiet --generate-hashes --universal --python-version 3.11 \
  --no-emit-index-url --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help up test test-long faults simulator bench trace lines lint format types audit lock messages hooks clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## Start everything on this machine: Redis, web, worker, beat and a demo agent
	@exec $(ENVIRONMENT) base -m letserver.up

test: ## Run the tests, on SQLite and on a private MariaDB
	@exec $(ENVIRONMENT) base,dev -m tests.lanes

test-long: ## Run the long tests, on both databases
	@exec $(ENVIRONMENT) base,dev -m tests.lanes --long

faults: ## Hurt the running product in every way of the table and look for broken promises
	@exec $(ENVIRONMENT) base,dev -m tests.faults

simulator: ## Play WeChat and the other platforms on this machine, with a chat page (SIMULATOR="--help")
	@exec $(ENVIRONMENT) base,dev -m devtools.simulator --port 9797 \
	  --wechat-callback http://127.0.0.1:$(or $(LETSERVER_PORT),8000)/chat/wechat $(SIMULATOR)

bench: ## Measure this machine: each figure beside a yardstick (BENCH="--seconds 5 --only callbacks")
	@exec $(ENVIRONMENT) base,dev -m benchmarks $(BENCH)

trace: ## Count the product files that each of six calls crosses (TRACE="--files")
	@exec $(ENVIRONMENT) base,dev -m devtools.trace $(TRACE)

lines: ## Count the lines of the product, per room
	@exec $(ENVIRONMENT) base,dev -m devtools.lines

lint: ## Check style, English, migrations and production settings
	@$(ENVIRONMENT) base,dev -m ruff check .
	@$(ENVIRONMENT) base,dev -m ruff format --check .
	@$(ENVIRONMENT) base,dev -m devtools.english
	@mkdir -p build/lint
	@$(CHECK_SETTINGS) LETSERVER_DATA=build/lint $(ENVIRONMENT) base,dev manage.py makemigrations --check --dry-run
	@$(CHECK_SETTINGS) LETSERVER_DATA=build/lint LETSERVER_PUBLIC_URL=https://letserver.example \
	  $(ENVIRONMENT) base,dev manage.py check --deploy --fail-level WARNING

format: ## Rewrite the sources as the formatter wants them
	@$(ENVIRONMENT) base,dev -m ruff check --fix --quiet .
	@exec $(ENVIRONMENT) base,dev -m ruff format .

types: ## Check types, strictly
	@$(CHECK_SETTINGS) exec $(ENVIRONMENT) base,dev -m mypy $(PRODUCT)

audit: ## Check pinned packages against known advisories, and list their licences
	@exec $(ENVIRONMENT) base,dev -m devtools.audit

lock: ## Pin every requirement again, with hashes
	@$(LOCK) -o requirements.txt requirements.in
	@$(LOCK) -o requirements-dev.txt requirements-dev.in
	@$(LOCK) -o requirements-mysql.txt requirements-mysql.in

messages: ## Collect and compile the translations
	@$(CHECK_SETTINGS) $(ENVIRONMENT) base,dev manage.py makemessages --all --no-obsolete --no-location \
	  --ignore .venv --ignore data --ignore build
	@$(CHECK_SETTINGS) exec $(ENVIRONMENT) base,dev manage.py compilemessages --ignore .venv

hooks: ## Let git check the subject of every commit in this checkout
	@git config core.hooksPath devtools/hooks

clean: ## Remove the environment and every cache; the data folder stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

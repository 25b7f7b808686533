# Every target does its own set-up on a machine with Rust and Go.

.PHONY: help bench demo faults faults-all servers kills test up down generate lint deny clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Start a Kubernetes API, install Tenantry and take three tenants to Live (NODE=real: in containers)
	@scripts/demo

bench: ## Measure what tenants cost, beside the raw limit (QUICK=1: a short run)
	@scripts/bench

kills: ## Kill whoever closes the month of a thousand accounts fifty times, and prove the ledger (long)
	cargo test --workspace --test store -- --ignored --nocapture fifty

test: ## Run everything: formatting, lints, licences, unit and end-to-end tests
	@scripts/test

faults: ## Break things at every write of a tenant's beginning and end, and judge what comes of it
	@scripts/faults gate

faults-all: ## Break things in every way at every request (hours)
	@scripts/faults all

servers: ## Give two thousand tenants their share of two hundred servers, and count what is asked at rest (minutes)
	@scripts/servers

up: ## Start the demo and leave it running to play with
	@scripts/demo --keep

down: ## Stop what `make up` left running
	@scripts/demo --stop

generate: ## Write generated files again: CRDs, reference pages, packed examples
	TENANTRY_UPDATE=1 cargo test -p tenantry-crds --test generated
	TENANTRY_UPDATE=1 cargo test -p tenantry --test examples --test reference

lint: ## Formatting and lints only
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

deny: ## Licences, duplicates and sources of dependencies
	@scripts/deny

clean: ## Remove build output; the cache of Kubernetes binaries stays
	cargo clean
